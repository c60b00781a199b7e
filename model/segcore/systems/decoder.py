"""A light decoder after ESANet (Seichter et al., arXiv 2011.06961).

Shape suffixes: B batch, C channels, K classes, h w size of a level.
"""

from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from segcore.registry import STRICT
from segcore.systems.blocks import GROUPS, NonBottleneck1D, conv_norm_act
from segcore.systems.sam2_encoder import STRIDES


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DecoderConfig:
    """How wide and how deep each level of the decoder is."""

    width: int = Field(default=64, ge=GROUPS, multiple_of=GROUPS)
    """Channels at every level."""
    blocks: int = Field(default=1, ge=1)
    """Residual blocks at every level."""

    def build(self, inputs: int, classes: int) -> "Decoder":
        """The decoder of pyramid levels with `inputs` channels."""
        return Decoder(self, inputs, classes)


class Decoder(nn.Module):
    """From the coarsest level up: refine, double the size, add the next level's features."""

    def __init__(self, config: DecoderConfig, inputs: int, classes: int) -> None:
        super().__init__()
        width = config.width
        self.skips = nn.ModuleDict({str(s): nn.Conv2d(inputs, width, 1) for s in STRIDES})
        self.refine = nn.ModuleDict(
            {
                str(s): nn.Sequential(
                    conv_norm_act(width, width, 3),
                    *(NonBottleneck1D(width) for _ in range(config.blocks)),
                )
                for s in STRIDES
            }
        )
        # ESANet's learned upsampling: interpolation, then one 3 x 3 filter per channel.
        self.sharpen = nn.ModuleDict(
            {str(s): nn.Conv2d(width, width, 3, padding=1, groups=width) for s in STRIDES[:-1]}
        )
        self.out = nn.Conv2d(width, classes, 3, padding=1)

    def forward(self, features: dict[int, Tensor], fused: dict[int, Tensor], size: int) -> Tensor:
        """Logits (B, K, size, size).

        Args:
            features: RGB features (B, C, h, w) by stride.
            fused: further features of the same shape, added to the level of their stride.
            size: side of the logits, pixels.
        """
        x: Tensor | None = None
        for stride in reversed(STRIDES):
            level = self.skips[str(stride)](features[stride])
            if stride in fused:
                level = level + fused[stride]
            if x is not None:
                up = F.interpolate(x, level.shape[-2:], mode="bilinear", align_corners=False)
                level = level + self.sharpen[str(stride)](up)
            x = self.refine[str(stride)](level)
        assert x is not None
        return F.interpolate(self.out(x), (size, size), mode="bilinear", align_corners=False)
