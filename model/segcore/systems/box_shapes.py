"""What a box alone is worth: the filled box, and the ellipse in it, in the place of a network.

Where boxes come from the truth, scores are partly the box's: these are the arms that say how much.
Neither looks at the image; all that trains is how sure they are.

Shape suffixes: B batch, K classes, H W size of the logits, N boxes of an image.
"""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from segcore.batch import FINISHED, Batch, Prediction, Progress, Size
from segcore.classes import ClassSpec
from segcore.losses.dice_ce import DiceCe
from segcore.losses.loss import Loss
from segcore.registry import STRICT
from segcore.systems.boxes import finished, told
from segcore.systems.system import LARGEST_SIDE, Part, System, SystemConfig, Targets


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BoxShapeConfig(SystemConfig):
    """Base of both."""

    image_size: int = Field(default=128, ge=16, le=LARGEST_SIDE)
    """Side of the square image that other systems see: masks are compared at this size."""
    loss: Loss = dataclasses.field(default_factory=DiceCe)

    @property
    def takes_prompts(self) -> bool:
        """Boxes, and nothing else."""
        return True

    def check_weights(self) -> None:
        """There are none."""

    def build(self, classes: ClassSpec) -> "BoxShape":
        """The shape for these classes."""
        return BoxShape(self, classes)

    def inside(self, x: Tensor, y: Tensor) -> Tensor:
        """Where a point of the box lies: above 0 inside of the shape.

        Args:
            x: from -1 at the box's left to 1 at its right.
            y: alike, from its top down.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FilledBoxConfig(BoxShapeConfig):
    """All of the box is the object."""

    name: ClassVar[str] = "filled_box"

    def inside(self, x: Tensor, y: Tensor) -> Tensor:
        """Within the box."""
        return 1 - torch.maximum(x.abs(), y.abs())


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BoxEllipseConfig(BoxShapeConfig):
    """The ellipse that touches the box's sides is the object."""

    name: ClassVar[str] = "box_ellipse"

    def inside(self, x: Tensor, y: Tensor) -> Tensor:
        """Within the ellipse."""
        return 1 - x.square() - y.square()


class BoxShape(System):
    """A shape in each box."""

    repeats = True

    def __init__(self, config: BoxShapeConfig, classes: ClassSpec) -> None:
        super().__init__()
        self._config, self._exclusive = config, classes.exclusive
        self._classes = len(classes.foreground)
        self._loss = config.loss.build(classes)
        self.certainty = nn.ParameterList([nn.Parameter(torch.ones(()))])

    def forward(self, batch: Batch, size: Size, progress: Progress = FINISHED) -> Prediction:
        """A logit of the certainty's size inside, and of minus that outside."""
        boxes_BN4, present_BN = told(batch.prompts, batch.image_B3HW)
        height, width = size
        device = boxes_BN4.device
        y_H1 = ((torch.arange(height, device=device) + 0.5) / height)[:, None]
        x_W = (torch.arange(width, device=device) + 0.5) / width
        x0, y0, x1, y1 = (side[..., None, None] for side in boxes_BN4.unbind(-1))
        least = 1e-6
        across = (2 * x_W - x0 - x1) / (x1 - x0).clamp(min=least)
        down = (2 * y_H1 - y0 - y1) / (y1 - y0).clamp(min=least)
        across, down = torch.broadcast_tensors(across, down)
        sign_BNHW = (self._config.inside(across, down) >= 0).float() * 2 - 1
        logits = self.certainty[0] * sign_BNHW.expand(-1, self._classes, -1, -1)
        logits = finished(logits, present_BN, exclusive=self._exclusive)
        return Prediction(logits, {"native": logits})

    def loss(self, prediction: Prediction, batch: Batch, progress: Progress) -> Tensor:
        """The configured loss of the masks."""
        value: Tensor = self._loss(prediction, batch)
        return value

    def parts(self) -> Mapping[str, Part]:
        """The certainty."""
        return {"certainty": Part(self.certainty, "head")}

    def adaptable(self, targets: Targets) -> Mapping[str, nn.Linear]:
        """Nothing."""
        return {}

    def weights_hash(self) -> str:
        """Nothing is loaded."""
        return "none"
