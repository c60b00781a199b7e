"""Every metric of one image.

Shape suffixes: H W image.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segcore.batch import ClassSpec
from segcore.metrics.overlap import Mask, dice, iou
from segcore.metrics.published import background_10mm, stack3d
from segcore.metrics.surface import (
    SurfaceDistances,
    surface_dice,
    surface_distances,
    without_surface,
)
from segcore.training.events import (
    BACKGROUND_10MM,
    MAX_OF_DIRECTED,
    MEAN_OF_DIRECTED,
    PER_CLASS_PX,
    PER_IMAGE,
    POOLED,
    STACK3D,
    STACKED,
    TOLERANCE_1PCT,
)

NSD_TOLERANCE = 0.01
"""Of the normalised surface Dice, as a share of the image's height: 10 px of 1024. A share, so
that scores at several resolutions forgive the same error."""


_DEFAULTS: dict[tuple[str, str], Callable[[SurfaceDistances], float]] = {
    ("assd", PER_CLASS_PX): SurfaceDistances.mean,
    ("hd", PER_CLASS_PX): lambda d: d.percentile(100),
    ("hd95", POOLED): lambda d: d.percentile(95),
}
_OTHERS: dict[tuple[str, str], Callable[[SurfaceDistances], float]] = {
    ("assd", MEAN_OF_DIRECTED): SurfaceDistances.mean_of_directed,
    ("hd95", MAX_OF_DIRECTED): lambda d: d.max_of_directed(95),
}


class MaskScore(NamedTuple):
    """One metric of one class of one image."""

    class_name: str
    metric: str
    protocol: str
    value: float


def score_masks(
    prediction_HW: NDArray[np.uint8],
    truth_HW: NDArray[np.uint8],
    classes: ClassSpec,
    *,
    every_protocol: bool = False,
) -> list[MaskScore]:
    """Every metric of one image: each foreground class, then `pooled`.

    Args:
        prediction_HW: labels as in `Sample.labels_HW`: class indices, or bit k = class k.
        truth_HW: the same of the truth.
        classes: how to read the labels.
        every_protocol: also the other definitions of ASSD and HD95, and the field's as coded,
            which take longer than all the rest.
    """
    pairs = {
        name: (_mask(prediction_HW, k, classes), _mask(truth_HW, k, classes))
        for k, name in enumerate(classes.names)
        if name in classes.foreground
    }
    foreground = prediction_HW > 0, truth_HW > 0
    out: list[MaskScore] = []
    for name, (a, b) in {**pairs, "pooled": foreground}.items():
        out += _overlaps(name, a, b, PER_IMAGE)
        out += _distances(name, a, b, every_protocol=every_protocol)
    a, b = (np.stack(masks) for masks in zip(*pairs.values(), strict=True))
    out += _overlaps("pooled", a, b, STACKED)
    if every_protocol:
        background = background_10mm(*(~mask for mask in foreground))
        out.append(MaskScore("pooled", "assd", BACKGROUND_10MM, background))
        out.append(MaskScore("pooled", "assd", STACK3D, stack3d(a, b)))
    return out


def _mask(labels_HW: NDArray[np.uint8], k: int, classes: ClassSpec) -> Mask:
    mask_HW: Mask = labels_HW == k if classes.exclusive else (labels_HW >> k) & 1 == 1
    return mask_HW


def _overlaps(name: str, a: Mask, b: Mask, protocol: str) -> Iterator[MaskScore]:
    yield MaskScore(name, "dice", protocol, dice(a, b))
    yield MaskScore(name, "iou", protocol, iou(a, b))


def _distances(name: str, a_HW: Mask, b_HW: Mask, *, every_protocol: bool) -> Iterator[MaskScore]:
    """All that one search for nearest border pixels gives."""
    reductions = {**_DEFAULTS, **_OTHERS} if every_protocol else _DEFAULTS
    tolerance = NSD_TOLERANCE * a_HW.shape[0]
    fallback = without_surface(a_HW, b_HW)
    if fallback is None:
        d = surface_distances(a_HW, b_HW)
        values = {key: reduce(d) for key, reduce in reductions.items()}
        nsd = d.share_within(tolerance)
    else:
        values = dict.fromkeys(reductions, fallback)
        nsd = surface_dice(a_HW, b_HW, tolerance)
    yield MaskScore(name, "nsd", TOLERANCE_1PCT, nsd)
    for (metric, protocol), value in values.items():
        yield MaskScore(name, metric, protocol, value)
