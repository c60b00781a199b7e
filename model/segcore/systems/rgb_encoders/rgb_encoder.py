"""What every encoder of images offers: features at strides 4, 8 and 16, and what may be adapted.

Shape suffixes: B batch, H W image size, C channels, h w feature size.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from segcore.registry import Choice
from segcore.systems.rgb_encoders import RGB_ENCODERS
from segcore.systems.system import Part, Published, Targets, projections
from segcore.systems.weights import Pretrained
from segcore.tables import Table

STRIDES = (4, 8, 16)
"""Input pixels per feature, for each level that is handed out, finest first."""

Levels = dict[int, Tensor]
"""Maps (B, C, h, w) by stride."""


class RgbEncoder(nn.Module, ABC):
    """Image in, feature maps of equal width at strides 4, 8 and 16 out."""

    @abstractmethod
    def forward(self, image_B3HW: Tensor) -> tuple[Levels, Levels]:
        """Feature maps by stride, and their sine position codes alike.

        Args:
            image_B3HW: RGB in [0, 1], of the side that it is built for.
        """

    def parts(self) -> Mapping[str, Part]:
        """Its parts by attribute path, none of which is `tuned`: an empty path is all of it."""
        return {"": Part(self, "pretrained")}

    def adaptable(self, targets: Targets) -> Mapping[str, nn.Linear]:
        """The pretrained projections that low-rank methods adapt, by module path."""
        mlp = targets == "attention+mlp"
        return {
            below(path, name): module
            for path, part in self.parts().items()
            if part.role == "pretrained"
            for name, module in projections(part.module, mlp=mlp).items()
        }

    def published(self) -> Published | None:
        """What of it other programs can use; None: nothing."""
        return None


class RgbEncoderConfig(Choice):
    """Base of the rows: frozen pydantic dataclasses."""

    table: ClassVar[Table] = RGB_ENCODERS

    pretrained: Pretrained
    checkpoint: str | None
    hub: str | None

    @property
    def width(self) -> int:
        """Channels of every level."""
        raise NotImplementedError

    @property
    def size_multiple(self) -> int:
        """What a side of its input must be a multiple of, pixels."""
        raise NotImplementedError

    def build(self, side: int) -> RgbEncoder:
        """The encoder on the CPU, its weights loaded and the rest begun from the global RNG.

        Args:
            side: of its square input, pixels.

        Raises:
            ValueError: the weights cannot be read or do not fit.
        """
        raise NotImplementedError


def below(path: str, name: str) -> str:
    """A module path under another one, which may be empty."""
    return f"{path}.{name}".strip(".")
