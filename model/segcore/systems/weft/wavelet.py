"""Haar's wavelet transform, and the convolution that it makes of a small kernel a wide one (Finder
et al., arXiv 2407.05848).

Shape suffixes: B batch, C channels, H W size, S sub-bands, h w size of a sub-band.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BANDS = 4
_HAAR = ((1, 1, 1, 1), (1, 1, -1, -1), (1, -1, 1, -1), (1, -1, -1, 1))
"""Twice what makes four sub-bands of four neighbours, which stand row by row: their mean, the
difference down, the difference across, and both; PyWavelets' order. Symmetric and orthogonal: half
of it is its own inverse."""


def haar() -> Tensor:
    """The matrix (S, S) of the transform and of its inverse."""
    return torch.tensor(_HAAR, dtype=torch.float32) / 2


def split(x_BCHW: Tensor, haar_SS: Tensor) -> Tensor:
    """The four sub-bands of a map of even sides, (B, C, S, h, w); orthonormal."""
    return _mixed(F.pixel_unshuffle(x_BCHW, 2).unflatten(1, (-1, BANDS)), haar_SS)


def join(bands_BCShw: Tensor, haar_SS: Tensor) -> Tensor:
    """The map whose sub-bands these are, (B, C, H, W)."""
    return F.pixel_shuffle(_mixed(bands_BCShw, haar_SS).flatten(1, 2), 2)


def _mixed(x_BCShw: Tensor, haar_SS: Tensor) -> Tensor:
    mixed: Tensor = haar_SS @ x_BCShw.flatten(3)
    return mixed.reshape(x_BCShw.shape)


class WaveletConv(nn.Module):
    """A depthwise convolution beside one of the sub-bands, which sees twice as far."""

    _haar_SS: Tensor

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        half, bands = kernel // 2, BANDS * channels
        self.base = nn.Conv2d(channels, channels, kernel, padding=half, groups=channels)
        self.base_scale = nn.Parameter(torch.ones(channels, 1, 1))
        self.bands = nn.Conv2d(bands, bands, kernel, padding=half, groups=bands, bias=False)
        self.register_buffer("_haar_SS", haar(), persistent=False)
        self.bands_scale = nn.Parameter(torch.full((bands, 1, 1), 0.1))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Same shape. A side that is odd has a row or column of zeros put to it and taken off."""
        height, width = x_BCHW.shape[-2:]
        even_BCHW = x_BCHW
        if height % 2 or width % 2:
            even_BCHW = F.pad(x_BCHW, (0, width % 2, 0, height % 2))
        bands = split(even_BCHW, self._haar_SS)
        seen = self.bands_scale * depthwise(self.bands, bands.flatten(1, 2))
        wide = join(seen.unflatten(1, (-1, BANDS)), self._haar_SS)[..., :height, :width]
        out: Tensor = self.base_scale * depthwise(self.base, x_BCHW) + wide
        return out


def depthwise(conv: nn.Conv2d, x_BCHW: Tensor) -> Tensor:
    """What a depthwise convolution that keeps the size makes of a map, quickly on a CPU: there a
    kernel of one pixel would go channel by channel."""
    if conv.kernel_size == (1, 1):
        scaled = x_BCHW * conv.weight[:, 0]
        return scaled if conv.bias is None else scaled + conv.bias[:, None, None]
    out: Tensor = conv(channels_last(x_BCHW))
    return out


def channels_last(x_BCHW: Tensor) -> Tensor:
    """The same map, laid out so that a wide depthwise convolution takes a fifth of the time on a
    CPU."""
    return x_BCHW.contiguous(memory_format=torch.channels_last)
