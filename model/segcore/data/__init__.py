"""Data sets by name."""

from collections.abc import Mapping

from segcore.registry import Entry

DATASETS: Mapping[str, Entry] = {
    "synthetic_liver": Entry(
        "segcore.data.synthetic_liver:SyntheticLiver",
        "procedural laparoscopic scenes with ridge, silhouette and ligament",
    ),
    "l3d": Entry(
        "segcore.data.l3d:L3D",
        "L3D: liver landmarks of 39 patients as labelme polylines, with depth",
    ),
}
