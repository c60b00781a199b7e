"""High frequencies of the image, brought into every block of the encoder (I-MedSAM, section 3.2).

Shape suffixes: B batch, H W image size, h w grid of patches, C channels of the encoder.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from segcore.registry import STRICT

_SMALL = 1e-8


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FrequencyConfig:
    """Which spectrum of the image the encoder is shown, and how."""

    map: Literal["none", "phase", "amplitude"] = "amplitude"
    """`none` leaves the adapters out."""
    scale: Literal["linear", "log"] = "log"
    """Of the amplitudes before they are stretched to [0, 1]. The code's `linear` map is nearly the
    same for all images: its largest value, the mean of the image, rules the stretching."""
    source: Literal["grey", "red"] = "grey"
    """What is transformed. The paper says the image; the code sums the red channel three times."""
    width: Annotated[int, Field(ge=1)] = 4
    """Of the adapters' bottleneck (the code's; the paper does not say)."""
    weight: Annotated[float, Field(gt=0)] = 0.5
    """Factor with which a block's output gets the features (the code's)."""

    def __post_init__(self) -> None:
        if self.map != "amplitude" and self.scale != "log":
            raise ValueError(f"scale has no effect with map={self.map!r}: leave it out")


def spectrum(image_B3HW: Tensor, config: FrequencyConfig) -> Tensor:
    """A spectrum of each image, its zero frequency in the middle, stretched to [0, 1], (B, 3, H, W)
    of equal channels."""
    # Half precision has no transform of sizes that are no power of two.
    image = image_B3HW.float()
    grey_B1HW = image[:, :1] if config.source == "red" else image.mean(1, keepdim=True)
    with torch.autocast(image.device.type, enabled=False):
        waves = torch.fft.fftshift(torch.fft.fft2(grey_B1HW), dim=(-2, -1))
        if config.map == "phase":
            shown = waves.angle()
        else:
            shown = (255 * waves).abs()  # of pixels from 0 to 255, as the code has it
            shown = shown.log1p() if config.scale == "log" else shown
    low, high = shown.amin((1, 2, 3), keepdim=True), shown.amax((1, 2, 3), keepdim=True)
    stretched: Tensor = (shown - low) / (high - low + _SMALL)
    return stretched.expand(-1, 3, -1, -1)


class FrequencyAdapter(nn.Module):
    """A bottleneck with a shortcut, one per block: from its features to those of the next block."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.down = nn.Linear(channels, width)
        self.up = nn.Linear(width, channels)

    def forward(self, x_BhwC: Tensor) -> Tensor:
        """Features in, features out."""
        # The code's norm has parameters which it freezes as they begin: the same as none.
        x_BhwC = F.layer_norm(x_BhwC, x_BhwC.shape[-1:], eps=1e-6)
        out: Tensor = x_BhwC + self.up(F.gelu(self.down(x_BhwC)))
        return out
