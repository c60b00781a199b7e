"""A light decoder after ESANet (Seichter et al., arXiv 2011.06961).

Shape suffixes: B batch, C channels, K classes, h w size of a level.
"""

from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from segcore.registry import STRICT
from segcore.systems.blocks import (
    GROUPS,
    NonBottleneck1D,
    SideWeight,
    conv_norm_act,
    drawn,
    side_heads,
)
from segcore.systems.rgb_encoders.rgb_encoder import STRIDES


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DecoderConfig:
    """How wide and how deep each level of the decoder is."""

    width: int = Field(default=64, ge=GROUPS, multiple_of=GROUPS)
    """Channels at every level."""
    blocks: int = Field(default=1, ge=1)
    """Residual blocks at every level."""
    layout: Literal["pyramid", "esanet", "flat"] = "pyramid"
    """`pyramid`: image and depth features meet before they are refined, at each level.
    `esanet`: our inference of what SRFT-GaLore's decoder is meant to be, after ESANet, whose parts
    its code has: the fused features are refined, doubled in size and only then meet the next finer
    image features, as they are.
    `flat`: as its code has it, where the doubling is commented out and the finest image features
    come first: everything at stride 16, image features of the finer levels shrunk to it."""
    side_weight: SideWeight = 0.0
    """Weight of the loss of the maps of every level but the last, each, beside that of the last one
    (deep supervision); 0: there are none."""

    def check_width(self, width: int) -> None:
        """Refuse a width that the layout cannot have.

        Raises:
            ValueError: image features are to be added as they are, and have another width.
        """
        if self.layout != "pyramid" and self.width != width:
            raise ValueError(
                f"decoder.layout={self.layout!r} adds the RGB encoder's features as they are: "
                f"set decoder.width to theirs, {width}"
            )

    def build(self, inputs: int, classes: int) -> nn.Module:
        """The decoder of pyramid levels with `inputs` channels: see `Decoder.forward`."""
        return (Decoder if self.layout == "pyramid" else SkipDecoder)(self, inputs, classes)


class Decoder(nn.Module):
    """From the coarsest level up: refine, double the size, add the next level's features."""

    def __init__(self, config: DecoderConfig, inputs: int, classes: int) -> None:
        super().__init__()
        width = config.width
        self.skips = nn.ModuleDict({str(s): nn.Conv2d(inputs, width, 1) for s in STRIDES})
        self.refine = nn.ModuleDict({str(s): refinement(width, config.blocks) for s in STRIDES})
        self.sharpen = sharpening(width)
        self.out = nn.Conv2d(width, classes, 3, padding=1)
        self.sides = side_heads(width, classes, len(STRIDES), config.side_weight)

    def forward(
        self, features: dict[int, Tensor], fused: dict[int, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits (B, K, h, w) at stride 4, and those of the coarser levels that have a head.

        Args:
            features: RGB features (B, C, h, w) by stride.
            fused: further features of the same shape, added to the level of their stride.
        """
        x: Tensor | None = None
        sides: dict[str, Tensor] = {}
        for i, stride in enumerate(reversed(STRIDES)):
            level = self.skips[str(stride)](features[stride])
            if stride in fused:
                level = level + fused[stride]
            if x is not None:
                level = level + self.sharpen[str(stride)](resized(x, level))
            x = self.refine[str(stride)](level)
            sides |= drawn(self.sides, i, x)
        return self.out(x), sides


class SkipDecoder(nn.Module):
    """From the fused features on: refine, take the next level's size, add its features. `flat`
    takes the levels in the other order: strides 4, 8 and 16."""

    def __init__(self, config: DecoderConfig, inputs: int, classes: int) -> None:
        super().__init__()
        assert inputs == config.width  # check_width
        self.refine = nn.ModuleDict({str(s): refinement(inputs, config.blocks) for s in STRIDES})
        self.sharpen = sharpening(inputs) if config.layout == "esanet" else None
        self._order = STRIDES[::-1] if config.layout == "esanet" else STRIDES
        self.out = nn.Conv2d(inputs, classes, 3, padding=1)
        self.sides = side_heads(inputs, classes, len(STRIDES), config.side_weight)

    def forward(
        self, features: dict[int, Tensor], fused: dict[int, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits (B, K, h, w) at stride 4, and those of the levels before the last that have a
        head.

        Args:
            features: RGB features (B, C, h, w) by stride.
            fused: further features of the same shape. Those of the coarsest stride are what is
                started from (without any, the image's are); others are added at their level.
        """
        coarsest = STRIDES[-1]
        x = fused.get(coarsest, features[coarsest])
        sides: dict[str, Tensor] = {}
        for i, stride in enumerate(self._order):
            x = self.refine[str(stride)](x)
            if self.sharpen is not None and stride < coarsest:
                x = self.sharpen[str(stride)](resized(x, features[stride]))
            x = x + resized(features[stride], x)
            if stride in fused and stride < coarsest:
                x = x + resized(fused[stride], x)
            sides |= drawn(self.sides, i, x)
        logits: Tensor = self.out(x)
        if self.sharpen is None:  # doubled in size, level by level, only now
            for stride in reversed(STRIDES[:-1]):
                logits = resized(logits, features[stride])
        return logits, sides


def refinement(width: int, blocks: int) -> nn.Sequential:
    """What every level does to its features."""
    return nn.Sequential(
        conv_norm_act(width, width, 3), *(NonBottleneck1D(width) for _ in range(blocks))
    )


def sharpening(width: int) -> nn.ModuleDict:
    """ESANet's learned upsampling but for its interpolation: one 3 x 3 filter per channel."""
    return nn.ModuleDict(
        {str(s): nn.Conv2d(width, width, 3, padding=1, groups=width) for s in STRIDES[:-1]}
    )


def resized(x_BChw: Tensor, like: Tensor) -> Tensor:
    """The features at the size of others."""
    return F.interpolate(x_BChw, like.shape[-2:], mode="bilinear", align_corners=False)
