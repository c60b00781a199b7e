"""What changes the image alone: colour, reflections, blur, noise.

Every function takes and returns an image (3, H, W) of levels from 0 to 255, uint8.
"""

import math

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional as v2

SHARPEST = 0.1
"""Share of the largest blur that the smallest one has."""
CORE = 2.0
"""Height of a reflection's Gaussian in units of white: its middle is clipped, as a camera's is."""


def brightened(image_HW3: NDArray[np.uint8], gain: float) -> NDArray[np.uint8]:
    """Each level times `gain`, clipped; image and result (H, W, 3)."""
    levels = np.clip(np.arange(256) * gain, 0, 255).astype(np.uint8)
    return cv2.LUT(image_HW3, levels).astype(np.uint8, copy=False)


def contrasted(image_3HW: Tensor, rng: np.random.Generator, *, most: float) -> Tensor:
    """Distances from the mean grey times 1 + U(-most, most)."""
    changed: Tensor = v2.adjust_contrast(image_3HW, 1 + most * rng.uniform(-1, 1))
    return changed


def saturated(image_3HW: Tensor, rng: np.random.Generator, *, most: float) -> Tensor:
    """Distances from each pixel's own grey times 1 + U(-most, most)."""
    changed: Tensor = v2.adjust_saturation(image_3HW, 1 + most * rng.uniform(-1, 1))
    return changed


def hued(image_3HW: Tensor, rng: np.random.Generator, *, most: float) -> Tensor:
    """Hues turned by U(-most, most) of the whole circle."""
    changed: Tensor = v2.adjust_hue(image_3HW, most * rng.uniform(-1, 1))
    return changed


def gamma_corrected(image_3HW: Tensor, rng: np.random.Generator, *, most: float) -> Tensor:
    """Levels in [0, 1] to a power from 1 / (1 + most) to 1 + most, brighter as often as darker."""
    changed: Tensor = v2.adjust_gamma(image_3HW, (1 + most) ** rng.uniform(-1, 1))
    return changed


def spotted(image_3HW: Tensor, rng: np.random.Generator, *, count: int, size: float) -> Tensor:
    """With specular reflections, as on wet tissue: white ellipses with a clipped core and a soft
    edge, where light falls (the brighter a pixel, the more often it is a middle).

    Args:
        image_3HW: to draw on.
        rng: of their number (from 1 to `count`), places, sizes, proportions and directions.
        count: the most there are.
        size: the largest half axis, share of the shorter side.
    """
    height, width = image_3HW.shape[1:]
    light = image_3HW.sum(0, dtype=torch.int64).flatten().numpy() + 1
    ends = np.cumsum(light)
    number = int(rng.integers(1, count + 1))
    middles = np.searchsorted(ends, rng.uniform(0, ends[-1], number), side="right")
    long_axes = size * min(height, width) * rng.uniform(0.15, 1, number)
    short_axes = long_axes * rng.uniform(0.25, 1, number)
    angles = rng.uniform(0, math.pi, number)
    share_HW = torch.zeros(height, width)
    drawn = zip(middles, long_axes, short_axes, angles, strict=True)
    for middle, long, short, angle in drawn:
        row, column = divmod(int(middle), width)
        reach = math.ceil(2.5 * long)  # from there on it is below half a level
        y0, y1 = max(0, row - reach), min(height, row + reach + 1)
        x0, x1 = max(0, column - reach), min(width, column + reach + 1)
        y_h1 = torch.arange(y0, y1)[:, None] - row
        x_1w = torch.arange(x0, x1)[None] - column
        along = (x_1w * math.cos(angle) + y_h1 * math.sin(angle)) / max(long, 0.5)
        across = (y_h1 * math.cos(angle) - x_1w * math.sin(angle)) / max(short, 0.5)
        spot = CORE * torch.exp(-2 * (along**2 + across**2))
        share_HW[y0:y1, x0:x1] = torch.maximum(share_HW[y0:y1, x0:x1], spot)
    share_HW.clamp_(max=1)
    return _levels(image_3HW * (1 - share_HW) + 255 * share_HW)


def blurred(image_3HW: Tensor, rng: np.random.Generator, *, sigma: float) -> Tensor:
    """Out of focus: a Gaussian of at most `sigma`, share of the shorter side; black does not come
    in from outside (the border is mirrored)."""
    pixels = sigma * min(image_3HW.shape[1:]) * rng.uniform(SHARPEST, 1)
    taps = 2 * math.ceil(3 * pixels) + 1
    out = image_3HW.float()
    for kernel in ([taps, 1], [1, taps]):  # one axis after the other: torchvision does both at once
        out = v2.gaussian_blur(out, kernel, [pixels, pixels])
    return _levels(out)


def noisy(image_3HW: Tensor, rng: np.random.Generator, *, std: float) -> Tensor:
    """Gaussian noise of a standard deviation of at most `std`, share of white, in each channel of
    each pixel by itself."""
    levels = 255 * std * rng.uniform()
    noise = torch.from_numpy(rng.standard_normal(tuple(image_3HW.shape), dtype=np.float32))
    return _levels(image_3HW + levels * noise)


def _levels(values: Tensor) -> Tensor:
    return values.round().clamp(0, 255).to(torch.uint8)
