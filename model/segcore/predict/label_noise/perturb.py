"""Labels and lines as a second annotator may draw them.

Outlines are shifted by a smooth random displacement of the whole label map: where it points across
an outline, the outline moves by that much. What touches still touches, no class appears or
vanishes but for what is smaller than a pixel, and classes that exclude one another, or may overlap,
go on to. A displacement whose components have the standard deviation s moves an outline by
s sqrt(2/pi) on average (the mean of a normal deviate's size).

Shape suffixes: H W image, N points, 2 components (y, x) or coordinates (x, y).
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segcore.batch import Size

SMOOTH = 0.05
"""Length over which a displacement stays alike, as a share of the image's diagonal: an annotator
who is off is off along a stretch of the outline."""
LARGEST = SMOOTH
"""The largest mean shift, as a share of the diagonal: a displacement that changes faster than it
is smooth would tear outlines."""
_CELLS = 2
"""Cells of the coarse noise for each such length."""
_MEAN_SIZE = math.sqrt(2 / math.pi)
"""Mean size of a normal deviate of standard deviation 1."""


def displacement(size: Size, rng: np.random.Generator) -> NDArray[np.float32]:
    """A smooth random field (2, H, W) whose components have mean 0 over many draws, and a root
    mean square of 1 in each.

    Args:
        size: height and width, pixels.
        rng: draws it.
    """
    cell = max(1.0, SMOOTH * math.hypot(*size) / _CELLS)
    coarse = [math.ceil(side / cell) + 4 * _CELLS for side in size]
    parts = []
    for _ in range(2):
        noise = ndimage.gaussian_filter(rng.standard_normal(coarse), _CELLS / 2)
        inside = noise[_CELLS : coarse[0] - _CELLS, _CELLS : coarse[1] - _CELLS]
        fine = cv2.resize(inside.astype(np.float32), size[::-1], interpolation=cv2.INTER_CUBIC)
        parts.append(fine / max(1e-12, float(np.sqrt(np.mean(np.square(fine))))))
    return np.stack(parts)


def shifted(
    labels_HW: NDArray[np.uint8], field_2HW: NDArray[np.float32], pixels: float
) -> NDArray[np.uint8]:
    """Labels whose outlines are moved along a field.

    Args:
        labels_HW: of any classes.
        field_2HW: as `displacement` draws it.
        pixels: mean shift of an outline; 0 changes nothing.
    """
    scale = pixels / _MEAN_SIZE
    y_HW, x_HW = np.indices(labels_HW.shape, dtype=np.float32)
    return cv2.remap(
        labels_HW,
        x_HW + scale * field_2HW[1],
        y_HW + scale * field_2HW[0],
        interpolation=cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_REPLICATE,
    ).astype(np.uint8, copy=False)


def moved(
    points_N2: NDArray[np.float64], pixels: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Control points of a line, each set anew: by a normal deviate whose mean size across the line
    is so many pixels."""
    return points_N2 + pixels / _MEAN_SIZE * rng.standard_normal(points_N2.shape)
