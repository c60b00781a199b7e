"""The table of metrics: which there are, loaded when they are asked for."""

from segcore.tables import Table

METRICS = Table("METRICS", "segcore.metrics", "metric")
_ROWS = {
    "dice.per_image": ("DICE", "overlap of the masks"),
    "iou.per_image": ("IOU", "intersection over union of the masks"),
    "nsd.tolerance_1pct": ("NSD", "share of both borders within 1 % of the height of the other"),
    "assd.per_class_px": ("ASSD", "mean distance between the borders, pooled"),
    "hd.per_class_px": ("HD", "Hausdorff distance"),
    "hd95.pooled": ("HD95", "95th percentile of the distances between the borders, pooled"),
    "assd.mean_of_directed": ("ASSD_OF_DIRECTED", "mean of the two directed mean distances"),
    "hd95.max_of_directed": ("HD95_OF_DIRECTED", "larger of the two directed 95th percentiles"),
    "dice.stacked": ("DICE_STACKED", "overlap of the classes side by side, as D2GPLand has it"),
    "iou.stacked": ("IOU_STACKED", "the same, intersection over union"),
    "assd.background_10mm": ("ASSD_BACKGROUND", "of the background, as SRFT-GaLore's scripts"),
    "hd.empty_100": ("HD_EMPTY_100", "Hausdorff distance, 100 for an empty mask, as I-MedSAM"),
    "assd.stack3d": ("ASSD_STACK", "of the classes as one volume, as D2GPLand+'s scripts"),
    "dice.per_case": ("DICE_OF_CASE", "overlap of the volumes of a case"),
    "assd.per_case_mm": ("ASSD_OF_CASE", "mean distance between the volumes of a case"),
}
for _key, (_name, _about) in _ROWS.items():
    METRICS.add(_key, f"segcore.metrics.rows:{_name}", _about)


_OF_PAPERS = ("hd.empty_100",)
"""Readings of single papers, computed where their presets ask for them."""
OF_IMAGES = tuple(key for key in _ROWS if ".per_case" not in key and key not in _OF_PAPERS)
"""Metrics of single images: what a data set is scored with unless it says otherwise."""
OF_CASES = tuple(key for key in _ROWS if ".per_case" in key)
"""Metrics of whole cases: for data sets of volumes."""


def default_protocol(metric: str) -> str | None:
    """The protocol that stands for a metric: its first one in the table. None: no such metric."""
    protocols = (key.partition(".")[2] for key in METRICS if key.partition(".")[0] == metric)
    return next(protocols, None)
