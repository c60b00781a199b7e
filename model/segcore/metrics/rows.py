"""The rows of the table of metrics; what each computes is told in `segcore.metrics`."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from segcore.metrics.metric import Metric, Pair, distance, distance_own
from segcore.metrics.overlap import Mask
from segcore.metrics.published import background_10mm, stack3d
from segcore.metrics.surface import SurfaceDistances, diagonal_mm, surface_dice
from segcore.metrics.uncertainty import error_auroc, errors_found

NSD_TOLERANCE = 0.01
"""Of the normalised surface Dice, as a share of the image's height: 10 px of 1024. A share, so
that scores at several resolutions forgive the same error."""

IMEDSAM_EMPTY = 100.0
"""What a mask costs that is empty, or whose truth is, in I-MedSAM's test, which calls medpy's `hd`,
pixels: little on large masks and much on small ones."""


def _dice(pair: Pair) -> float:
    return pair.overlap.dice()


def _iou(pair: Pair) -> float:
    return pair.overlap.iou()


def _surface_dice(pair: Pair) -> float:
    tolerance = NSD_TOLERANCE * pair.truth.shape[-2]
    if pair.surface is None:
        return surface_dice(pair.prediction, pair.truth, tolerance)
    return pair.surface.share_within(tolerance)


def _of_errors(pair: Pair, compute: Callable[[NDArray[np.float32], Mask], float]) -> float:
    """Of the pixels that are wrong about there being any foreground."""
    if pair.uncertainty is None:
        return float("nan")
    known = ~np.isnan(pair.uncertainty)
    return compute(pair.uncertainty[known], (pair.prediction != pair.truth)[known])


def _hd_empty_100(pair: Pair) -> float:
    return IMEDSAM_EMPTY if pair.surface is None else pair.surface.percentile(100)


def _assd_of_case(pair: Pair) -> float:
    if pair.surface_mm is not None:
        return pair.surface_mm.mean()
    if pair.spacing_mm is None or pair.prediction.any() == pair.truth.any():
        return float("nan")
    return diagonal_mm(pair.truth.shape, pair.spacing_mm)


DICE = Metric(
    name="dice",
    label="Dice",
    about="Twice the overlap over the sum of both areas; 1 is perfect.",
    protocol="per_image",
    direction="maximize",
    unit="fraction",
    compute=_dice,
    shown=True,
)
IOU = Metric(
    name="iou",
    label="IoU",
    about="Overlap over union; 1 is perfect.",
    protocol="per_image",
    direction="maximize",
    unit="fraction",
    compute=_iou,
)
NSD = Metric(
    name="nsd",
    label="NSD",
    about="Share of both outlines within 1 % of the image's height of the other; 1 is perfect.",
    protocol="tolerance_1pct",
    direction="maximize",
    unit="fraction",
    compute=_surface_dice,
    shown=True,
)
ASSD = Metric(
    name="assd",
    label="ASSD",
    about="Average symmetric surface distance: how far the two outlines are apart on average.",
    protocol="per_class_px",
    direction="minimize",
    unit="px",
    compute=distance(SurfaceDistances.mean),
    shown=True,
)
HD = Metric(
    name="hd",
    label="HD",
    about="The largest of the distances between the two outlines.",
    protocol="per_class_px",
    direction="minimize",
    unit="px",
    compute=distance(lambda d: d.percentile(100)),
)
HD_EMPTY_100 = Metric(
    name="hd",
    label="HD",
    protocol="empty_100",
    direction="minimize",
    unit="px",
    compute=_hd_empty_100,
    only_at_test=True,
)
HD95 = Metric(
    name="hd95",
    label="HD95",
    about="95th percentile of the distances from either outline to the other, the larger of both.",
    protocol="max_of_directed",
    direction="minimize",
    unit="px",
    compute=distance(lambda d: d.max_of_directed(95)),
    shown=True,
)
ASSD_OF_DIRECTED = Metric(
    name="assd",
    label="ASSD",
    protocol="mean_of_directed",
    direction="minimize",
    unit="px",
    compute=distance(SurfaceDistances.mean_of_directed),
    only_at_test=True,
)
HD95_POOLED = Metric(
    name="hd95",
    label="HD95",
    about="95th percentile of the distances between the two outlines, of both together.",
    protocol="pooled",
    direction="minimize",
    unit="px",
    compute=distance(lambda d: d.percentile(95)),
    only_at_test=True,
)
ASSD_OWN = Metric(
    name="assd",
    label="ASSD",
    about="Average symmetric surface distance, in pixels of the image itself.",
    protocol="image_px",
    direction="minimize",
    unit="px",
    compute=distance_own(SurfaceDistances.mean),
    only_at_test=True,
)
HD95_OWN = Metric(
    name="hd95",
    label="HD95",
    about="The larger of the directed 95th percentiles, in pixels of the image itself.",
    protocol="image_px",
    direction="minimize",
    unit="px",
    compute=distance_own(lambda d: d.max_of_directed(95)),
    only_at_test=True,
)
DICE_STACKED = Metric(
    name="dice",
    label="Dice",
    protocol="stacked",
    direction="maximize",
    unit="fraction",
    compute=_dice,
    classes="stacked",
)
IOU_STACKED = Metric(
    name="iou",
    label="IoU",
    protocol="stacked",
    direction="maximize",
    unit="fraction",
    compute=_iou,
    classes="stacked",
)
ASSD_BACKGROUND = Metric(
    name="assd",
    label="ASSD",
    protocol="background_10mm",
    direction="minimize",
    unit="mm",
    compute=lambda pair: background_10mm(~pair.prediction, ~pair.truth),
    classes="pooled",
    only_at_test=True,
)
ASSD_STACK = Metric(
    name="assd",
    label="ASSD",
    protocol="stack3d",
    direction="minimize",
    unit="px",
    compute=lambda pair: stack3d(pair.prediction, pair.truth),
    classes="stacked",
    only_at_test=True,
)
DICE_OF_CASE = Metric(
    name="dice",
    label="Dice",
    protocol="per_case",
    direction="maximize",
    unit="fraction",
    compute=_dice,
    scope="case",
)
ASSD_OF_CASE = Metric(
    name="assd",
    label="ASSD",
    protocol="per_case_mm",
    direction="minimize",
    unit="mm",
    compute=_assd_of_case,
    scope="case",
)
ERROR_AUROC = Metric(
    name="error_auroc",
    label="AUROC of errors",
    about="Chance that a wrong pixel is less sure than a right one; 0.5 is chance, 1 is perfect.",
    protocol="uncertainty",
    direction="maximize",
    unit="fraction",
    compute=lambda pair: _of_errors(pair, error_auroc),
    classes="pooled",
    needs="uncertainty",
    shown=True,
    only_at_test=True,
)
ERRORS_FOUND = Metric(
    name="errors_found",
    label="Errors found",
    about="Share of the wrong pixels that are among the least sure eighth; 0.125 is chance.",
    protocol="least_sure_eighth",
    direction="maximize",
    unit="fraction",
    compute=lambda pair: _of_errors(pair, errors_found),
    classes="pooled",
    needs="uncertainty",
    shown=True,
    only_at_test=True,
)
