"""A U-shaped decoder on SAM2's trunk alone, after SAM2-UNet (Xiong et al., arXiv 2408.08870): the
baseline that shows what neck, depth and attention are worth.

Shape suffixes: B batch, C channels, K classes, H W image size, h w feature size.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from segcore.batch import FINISHED, Batch, Prediction, Progress, Size
from segcore.classes import ClassSpec
from segcore.losses.dice_ce import DiceCe
from segcore.losses.loss import Loss
from segcore.registry import STRICT
from segcore.systems.blocks import (
    GROUPS,
    SideWeight,
    conv_norm_act,
    drawn,
    loss_with_sides,
    side_heads,
)
from segcore.systems.pixels import AS_IT_IS, Standardise, logits_at, resize, taken_out
from segcore.systems.rgb_encoders.sam2 import SIZE_MULTIPLE, Sam2Config
from segcore.systems.system import (
    LARGEST_SIDE,
    Part,
    Published,
    System,
    SystemConfig,
    Targets,
    projections,
)
from segcore.systems.weights import from_elsewhere, moves, tensors_hash


@dataclass(frozen=True, kw_only=True, config=STRICT)
class HieraUnetConfig(SystemConfig):
    """SAM2's Hiera at four scales, each narrowed and met from below.

    Different from SAM2-UNet, which is the system `sam2_unet`: the blocks that narrow are plainer,
    the loss looks at the last output alone unless `side_weight` is given, and how the trunk is
    adapted is the method's choice (`frozen`, or adapters inside its projections in place of theirs
    before its blocks).
    """

    name: ClassVar[str] = "hiera_unet"

    image_size: int = Field(default=128, ge=64, le=LARGEST_SIDE, multiple_of=SIZE_MULTIPLE)
    """Side of the square image that the trunk sees, pixels. Other images are resized."""
    sam2: Sam2Config = dataclasses.field(default_factory=Sam2Config)
    """Its neck is loaded and left out."""
    width: int = Field(default=64, ge=GROUPS, multiple_of=GROUPS)
    """Channels at every scale of the decoder."""
    side_weight: SideWeight = 0.0
    """Weight of the loss of the maps at strides 16 and 8, each, beside that of the last map; 0:
    there are none."""
    loss: Loss = dataclasses.field(default_factory=DiceCe)

    def check_weights(self) -> None:
        """Read the weights if they come from elsewhere.

        Raises:
            ValueError: a file is missing or does not fit.
        """
        if from_elsewhere(self.sam2):
            self.sam2.build()

    def build(self, classes: ClassSpec) -> "HieraUnet":
        """Build the network on the CPU from the global RNG, its pretrained weights loaded.

        Raises:
            ValueError: the weights cannot be read or do not fit.
        """
        return HieraUnet(self, classes)


class HieraUnet(System):
    """Pretrained trunk; everything after it is head."""

    repeats = True

    def __init__(self, config: HieraUnetConfig, classes: ClassSpec) -> None:
        super().__init__()
        self._config = config
        self._loss = config.loss.build(classes)
        self.standardise = Standardise()
        trunk: Any = config.sam2.build().image_encoder.trunk
        self.trunk: nn.Module = trunk
        width = config.width
        self.narrow = nn.ModuleList(
            ReceptiveField(channels, width) for channels in reversed(trunk.channel_list)
        )
        self.up = nn.ModuleList(
            nn.Sequential(conv_norm_act(2 * width, width, 3), conv_norm_act(width, width, 3))
            for _ in trunk.channel_list[1:]
        )
        self.out = nn.Conv2d(width, len(classes.names), 1)
        self.sides = side_heads(width, len(classes.names), len(self.up), config.side_weight)
        self._weights_hash = tensors_hash(self.trunk)

    def forward(self, batch: Batch, size: Size, progress: Progress = FINISHED) -> Prediction:
        """Predict logits of a size; `extras["native"]` is the map at stride 4, beside those of
        `side_weight`."""
        image_B3HW = resize(batch.image_B3HW, self._config.input_size)
        if self._config.sam2.standardise:
            image_B3HW = self.standardise(image_B3HW)
        with torch.set_grad_enabled(moves(self.trunk)):
            scales = self.trunk(image_B3HW)  # finest first
        narrowed = [narrow(x) for narrow, x in zip(self.narrow, scales, strict=True)]
        x_BChw = narrowed.pop()
        extras: dict[str, Tensor] = {}
        for i, up in enumerate(self.up):
            finer_BChw = narrowed.pop()
            x_BChw = F.interpolate(
                x_BChw, finer_BChw.shape[-2:], mode="bilinear", align_corners=False
            )
            x_BChw = up(torch.cat((finer_BChw, x_BChw), dim=1))
            extras |= drawn(self.sides, i, x_BChw)
        native: Tensor = self.out(x_BChw)
        return Prediction(logits_at(native, size), {"native": native, **extras})

    def loss(self, prediction: Prediction, batch: Batch, progress: Progress) -> Tensor:
        """The configured loss of the masks, and of those on the way to them."""
        return loss_with_sides(self._loss, prediction, batch, self._config.side_weight)

    def parts(self) -> Mapping[str, Part]:
        """SAM2's trunk is pretrained; everything after it is not."""
        heads = {"narrow": self.narrow, "up": self.up, "sides": self.sides, "out": self.out}
        return {
            "trunk": Part(self.trunk, "pretrained"),
            **{name: Part(module, "head") for name, module in heads.items()},
        }

    def adaptable(self, targets: Targets) -> Mapping[str, nn.Linear]:
        """Projections of the trunk."""
        found = projections(self.trunk, mlp=targets == "attention+mlp")
        return {f"trunk.{name}": module for name, module in found.items()}

    def published(self) -> Published:
        """SAM2's trunk; its neck is no part of this network."""
        pixels = taken_out() if self._config.sam2.standardise else AS_IT_IS
        return Published(self.trunk, "SAM2's trunk", pixels)

    def weights_hash(self) -> str:
        """Hash of the trunk's weights as they were loaded."""
        return self._weights_hash


class ReceptiveField(nn.Module):
    """Narrow features and let each see its surroundings: three branches of growing dilation, put
    together again, beside a shortcut (after Liu et al., arXiv 1711.07767)."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.shortcut = nn.Conv2d(inputs, width, 1)
        self.branches = nn.ModuleList(
            nn.Sequential(
                conv_norm_act(inputs, width, 1),
                nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation, bias=False),
                nn.GroupNorm(GROUPS, width),
            )
            for dilation in (1, 3, 5)
        )
        self.join = nn.Conv2d(3 * width, width, 1)

    def forward(self, x_BChw: Tensor) -> Tensor:
        """(B, width, h, w)."""
        seen = torch.cat([branch(x_BChw) for branch in self.branches], dim=1)
        out: Tensor = (self.shortcut(x_BChw) + self.join(seen)).relu()
        return out
