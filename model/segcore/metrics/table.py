"""The table of metrics: which there are, loaded when they are asked for."""

from segcore.tables import Table

METRICS = Table("METRICS", "segcore.metrics", "metric")
_ROWS = {
    "dice.per_image": ("DICE", "overlap of the masks"),
    "iou.per_image": ("IOU", "intersection over union of the masks"),
    "nsd.tolerance_1pct": ("NSD", "share of both borders within 1 % of the height of the other"),
    "assd.per_class_px": ("ASSD", "mean distance between the borders, pooled"),
    "hd.per_class_px": ("HD", "Hausdorff distance"),
    "hd95.max_of_directed": ("HD95", "larger of the two directed 95th percentiles"),
    "assd.mean_of_directed": ("ASSD_OF_DIRECTED", "mean of the two directed mean distances"),
    "hd95.pooled": ("HD95_POOLED", "95th percentile of the distances of both borders, pooled"),
    "assd.image_px": ("ASSD_OWN", "assd.per_class_px in pixels of the image, not of the masks"),
    "hd95.image_px": ("HD95_OWN", "hd95.max_of_directed in pixels of the image, likewise"),
    "dice.stacked": ("DICE_STACKED", "overlap of the classes side by side, as D2GPLand has it"),
    "iou.stacked": ("IOU_STACKED", "the same, intersection over union"),
    "assd.background_10mm": ("ASSD_BACKGROUND", "of the background, as SRFT-GaLore's scripts"),
    "hd.empty_100": ("HD_EMPTY_100", "Hausdorff distance, 100 for an empty mask, as I-MedSAM"),
    "assd.stack3d": ("ASSD_STACK", "of the classes as one volume, as D2GPLand+'s scripts"),
    "error_auroc.uncertainty": ("ERROR_AUROC", "whether the network is unsure where it is wrong"),
    "errors_found.least_sure_eighth": ("ERRORS_FOUND", "errors within the least sure eighth"),
    "dice.per_case": ("DICE_OF_CASE", "overlap of the volumes of a case"),
    "assd.per_case_mm": ("ASSD_OF_CASE", "mean distance between the volumes of a case"),
}
_SALIENCY = {
    "s_measure.probabilities": ("S_MEASURE", "structure of objects and regions"),
    "e_measure.mean": ("E_MEAN", "agreement of what differs from the mean, over all thresholds"),
    "f_measure.adaptive": ("F_ADAPTIVE", "precision and recall at twice the map's mean"),
    "weighted_f.probabilities": ("WEIGHTED_F", "F-measure of soft errors, by place"),
    "mae.probabilities": ("MAE", "mean absolute difference of probability and truth"),
    "e_measure.max": ("E_MAX", "at the threshold that is best for the set"),
    "e_measure.adaptive": ("E_ADAPTIVE", "at twice the map's mean"),
    "f_measure.max": ("F_MAX", "at the threshold that is best for the set"),
    "f_measure.mean": ("F_MEAN", "mean over all thresholds"),
    "s_measure.min_max": ("S_MIN_MAX", "of stretched maps, as PySODMetrics"),
    "e_measure.mean_min_max": ("E_MEAN_MIN_MAX", "of stretched maps, as PySODMetrics"),
    "e_measure.max_min_max": ("E_MAX_MIN_MAX", "of stretched maps, as PySODMetrics"),
    "e_measure.adaptive_min_max": ("E_ADAPTIVE_MIN_MAX", "of stretched maps, as PySODMetrics"),
    "f_measure.adaptive_min_max": ("F_ADAPTIVE_MIN_MAX", "of stretched maps, as PySODMetrics"),
    "f_measure.max_min_max": ("F_MAX_MIN_MAX", "of stretched maps, as PySODMetrics"),
    "f_measure.mean_min_max": ("F_MEAN_MIN_MAX", "of stretched maps, as PySODMetrics"),
    "weighted_f.min_max": ("WEIGHTED_F_MIN_MAX", "of stretched maps, as PySODMetrics"),
    "mae.min_max": ("MAE_MIN_MAX", "of stretched maps, as PySODMetrics"),
    "dice.mean_over_thresholds": ("DICE_OF_THRESHOLDS", "mDice of stretched maps"),
    "iou.mean_over_thresholds": ("IOU_OF_THRESHOLDS", "mIoU of stretched maps"),
    "s_measure.hard_mask": ("S_HARD", "of the mask"),
    "e_measure.hard_mask": ("E_HARD", "of the mask"),
    "f_measure.hard_mask": ("F_HARD", "of the mask"),
    "weighted_f.hard_mask": ("WEIGHTED_F_HARD", "of the mask"),
    "mae.hard_mask": ("MAE_HARD", "share of the pixels that are wrong"),
    "dice.set_with_background": ("DICE_OF_SET", "of a set's pixels, as mmsegmentation's mDice"),
    "iou.set_with_background": ("IOU_OF_SET", "of a set's pixels, as mmsegmentation's mIoU"),
}
_LINES = {
    "cl_dice.per_image": ("CL_DICE", "how much of each centreline the other mask covers"),
    "line_distance.centrelines_px": ("LINE_DISTANCE", "mean distance between the centrelines"),
    "line_distance.p2ilf_10px": ("LINE_DISTANCE_P2ILF", "of bands, as P2ILF's evaluation"),
}
_MODULES = ((_ROWS, "rows"), (_SALIENCY, "saliency_rows"), (_LINES, "line_rows"))
for _rows, _module in _MODULES:
    for _key, (_name, _about) in _rows.items():
        METRICS.add(_key, f"segcore.metrics.{_module}:{_name}", _about)


_OF_PAPERS = ("hd.empty_100",)
"""Readings of single papers, computed where their presets ask for them."""
OF_UNCERTAINTY = ("error_auroc.uncertainty", "errors_found.least_sure_eighth")
"""For networks that say how unsure they are."""
OF_IMAGES = tuple(
    key for key in _ROWS if ".per_case" not in key and key not in (*_OF_PAPERS, *OF_UNCERTAINTY)
)
"""Metrics of single images: what a data set is scored with unless it says otherwise."""
OF_SALIENCY = ("dice.per_image", "iou.per_image", *_SALIENCY)
"""Metrics of salient object detection: what data sets of that field are scored with."""
OF_LINES = tuple(key for key in _LINES if "p2ilf" not in key)
"""Metrics of thin structures: for data sets of landmarks, beside those of images."""
OF_P2ILF = (*OF_LINES, "line_distance.p2ilf_10px")
"""The same, and that of the challenge."""
OF_CASES = tuple(key for key in _ROWS if ".per_case" in key)
"""Metrics of whole cases: for data sets of volumes."""


def default_protocol(metric: str) -> str | None:
    """The protocol that stands for a metric: its first one in the table. None: no such metric."""
    protocols = (key.partition(".")[2] for key in METRICS if key.partition(".")[0] == metric)
    return next(protocols, None)
