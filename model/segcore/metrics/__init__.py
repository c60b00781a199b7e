"""Overlap and surface distance of masks, and their means over images.

aggregate  Means over the images of a split.
images     Every metric of one image.
nearest    How far each point of a grid is from the nearest point of another set, exactly.
overlap    Overlap of two masks.
published  ASSD as the code of this field computes it, traps included.
surface    Distances between the borders of two masks, in pixels.

Every value stands under its metric and protocol. A class is one of the data set's, `pooled` (all
foreground as one mask, which does not see a pixel of the wrong class) or `macro` (the mean of the
class means). All are per image, then averaged over images. The first protocol of a metric is the
default: what val is scored with, and what is shown where nothing else is asked for.

dice, iou
    `per_image`: overlap of the masks.
    `stacked`, class `pooled` alone: an image's classes laid side by side as one mask, so that a
    pixel of the wrong class is an error. D2GPLand's and SRFT-GaLore's, but for their smoothing.
assd
    `per_class_px`: mean over the border pixels of both masks, pooled; pixels.
    `mean_of_directed`: mean of the two directed means; pixels.
    `background_10mm`, class `pooled` alone: SRFT-GaLore's scripts, see `published`.
    `stack3d`, class `pooled` alone: D2GPLand+'s and TopoNet's scripts, see `published`.
hd
    `per_class_px`: Hausdorff distance; pixels.
hd95
    `pooled`: 95th percentile over the border pixels of both masks; pixels.
    `max_of_directed`: the larger of the two directed 95th percentiles; pixels.
nsd
    `tolerance_1pct`: share of both borders within 1 % of the image's height of the other.

ASSD pools because medpy (0.5.2) and MONAI (1.6) do: these are the values that most tables have.

Empty masks. One of the two: overlap and NSD are 0, distances the image's diagonal, a bound of
every distance. Both: the image is not counted (NaN). `background_10mm` does not count an image
that is all foreground in prediction or truth; `stack3d` gives 80 where either is empty, or both.
"""

from segcore.metrics.aggregate import aggregate
from segcore.metrics.images import NSD_TOLERANCE, MaskScore, score_masks
from segcore.metrics.overlap import dice, iou
from segcore.metrics.published import background_10mm, stack3d
from segcore.metrics.surface import (
    SurfaceDistances,
    assd,
    hausdorff,
    surface_dice,
    surface_distances,
)

__all__ = [
    "NSD_TOLERANCE",
    "MaskScore",
    "SurfaceDistances",
    "aggregate",
    "assd",
    "background_10mm",
    "dice",
    "hausdorff",
    "iou",
    "score_masks",
    "stack3d",
    "surface_dice",
    "surface_distances",
]
