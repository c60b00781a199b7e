"""Overlap and surface distance of masks, and their means over images.

Protocols (the column `protocol` of the results):

- `per_image`, Dice and IoU: per image, then averaged over images. `pooled` takes all foreground as
  one mask and so does not see a pixel of the wrong class.
- `stacked`, Dice and IoU of `pooled` alone: an image's classes laid side by side as one mask, so
  that a pixel of the wrong class is an error. What D2GPLand and SRFT-GaLore report, but for their
  smoothing term.
- `per_class_px`, distances between border pixels, in pixels: per image, then averaged over images;
  `pooled` as in `per_image`. ASSD in this literature often follows other protocols (background
  channel, class stack as a volume), whose values do not compare.

Shape suffixes: H W image, N border pixels.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion
from scipy.spatial import KDTree

from segcore.batch import ClassSpec
from segcore.evaluation import ImageScore, Score

Mask = NDArray[np.bool_]
Distances = tuple[NDArray[np.float64], NDArray[np.float64]]

PER_IMAGE = "per_image"
STACKED = "stacked"
PER_CLASS_PX = "per_class_px"


class MaskScore(NamedTuple):
    """One metric of one class of one image."""

    class_name: str
    metric: str
    protocol: str
    value: float


def dice(a_HW: Mask, b_HW: Mask, *, empty: float = float("nan")) -> float:
    """Dice coefficient, 0 to 1. One empty mask scores 0, two score `empty` (NaN: not counted)."""
    total = int(a_HW.sum()) + int(b_HW.sum())
    return 2 * int((a_HW & b_HW).sum()) / total if total else empty


def iou(a_HW: Mask, b_HW: Mask, *, empty: float = float("nan")) -> float:
    """Intersection over union, 0 to 1. Empty masks as in `dice`."""
    union = int((a_HW | b_HW).sum())
    return int((a_HW & b_HW).sum()) / union if union else empty


def assd(a_HW: Mask, b_HW: Mask, *, empty: float | None = None) -> float:
    """Average symmetric surface distance in pixels.

    The mean over the border pixels of both masks, pooled, of the distance to the other mask's
    border: Heimann et al., IEEE TMI 28(8), 2009, and medpy 0.5's `assd`. (The mean of the two
    directed means, also met, differs where the borders differ in length.) Border pixels are those
    that an erosion by the 4-neighbourhood takes away; beyond the image is outside the mask.

    Args:
        a_HW: a mask.
        b_HW: another of the same shape.
        empty: the value where exactly one mask is empty; by default the image's diagonal, a
            bound of every distance. Two empty masks have no distance: NaN, not counted.
    """
    return _distance(a_HW, b_HW, _pooled_mean, empty)


def hausdorff(
    a_HW: Mask, b_HW: Mask, *, percentile: float = 100, empty: float | None = None
) -> float:
    """Hausdorff distance in pixels, or a percentile of the surface distances.

    Both directions are pooled before the percentile is taken, as medpy's `hd95`; MONAI takes the
    larger of the two directed percentiles. At 100 both are the Hausdorff distance.

    Args:
        a_HW: a mask.
        b_HW: another of the same shape.
        percentile: 0 to 100; 95 gives HD95.
        empty: as in `assd`.
    """
    return _distance(a_HW, b_HW, lambda d: _pooled_percentile(d, percentile), empty)


def score_masks(
    prediction_HW: NDArray[np.uint8], truth_HW: NDArray[np.uint8], classes: ClassSpec
) -> list[MaskScore]:
    """Every metric of one image: each foreground class, then `pooled`.

    Args:
        prediction_HW: labels as in `Sample.labels_HW`: class indices, or bit k = class k.
        truth_HW: the same of the truth.
        classes: how to read the labels.
    """
    pairs = {
        name: (_mask(prediction_HW, k, classes), _mask(truth_HW, k, classes))
        for k, name in enumerate(classes.names)
        if name in classes.foreground
    }
    out = []
    for name, (a, b) in pairs.items():
        out += _overlaps(name, a, b, PER_IMAGE) + _distances(name, a, b)
    a, b = prediction_HW > 0, truth_HW > 0
    out += _overlaps("pooled", a, b, PER_IMAGE) + _distances("pooled", a, b)
    a, b = (np.stack(masks) for masks in zip(*pairs.values(), strict=True))
    return out + _overlaps("pooled", a, b, STACKED)


def aggregate(images: Iterable[ImageScore]) -> tuple[Score, ...]:
    """Means over images, in the order in which classes and metrics first appear.

    Images whose value is NaN are not counted; `n` says how many are. The classes of a metric and
    protocol end with `macro`: the mean of the class means, over classes that any image defines;
    its `n` counts the images that define at least one.
    """
    groups: dict[tuple[str, int, str, str], dict[str, list[ImageScore]]] = {}
    for s in images:
        key = (s.split, s.resolution, s.metric, s.protocol)
        groups.setdefault(key, {}).setdefault(s.class_name, []).append(s)
    scores = []
    for (split, resolution, metric, protocol), by_class in groups.items():
        means = {}
        counted: set[str] = set()
        for name, members in by_class.items():
            defined = [s for s in members if not np.isnan(s.value)]
            mean = _mean([s.value for s in defined])
            scores.append(Score(split, resolution, name, metric, protocol, mean, len(defined)))
            if name != "pooled":
                means[name] = mean
                counted |= {s.sample_id for s in defined}
        if means:
            macro = _mean([m for m in means.values() if not np.isnan(m)])
            scores.append(Score(split, resolution, "macro", metric, protocol, macro, len(counted)))
    return tuple(scores)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _mask(labels_HW: NDArray[np.uint8], k: int, classes: ClassSpec) -> Mask:
    mask_HW: Mask = labels_HW == k if classes.exclusive else (labels_HW >> k) & 1 == 1
    return mask_HW


def _overlaps(name: str, a: Mask, b: Mask, protocol: str) -> list[MaskScore]:
    return [
        MaskScore(name, "dice", protocol, dice(a, b)),
        MaskScore(name, "iou", protocol, iou(a, b)),
    ]


def _distances(name: str, a_HW: Mask, b_HW: Mask) -> list[MaskScore]:
    """The three distances from one search for nearest border pixels."""
    fallback = _without_surface(a_HW, b_HW, None)
    if fallback is not None:
        values = [fallback] * 3
    else:
        d = surface_distances(a_HW, b_HW)
        values = [_pooled_mean(d), _pooled_percentile(d, 100), _pooled_percentile(d, 95)]
    metrics = zip(("assd", "hd", "hd95"), values, strict=True)
    return [MaskScore(name, metric, PER_CLASS_PX, value) for metric, value in metrics]


def surface_distances(a_HW: Mask, b_HW: Mask) -> Distances:
    """Distance of each border pixel of a mask to the other's nearest; both directions, pixels.

    Raises:
        ValueError: a mask is empty.
    """
    a_N2, b_N2 = _border(a_HW), _border(b_HW)
    if not len(a_N2) or not len(b_N2):
        raise ValueError("an empty mask has no surface")
    a_to_b, _ = KDTree(b_N2).query(a_N2)
    b_to_a, _ = KDTree(a_N2).query(b_N2)
    return np.asarray(a_to_b), np.asarray(b_to_a)


def _border(mask_HW: Mask) -> NDArray[np.intp]:
    """Row and column of the mask's border pixels."""
    rows, columns = np.flatnonzero(mask_HW.any(1)), np.flatnonzero(mask_HW.any(0))
    if not len(rows):
        return np.empty((0, 2), np.intp)
    box = mask_HW[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    border: NDArray[np.intp] = np.argwhere(box & ~binary_erosion(box)) + (rows[0], columns[0])
    return border


def _distance(
    a_HW: Mask, b_HW: Mask, reduce: Callable[[Distances], float], empty: float | None
) -> float:
    fallback = _without_surface(a_HW, b_HW, empty)
    return reduce(surface_distances(a_HW, b_HW)) if fallback is None else fallback


def _without_surface(a_HW: Mask, b_HW: Mask, empty: float | None) -> float | None:
    """The distance where a mask is empty, else None."""
    present = int(a_HW.any()) + int(b_HW.any())
    if present == 2:
        return None
    if present == 0:
        return float("nan")
    return float(np.hypot(*a_HW.shape)) if empty is None else empty


def _pooled_mean(distances: Distances) -> float:
    return float(np.concatenate(distances).mean())


def _pooled_percentile(distances: Distances, percentile: float) -> float:
    return float(np.percentile(np.concatenate(distances), percentile))
