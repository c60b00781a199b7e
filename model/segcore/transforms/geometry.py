"""What moves image, depth, labels and unknown pixels together.

Image and depth by bilinear interpolation, labels and unknown pixels by nearest neighbour, so that a
label stays a label. Depth moves with its pixels, and its values stay: relative depth has no unit
that a larger scale would change.

Shape suffixes: H W image size, P control points in a side.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as v2

from segcore.data.dataset import Sample

Move = Callable[[Tensor, InterpolationMode], Tensor]
"""(C, H, W) and how values between pixels are found, to (C, H, W)."""
POINTS = 4
"""Control points in a side of an elastic deformation."""
STEEPEST = 4.125
"""Bound on the slope of torch's bicubic interpolation (a = -0.75) of control points in [-1, 1], a
unit apart: the largest sum of the weights' slopes in one direction, 3, times that of the weights in
the other, 1.375."""


def flipped(sample: Sample, *, upside_down: bool) -> Sample:
    """Mirrored, top to bottom or left to right."""
    flip = v2.vertical_flip if upside_down else v2.horizontal_flip
    return _moved(sample, lambda x, how: flip(x))


def rotated(sample: Sample, *, angle: float) -> Sample:
    """Turned about the middle, counter-clockwise; what turns in from outside is black, background
    (0) in the labels, nearest (0) in the depth, and known.

    Args:
        sample: to turn.
        angle: degrees.
    """
    return _moved(sample, lambda x, how: v2.rotate(x, angle, interpolation=how))


def cropped(
    sample: Sample, rng: np.random.Generator, *, area: tuple[float, float], stretch: float
) -> Sample:
    """A random rectangle, enlarged to the size of the whole (torchvision's `RandomResizedCrop`):
    nothing comes in from outside.

    Args:
        sample: to crop.
        rng: of the rectangle's area, proportions and place.
        area: the smallest and largest share of the image's area that is kept.
        stretch: the most that the result is stretched along one axis against the other.
    """
    height, width = sample.labels_HW.shape
    share = rng.uniform(*area)
    against = math.exp(math.log(stretch) * rng.uniform(-1, 1))
    rows = min(height, max(1, round(height * math.sqrt(share / against))))
    columns = min(width, max(1, round(width * math.sqrt(share * against))))
    top, left = (int(rng.integers(0, n + 1)) for n in (height - rows, width - columns))

    def move(x: Tensor, how: InterpolationMode) -> Tensor:
        # Plain "nearest" is off by half a pixel of the source against bilinear.
        if how is InterpolationMode.NEAREST:
            how = InterpolationMode.NEAREST_EXACT
        moved: Tensor = v2.resized_crop(
            x, top, left, rows, columns, [height, width], interpolation=how
        )
        return moved

    out = _moved(sample, move)
    if sample.spacing_mm is None:
        return out
    between, row, column = sample.spacing_mm
    return replace(out, spacing_mm=(between, row * rows / height, column * columns / width))


def deformed(sample: Sample, rng: np.random.Generator, *, shift: float) -> Sample:
    """Smoothly deformed: shifts of a coarse grid of points, bicubic in between, as in U-Net
    (Ronneberger et al. 2015, section 3.1; normal shifts of 3 x 3 points there, uniform ones of
    4 x 4 here, so that there is a largest one).

    Points on the border move along it alone. Nothing folds over, and nothing comes in from outside.

    Args:
        sample: to deform.
        rng: of the shifts.
        shift: the largest of a point along an axis, share of the shorter side; at most
            `segcore.transforms.LARGEST_SHIFT`.
    """
    field = displacement(rng, sample.labels_HW.shape, shift=shift)
    return _moved(sample, lambda x, how: v2.elastic(x, field, interpolation=how))


def displacement(rng: np.random.Generator, size: tuple[int, ...], *, shift: float) -> torch.Tensor:
    """Where each pixel of an elastic deformation comes from, (1, H, W, 2), less its own place: x
    and y in the units of torchvision's `elastic`, in which an image spans [-1, 1].

    Args:
        rng: of the shifts.
        size: height and width.
        shift: as of `deformed`.
    """
    height, width = size
    points_2PP = rng.uniform(-1, 1, (2, POINTS, POINTS)).astype(np.float32)
    points_2PP[0][:, [0, -1]] = 0  # x, on the left and right border
    points_2PP[1][[0, -1], :] = 0
    field_12HW = F.interpolate(
        torch.from_numpy(points_2PP)[None], (height, width), mode="bicubic", align_corners=True
    )
    largest = 2 * shift * min(height, width) / torch.tensor([width, height])
    return field_12HW.permute(0, 2, 3, 1) * largest


def _moved(sample: Sample, move: Move) -> Sample:
    """Do the same to all that has a place in the image."""
    smooth = partial(_plane_moved, move=move, how=InterpolationMode.BILINEAR)
    nearest = partial(_plane_moved, move=move, how=InterpolationMode.NEAREST)
    depth_HW, ignore_HW = sample.depth_HW, sample.ignore_HW
    image_3HW = move(_tensor(sample.image_HW3.transpose(2, 0, 1)), InterpolationMode.BILINEAR)
    return replace(
        sample,
        image_HW3=np.ascontiguousarray(image_3HW.permute(1, 2, 0).numpy()),
        labels_HW=nearest(sample.labels_HW),
        depth_HW=None if depth_HW is None else smooth(depth_HW),
        ignore_HW=None if ignore_HW is None else nearest(ignore_HW.astype(np.uint8)) == 1,
    )


def _plane_moved(
    plane_HW: NDArray[np.uint8], *, move: Move, how: InterpolationMode
) -> NDArray[np.uint8]:
    return np.ascontiguousarray(move(_tensor(plane_HW[None]), how)[0].numpy())


def _tensor(array: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(array)
