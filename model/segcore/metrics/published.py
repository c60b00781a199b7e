"""ASSD as the code of this field computes it, traps included: to compare with its tables.

None of these is the average distance between outlines in pixels (that is `assd`), and none
compares with another. Written from a reading of what the scripts compute.

Shape suffixes: H W image, K classes.
"""

import numpy as np
from numpy.typing import NDArray

from segcore.metrics.nearest import distances
from segcore.metrics.overlap import Mask
from segcore.metrics.surface import bounding_box, surface_distances

SPACING_MM = 10.0
"""Side of a pixel in SRFT-GaLore's scripts, whatever the camera saw."""
STACK_EMPTY = 80.0
"""What an empty stack costs in D2GPLand+ and TopoNet."""


def background_10mm(a_HW: Mask, b_HW: Mask) -> float:
    """ASSD of the background, a pixel taken for 10 mm: SRFT-GaLore's test scripts.

    They hand channel 0 to DeepMind's `surface-distance` with spacing (10, 10) and average the two
    directions. Outlines run between pixel centres; each corner of the pixel grid that an outline
    passes counts by the length of outline in it (marching squares).

    Traps: the background does not see which class a pixel has (two swapped classes score 0);
    the image's own edge belongs to its outline, and what agrees there lowers the mean; the unit
    is no millimetre.

    Args:
        a_HW: true where an image shows no landmark.
        b_HW: the same of the other labels.

    Returns:
        The distance; NaN, not counted, where an image has no background at all.
    """
    if not a_HW.any() or not b_HW.any():
        return float("nan")
    box = bounding_box(a_HW | b_HW)
    a_length, b_length = _outline(a_HW[box]), _outline(b_HW[box])
    a_at, b_at = a_length > 0, b_length > 0
    a_to_b = np.average(distances(a_at, b_at), weights=a_length[a_at])
    b_to_a = np.average(distances(b_at, a_at), weights=b_length[b_at])
    return float(SPACING_MM * (a_to_b + b_to_a) / 2)


def stack3d(a_KHW: Mask, b_KHW: Mask) -> float:
    """ASSD of the foreground classes as the slices of one volume: D2GPLand+'s and TopoNet's tests.

    They hand (3, H, W) to medpy's `assd`, pooled over both surfaces as of medpy 0.5.2 (earlier
    versions differ, see `assd`), with unit spacing, also from class to class.

    Traps: two classes are never farther apart than 2 px, so a pixel of the wrong class costs next
    to nothing; in a stack three deep of classes that exclude one another nearly every pixel is
    surface, so the inside of a band counts as outline; the order of the classes matters.

    Args:
        a_KHW: one mask per foreground class, in the order of the classes.
        b_KHW: the same of the other labels.

    Returns:
        The distance; 80 where one stack or both are empty. (D2GPLand+ does so in training; the
        tests do so for an empty prediction, and fail on an empty truth.)
    """
    if not a_KHW.any() or not b_KHW.any():
        return STACK_EMPTY
    return surface_distances(a_KHW, b_KHW).mean()


def _outline(mask_HW: Mask) -> NDArray[np.float64]:
    """Length of the outline at each corner of the pixel grid, (H + 1, W + 1), in pixels."""
    padded = np.pad(mask_HW, 1).astype(np.uint8)
    code = 8 * padded[:-1, :-1] + 4 * padded[:-1, 1:] + 2 * padded[1:, :-1] + padded[1:, 1:]
    length: NDArray[np.float64] = _LENGTHS[code]
    return length


def _lengths() -> NDArray[np.float64]:
    """Length of the outline by which of the four pixels around a corner are in the mask."""
    cut = np.sqrt(0.5)  # a corner cut off halfway between pixel centres
    by_code = np.zeros(16)
    for code in range(1, 15):
        ones = code.bit_count()
        diagonal = code in (0b1001, 0b0110)
        by_code[code] = cut if ones in (1, 3) else 2 * cut if diagonal else 1.0
    return by_code


_LENGTHS = _lengths()
