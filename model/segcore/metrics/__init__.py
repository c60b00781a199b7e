"""Overlap and surface distance of masks, measures of saliency, and their means over a set.

aggregate  Means, or other reductions, over the images or cases of a split.
images     Every metric of one image or one case.
line_rows  The rows of the table of metrics that are of thin structures.
lines      Thin structures: overlap and distance of centrelines.
metric     What every metric offers.
nearest    How far each point of a grid is from the nearest point of another set, exactly.
overlap    Overlap of two masks.
published  ASSD as the code of this field computes it, traps included.
rows       The rows of the table of metrics.
saliency   Measures of salient object detection: a map of probabilities against a mask.
saliency_rows   Their rows of the table.
surface    Distances between the borders of two masks, in pixels or millimetres.
table      The table of metrics: which there are, loaded when they are asked for.
uncertainty  Whether a network is unsure where it is wrong.

Every value stands under its metric and protocol. A class is one of the data set's, `pooled` (all
foreground as one mask, which does not see a pixel of the wrong class) or `macro` (the mean of the
class means). All but those of cases are per image, then averaged over images. The first protocol
of a metric is the default: what val is scored with, and what is shown where nothing else is asked
for.

dice, iou
    `per_image`: overlap of the masks.
    `stacked`, class `pooled` alone: an image's classes laid side by side as one mask, so that a
    pixel of the wrong class is an error. D2GPLand's and SRFT-GaLore's, but for their smoothing.
    `per_case`: of dice, over all slices of a case as one volume.
assd
    `per_class_px`: mean over the border pixels of both masks, pooled; pixels.
    `mean_of_directed`: mean of the two directed means; pixels.
    `image_px`: as `per_class_px`, in pixels of the image as it is stored: masks of another shape
    squash it, and one pixel of a 16:9 frame on square masks counts 1.78 times as much upwards as
    sideways. Not counted where its size is not known.
    `background_10mm`, class `pooled` alone: SRFT-GaLore's scripts, see `published`.
    `stack3d`, class `pooled` alone: D2GPLand+'s and TopoNet's scripts, see `published`.
    `per_case_mm`: mean over the border voxels of both volumes, in millimetres by the case's
    spacing; not counted where that is not known.
hd
    `per_class_px`: Hausdorff distance; pixels.
    `empty_100`: the same, but 100 where a mask is empty, or both are: I-MedSAM's test, on images
    that all have an object.
hd95
    `max_of_directed`: the larger of the two directed 95th percentiles, as MONAI and DeepMind's
    `surface-distance`; pixels.
    `pooled`: 95th percentile over the border pixels of both masks, as medpy; pixels. A false island
    that is less than a twentieth of both borders costs nothing here.
    `image_px`: as `max_of_directed`, in pixels of the image as it is stored.
error_auroc, errors_found
    `uncertainty`, `least_sure_eighth`, class `pooled` alone: how well a network's own map of its
    uncertainty finds the pixels that are wrong about there being any foreground; not counted where
    none is, or where the network has no such map.
nsd
    `tolerance_1pct`: share of both borders within 1 % of the image's height of the other.
cl_dice
    `per_image`: harmonic mean of the share of the prediction's centreline that lies in the truth,
    and of the truth's in the prediction.
line_distance
    `centrelines_px`: mean distance over the pixels of both centrelines, pooled; pixels.
    `p2ilf_10px`: P2ILF's, of bands as they are, see `lines.p2ilf_distance`; pixels.
s_measure, weighted_f, mae
    `probabilities`: of the probabilities as they are.
    `min_max`: as PySODMetrics does by default, and so most tables of the field: maps are saved
    with 8 bits, then stretched from their own minimum and maximum to 0 and 1.
    `hard_mask`: of the mask, as where a network's output is an argmax (WEFT's tables).
e_measure, f_measure
    `mean`, `adaptive`, `max`: over 256 thresholds, at twice the map's mean, and at the threshold
    at which the set's mean curve is highest; each of the probabilities as they are.
    `mean_min_max`, `adaptive_min_max`, `max_min_max`: the same of stretched maps.
    `hard_mask`: of the mask.
dice, iou, as the mDice and mIoU of other fields
    `mean_over_thresholds`: mean over 256 thresholds of a stretched map, then over images: tables
    of polyps and of camouflage.
    `set_with_background`, class `pooled` alone: pixels of the whole set, then the mean over all
    classes, the background too: mmsegmentation's, which WEFT's code prints.

A max is no mean over images: an image's own value, in the table of images, is the maximum of its
own curve, and their mean lies above the set's value. `set_with_background` is no mean either.

ASSD pools because medpy (0.5.2) and MONAI (1.6) do: these are the values that most tables have.

Pixels that nobody knows count as background in prediction and truth: they are in no overlap and no
distance, and dilute what looks at the whole image (MAE, S- and E-measure).

Empty masks. One of the two: overlap and NSD are 0, distances the image's diagonal, a bound of
every distance. Both: the image, or case, is not counted (NaN). `background_10mm` does not count an
image that is all foreground in prediction or truth; `stack3d` gives 80 where either is empty, or
both. F-measures: of an empty truth they are not counted, but 0 for `min_max` and
`mean_over_thresholds`, whatever is predicted, as PySODMetrics has it. S, E and MAE of an empty
truth say how much of the image is left unmarked; a map of zeros marks nothing, except for
`adaptive_min_max`, which takes it for all marked and gives it an E of 0.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segcore.metrics.lines import centreline, centreline_distances, cl_dice, p2ilf_distance
    from segcore.metrics.overlap import dice, iou
    from segcore.metrics.published import background_10mm, stack3d
    from segcore.metrics.surface import (
        SurfaceDistances,
        assd,
        hausdorff,
        surface_dice,
        surface_distances,
    )
    from segcore.metrics.table import METRICS, default_protocol

_EXPORTED = {
    "METRICS": "table",
    "SurfaceDistances": "surface",
    "assd": "surface",
    "background_10mm": "published",
    "default_protocol": "table",
    "dice": "overlap",
    "hausdorff": "surface",
    "centreline": "lines",
    "centreline_distances": "lines",
    "cl_dice": "lines",
    "iou": "overlap",
    "p2ilf_distance": "lines",
    "stack3d": "published",
    "surface_dice": "surface",
    "surface_distances": "surface",
}

__all__ = [
    "METRICS",
    "SurfaceDistances",
    "assd",
    "background_10mm",
    "centreline",
    "centreline_distances",
    "cl_dice",
    "default_protocol",
    "dice",
    "hausdorff",
    "iou",
    "p2ilf_distance",
    "stack3d",
    "surface_dice",
    "surface_distances",
]


def __getattr__(name: str) -> Any:
    """Import an exported name when it is first asked for: the table alone needs no NumPy."""
    if name not in _EXPORTED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"segcore.metrics.{_EXPORTED[name]}"), name)
