"""Predictions as instances in COCO's form, which CVAT imports as masks ("COCO 1.0").

An instance is a connected region of a class, as run lengths of its pixels: nothing is lost, holes
and single pixels included.

Shape suffixes: H W image.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segcore.classes import ClassSpec
from segcore.predict.predictor import Predicted

FILE = "instances_default.json"
"""As CVAT calls its own."""


@dataclass(frozen=True)
class CocoImage:
    """One image and what was found on it."""

    file_name: str
    """By which an annotation tool knows the image."""
    shape_HW: tuple[int, int]
    instances: Sequence[dict[str, Any]] = field(repr=False)
    """`category_id`, `segmentation`, `area` and `bbox` of each."""


def instances_of(predicted: Predicted, file_name: str) -> CocoImage:
    """The connected regions of every class but the background; corners connect."""
    found = []
    masks = predicted.classes.foreground_masks(predicted.labels_HW)
    for category, mask_HW in enumerate(masks.values(), 1):
        count, regions_HW, stats, _ = cv2.connectedComponentsWithStats(
            mask_HW.astype(np.uint8), connectivity=8
        )
        for region, runs in zip(
            range(1, count), _run_lengths(regions_HW.astype(np.int32, copy=False)), strict=True
        ):
            found.append(
                {
                    "category_id": category,
                    "segmentation": {"size": list(mask_HW.shape), "counts": runs},
                    "area": int(stats[region, cv2.CC_STAT_AREA]),
                    "bbox": [int(side) for side in stats[region, :4]],
                }
            )
    height, width = predicted.labels_HW.shape
    return CocoImage(file_name, (height, width), found)


def _run_lengths(regions_HW: NDArray[np.int32]) -> Iterator[list[int]]:
    """COCO's run lengths of each region from 1 on: pixels outside and inside by turns, column by
    column, those outside first. All at once: a noisy mask has thousands of regions."""
    regions = regions_HW.T.ravel()
    places = np.flatnonzero(regions)
    order = np.argsort(regions[places], kind="stable")
    ends = np.cumsum(np.bincount(regions[places])[1:])
    for own in np.split(places[order], ends[:-1]) if places.size else ():
        gaps = np.flatnonzero(np.diff(own) > 1)
        starts, stops = own[np.r_[0, gaps + 1]], own[np.r_[gaps, -1]] + 1
        edges = np.column_stack((starts, stops)).ravel()
        runs = np.diff(np.r_[0, edges, regions.size]).tolist()
        yield runs if runs[-1] else runs[:-1]


def dataset(images: Sequence[CocoImage], classes: ClassSpec) -> str:
    """A whole file: images by name, their instances, and the foreground's classes."""
    listed, annotations = [], list[dict[str, Any]]()
    for number, image in enumerate(sorted(images, key=lambda i: i.file_name), 1):
        height, width = image.shape_HW
        listed.append(
            {"id": number, "file_name": image.file_name, "height": height, "width": width}
        )
        for instance in image.instances:
            place = {"id": len(annotations) + 1, "image_id": number, "iscrowd": 0}
            annotations.append(place | instance)
    categories = [
        {"id": number, "name": name, "supercategory": ""}
        for number, name in enumerate(classes.foreground, 1)
    ]
    whole = {"images": listed, "annotations": annotations, "categories": categories}
    return json.dumps(whole) + "\n"
