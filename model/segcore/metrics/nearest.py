"""How far each point of a grid is from the nearest point of another set, exactly.

Shape suffixes: N points, D dimensions.
"""

import functools
import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.spatial import KDTree

Points = NDArray[np.bool_]
"""An image or a volume that is true at the points."""

REACH = 4
"""Distances up to this are looked up, point by point: a prediction is mostly near the truth."""
PIXELS_PER_QUERY = 25
"""Pixels that a distance transform passes in the time that a tree needs for one point."""


def distances(points: Points, targets: Points) -> NDArray[np.float64]:
    """Euclidean distance of each point to the nearest target, in the order of the array.

    Args:
        points: where to measure from.
        targets: an array of the same shape with at least one point.
    """
    squared_N, far_N = _look_around(points, targets)
    out_N = np.sqrt(squared_N)
    if not len(far_N):
        return out_N
    if len(far_N) * PIXELS_PER_QUERY > points.size:
        out_N[far_N] = np.asarray(distance_transform_edt(~targets))[points][far_N]
    else:
        tree = KDTree(np.argwhere(targets), leafsize=24, balanced_tree=False)  # built for one use
        out_N[far_N] = tree.query(np.argwhere(points)[far_N])[0]
    return out_N


def distances_between(
    points: Points, targets: Points, spacing: Sequence[float]
) -> NDArray[np.float64]:
    """As `distances`, of a grid whose pixels are `spacing` apart along each axis."""
    tree = KDTree(np.argwhere(targets) * spacing, balanced_tree=False)
    return np.asarray(tree.query(np.argwhere(points) * spacing)[0], dtype=np.float64)


def _look_around(points: Points, targets: Points) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Squared distances of the points that have a target within `REACH`; which have none."""
    padded = np.ascontiguousarray(np.pad(targets, REACH))  # `pad` keeps a mask's own layout
    strides = np.array(padded.strides)  # of bytes, which are pixels
    is_target = padded.ravel()
    there_N = np.flatnonzero(np.pad(points, REACH))
    squared_N = np.zeros(len(there_N))
    far_N = np.arange(len(there_N))
    for squared, offsets in _rings(points.ndim):
        hit_N = np.zeros(len(far_N), bool)
        for offset in offsets:
            hit_N |= is_target[there_N + offset @ strides]
        squared_N[far_N[hit_N]] = squared
        far_N, there_N = far_N[~hit_N], there_N[~hit_N]
        if not len(far_N):
            break
    return squared_N, far_N


@functools.cache
def _rings(dimensions: int) -> tuple[tuple[int, NDArray[np.intp]], ...]:
    """(Squared distance, offsets at that distance), the nearest first, up to `REACH`."""
    steps = np.array(list(itertools.product(range(-REACH, REACH + 1), repeat=dimensions)))
    squared = (steps**2).sum(1)
    return tuple((int(d), steps[squared == d]) for d in np.unique(squared) if d <= REACH**2)
