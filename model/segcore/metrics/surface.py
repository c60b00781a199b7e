"""Distances between the borders of two masks, in pixels or millimetres.

Border pixels are those that an erosion by the 4-neighbourhood takes away; beyond the image is
outside the mask. They are what medpy and MONAI measure between; DeepMind's `surface-distance`
measures between pixel corners and weighs each by the length of outline that it stands for.

Shape suffixes: H W image, N border pixels.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from segcore.metrics.nearest import distances, distances_between
from segcore.metrics.overlap import Mask


class SurfaceDistances(NamedTuple):
    """Of each border pixel to the other mask's nearest border pixel: what all metrics here share.

    Pixels in the order of the image's rows.
    """

    a_to_b_N: NDArray[np.float64]
    b_to_a_N: NDArray[np.float64]

    def mean(self) -> float:
        """Mean over the border pixels of both masks, pooled."""
        return float(np.concatenate(self).mean())

    def mean_of_directed(self) -> float:
        """Mean of the two directed means: both borders count alike, however long they are."""
        return float((self.a_to_b_N.mean() + self.b_to_a_N.mean()) / 2)

    def percentile(self, percent: float) -> float:
        """Percentile over the border pixels of both masks, pooled."""
        return float(np.percentile(np.concatenate(self), percent))

    def max_of_directed(self, percent: float) -> float:
        """The larger of the two directed percentiles."""
        return float(max(np.percentile(d_N, percent) for d_N in self))

    def share_within(self, tolerance: float) -> float:
        """Share of the border pixels of both masks that are at most `tolerance` pixels away."""
        return float((np.concatenate(self) <= tolerance).mean())


def surface_distances(
    a_HW: Mask, b_HW: Mask, *, spacing: Sequence[float] | None = None
) -> SurfaceDistances:
    """Distance of each border pixel of a mask to the other's nearest; both directions.

    The masks may also be volumes, with the 6-neighbourhood.

    Args:
        a_HW: a mask.
        b_HW: another of the same shape.
        spacing: between pixels along each axis, in the unit of the result; None: pixels.

    Raises:
        ValueError: a mask is empty.
    """
    if not a_HW.any() or not b_HW.any():
        raise ValueError("an empty mask has no surface")
    box = bounding_box(a_HW | b_HW)
    a_HW, b_HW = border(a_HW[box]), border(b_HW[box])
    if spacing is None:
        return SurfaceDistances(distances(a_HW, b_HW), distances(b_HW, a_HW))
    if a_HW.ndim == 2:
        return SurfaceDistances(
            distances_between(a_HW, b_HW, spacing), distances_between(b_HW, a_HW, spacing)
        )
    to_b, to_a = (distance_transform_edt(~mask, sampling=spacing) for mask in (b_HW, a_HW))
    return SurfaceDistances(np.asarray(to_b)[a_HW], np.asarray(to_a)[b_HW])


def assd(
    a_HW: Mask,
    b_HW: Mask,
    *,
    directions: Literal["pooled", "averaged"] = "pooled",
    empty: float | None = None,
) -> float:
    """Average symmetric surface distance in pixels.

    Two definitions are about, which differ where the borders differ in length: the mean over the
    border pixels of both masks, `pooled` (Heimann et al., IEEE TMI 28(8), 2009; medpy 0.5.2;
    MONAI 1.6's `symmetric=True`), or the two directed means `averaged` (medpy 0.4; what users of
    `surface-distance` make of its two values). medpy 0.5.0 and 0.5.1 fail on borders of
    different lengths.

    Args:
        a_HW: a mask.
        b_HW: another of the same shape.
        directions: the definition.
        empty: the value where exactly one mask is empty; by default the image's diagonal, a
            bound of every distance. Two empty masks have no distance: NaN, not counted.
    """
    if directions == "pooled":
        return _distance(a_HW, b_HW, SurfaceDistances.mean, empty)
    return _distance(a_HW, b_HW, SurfaceDistances.mean_of_directed, empty)


def hausdorff(
    a_HW: Mask,
    b_HW: Mask,
    *,
    percentile: float = 100,
    directions: Literal["larger", "pooled"] = "larger",
    empty: float | None = None,
) -> float:
    """Hausdorff distance in pixels, or a percentile of the surface distances.

    At 100 both definitions are the Hausdorff distance.

    Args:
        a_HW: a mask.
        b_HW: another of the same shape.
        percentile: 0 to 100; 95 gives HD95.
        directions: whether the percentile is taken over each border and the `larger` one counts
            (MONAI, `surface-distance`), or over both borders, `pooled` (medpy's `hd95`).
        empty: as in `assd`.
    """
    if directions == "pooled":
        return _distance(a_HW, b_HW, lambda d: d.percentile(percentile), empty)
    return _distance(a_HW, b_HW, lambda d: d.max_of_directed(percentile), empty)


def surface_dice(a_HW: Mask, b_HW: Mask, tolerance: float, *, empty: float = float("nan")) -> float:
    """Normalised surface Dice, 0 to 1: the share of both borders within a tolerance of the other.

    Nikolov et al., arXiv 1809.04430, with border pixels in place of surface elements, as MONAI's
    `compute_surface_dice`.

    Args:
        a_HW: a mask.
        b_HW: another of the same shape.
        tolerance: pixels; a border pixel at exactly this distance still counts.
        empty: the value where both masks are empty (NaN: not counted). One empty mask scores 0.
    """
    present = int(a_HW.any()) + int(b_HW.any())
    if present == 2:
        return surface_distances(a_HW, b_HW).share_within(tolerance)
    return 0.0 if present else empty


def bounding_box(mask: Mask) -> tuple[slice, ...]:
    """The smallest box that holds all of a mask that is not empty."""
    box = []
    for axis in range(mask.ndim):
        others = tuple(i for i in range(mask.ndim) if i != axis)
        there = np.flatnonzero(mask.any(others))
        box.append(slice(int(there[0]), int(there[-1]) + 1))
    return tuple(box)


def border(mask: Mask) -> Mask:
    """The pixels that have a direct neighbour outside; beyond the array is outside."""
    padded = np.pad(mask, 1)
    inner = (slice(1, -1),) * mask.ndim
    interior = mask
    for axis in range(mask.ndim):
        for side in (slice(None, -2), slice(2, None)):
            interior = interior & padded[(*inner[:axis], side, *inner[axis + 1 :])]
    return mask & ~interior


def without_surface(a_HW: Mask, b_HW: Mask) -> float | None:
    """The distance where a mask is empty: the diagonal, or NaN if both are; else None."""
    present = int(a_HW.any()) + int(b_HW.any())
    if present == 2:
        return None
    return float(np.hypot(*a_HW.shape)) if present else float("nan")


def diagonal_mm(shape: Sequence[int], spacing: Sequence[float]) -> float:
    """Length of a volume's diagonal, in the spacing's unit: a bound of every distance in it."""
    return float(np.linalg.norm(np.multiply(shape, spacing)))


def _distance(
    a_HW: Mask,
    b_HW: Mask,
    reduce: Callable[[SurfaceDistances], float],
    empty: float | None,
) -> float:
    fallback = without_surface(a_HW, b_HW)
    if fallback is None:
        return reduce(surface_distances(a_HW, b_HW))
    return fallback if empty is None or np.isnan(fallback) else empty
