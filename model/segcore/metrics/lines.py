"""Thin structures: overlap and distance of centrelines.

A mask's centreline is what thinning leaves of it (Zhang and Suen, CACM 27(3), 1984, by
scikit-image): lines one pixel wide that keep its pieces and its holes, and end a little before its
ends. A closed band thins to a ring; a compact blob to a point or a short line.

Shape suffixes: H W image.
"""

import numpy as np

from segcore.metrics.nearest import distances
from segcore.metrics.overlap import Mask
from segcore.metrics.surface import SurfaceDistances, bounding_box


def centreline(mask_HW: Mask) -> Mask:
    """The centreline of a mask; of an empty one, nothing."""
    from skimage.morphology import skeletonize  # a tenth of a second to import

    thin_HW = np.zeros_like(mask_HW)
    if mask_HW.any():
        box = bounding_box(mask_HW)
        thin_HW[box] = skeletonize(mask_HW[box])
    return thin_HW


def cl_dice(a_HW: Mask, b_HW: Mask, *, empty: float = float("nan")) -> float:
    """Centreline Dice, 0 to 1 (clDice, Shit et al., arXiv 2003.07311, equations 1 and 2).

    The harmonic mean of two shares: of the first mask's centreline that lies in the second mask,
    and of the second's that lies in the first. The first of them is what P2ILF's evaluation calls
    the precision of the prediction. One empty mask scores 0, two score `empty` (NaN: not counted).
    """
    return cl_dice_of((a_HW, centreline(a_HW)), (b_HW, centreline(b_HW)), empty=empty)


def cl_dice_of(a: tuple[Mask, Mask], b: tuple[Mask, Mask], *, empty: float) -> float:
    """The same of two masks, each beside its centreline."""
    (a_HW, a_line_HW), (b_HW, b_line_HW) = a, b
    lengths = np.count_nonzero(a_line_HW), np.count_nonzero(b_line_HW)
    if not all(lengths):
        return 0.0 if any(lengths) else empty
    inside = np.count_nonzero(a_line_HW & b_HW), np.count_nonzero(b_line_HW & a_HW)
    precision, sensitivity = inside[0] / lengths[0], inside[1] / lengths[1]
    both = precision + sensitivity
    return 2 * precision * sensitivity / both if both else 0.0


def centreline_distances(a_HW: Mask, b_HW: Mask) -> SurfaceDistances:
    """Of each pixel of a mask's centreline to the other's nearest, pixels; both directions.

    Raises:
        ValueError: a mask is empty.
    """
    return line_distances(centreline(a_HW), centreline(b_HW))


def line_distances(a_line_HW: Mask, b_line_HW: Mask) -> SurfaceDistances:
    """The same of centrelines.

    Raises:
        ValueError: one is empty.
    """
    if not a_line_HW.any() or not b_line_HW.any():
        raise ValueError("an empty mask has no centreline")
    box = bounding_box(a_line_HW | b_line_HW)
    a, b = a_line_HW[box], b_line_HW[box]
    return SurfaceDistances(distances(a, b), distances(b, a))


def p2ilf_distance(prediction_HW: Mask, truth_HW: Mask, *, limit: float = 10.0) -> float:
    """The symmetric distance of P2ILF's evaluation, pixels, at most about `limit`.

    As `computeScoreFrancoisSimplified` of sharib-vision/P2ILF (4c4ffb8,
    teamEvaluations/metric_functions.py), after the score of Francois et al. (IJCARS 15, 2020) for
    contours. With N pixels of the truth: the distances that are below the limit, of the
    prediction's pixels to the truth and back, summed, over 2 N; the limit times the share of the
    truth that the prediction has nothing near; and the limit times the number of the prediction's
    pixels with no truth near, over the pixels of the image that are far from it, about: all pixels
    without 2 limit N. That is meant for thin lines on large images; where it leaves too few, and
    the script's value grows without bound or falls below zero, the last share is 1.

    It looks at bands as they are: the challenge draws lines of 12 pixels on 1080 rows, of
    prediction and truth. Half of the distances being over N alone, a thicker prediction of the same
    line is dearer. Where the truth is empty a prediction costs next to nothing, and one that is
    empty itself is not counted (NaN), where the challenge's script has 0 and its tables nothing.
    """
    if not prediction_HW.any() and not truth_HW.any():
        return float("nan")
    near_truth, outliers = _matched(prediction_HW, truth_HW, limit)
    near, missed = _matched(truth_HW, prediction_HW, limit)
    there = int(np.count_nonzero(truth_HW))
    elsewhere = truth_HW.size - 2 * limit * there
    made_up = outliers / elsewhere if elsewhere > outliers else float(outliers > 0)
    if not there:
        return limit * made_up
    return (near + near_truth) / (2 * there) + limit * (missed / there + made_up)


def _matched(a_HW: Mask, b_HW: Mask, limit: float) -> tuple[float, int]:
    """Sum of the distances of a mask's pixels to another that are below a limit, and how many are
    not."""
    if not a_HW.any() or not b_HW.any():
        return 0.0, int(np.count_nonzero(a_HW))
    box = bounding_box(a_HW | b_HW)
    to_b_N = distances(a_HW[box], b_HW[box])
    near_N = to_b_N < limit
    return float(to_b_N[near_N].sum()), int(np.count_nonzero(~near_N))
