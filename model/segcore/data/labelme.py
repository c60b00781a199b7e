"""Polylines and boxes as the labelme annotation tool stores them, and the masks drawn of lines.

Shape suffixes: N points, H W canvas.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Polyline:
    """An open line."""

    label: str
    points_N2: NDArray[np.float64]
    """(x, y) in pixels of the annotated image."""


@dataclass(frozen=True)
class Annotation:
    """The polylines of one image."""

    lines: tuple[Polyline, ...]
    height: int
    """Of the annotated image, pixels."""
    width: int


def parse(text: str | bytes) -> Annotation:
    """Read a labelme file.

    Raises:
        ValueError: not JSON, or not what labelme writes; the message says what is missing.
    """
    values = _values(text)
    return Annotation(
        tuple(_polyline(shape) for shape in values["shapes"]),
        height=_side(values, "imageHeight"),
        width=_side(values, "imageWidth"),
    )


def parse_rectangles(
    text: str | bytes,
) -> tuple[str, list[tuple[str, tuple[float, float, float, float]]]]:
    """The image that a labelme file is of, and its rectangles: label and (x0, y0, x1, y1) in
    pixels. Other shapes are passed over.

    Raises:
        ValueError: not JSON, or not what labelme writes; the message says what is missing.
    """
    values = _values(text)
    image = values.get("imagePath")
    if not isinstance(image, str) or not image:
        raise ValueError("imagePath does not name its image")
    found = []
    for shape in values["shapes"]:
        line = _polyline(shape)
        if shape.get("shape_type") == "rectangle" and len(line.points_N2):
            x0, y0 = line.points_N2.min(0).tolist()
            x1, y1 = line.points_N2.max(0).tolist()
            found.append((line.label, (x0, y0, x1, y1)))
    return image, found


def _values(text: str | bytes) -> dict[str, Any]:
    values = json.loads(text)
    if not isinstance(values, dict) or not isinstance(values.get("shapes"), list):
        raise ValueError("no list of shapes")
    return values


def _side(values: dict[str, Any], key: str) -> int:
    side = values.get(key)
    if type(side) is not int or side < 1:
        raise ValueError(f"{key} is not a positive integer")
    return side


def _polyline(shape: Any) -> Polyline:
    if not isinstance(shape, dict) or not isinstance(shape.get("label"), str):
        raise ValueError("a shape without a label")
    try:
        points = np.asarray(shape.get("points"), np.float64)
    except (TypeError, ValueError):
        points = np.empty(0)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError(f"shape {shape['label']!r}: points are not a list of (x, y)")
    return Polyline(shape["label"], points)


def dump(annotation: Annotation, image_path: str) -> str:
    """The annotation as labelme would save it next to `image_path`."""
    shapes: list[dict[str, Any]] = [
        {
            "label": line.label,
            "points": [[round(float(x), 2), round(float(y), 2)] for x, y in line.points_N2],
            "group_id": None,
            "shape_type": "linestrip",
            "flags": {},
        }
        for line in annotation.lines
    ]
    values: dict[str, Any] = {
        "version": "5.4.1",
        "flags": {},
        "shapes": shapes,
        "imagePath": image_path,
        "imageData": None,
        "imageHeight": annotation.height,
        "imageWidth": annotation.width,
    }
    return json.dumps(values, indent=1)


def with_points(
    annotation: Annotation, move: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> Annotation:
    """The same lines through other points."""
    lines = (replace(line, points_N2=move(line.points_N2)) for line in annotation.lines)
    return replace(annotation, lines=tuple(lines))


def draw(annotation: Annotation, classes: Sequence[int], width: int) -> NDArray[np.uint8]:
    """Draw polylines on a canvas of the annotated image's size.

    Args:
        annotation: the lines.
        classes: the value of each line. Where lines cross, the larger value stays on top,
            whatever their order in the file.
        width: of the lines, pixels of the canvas; an even one becomes the next odd, as a line has
            a middle pixel.

    Returns:
        labels_HW, 0 where there is no line.
    """
    # OpenCV draws an even thickness one pixel wider; odd ones differ between its versions.
    thickness = max(1, width // 2 * 2)
    labels_HW = np.zeros((annotation.height, annotation.width), np.uint8)
    for value, line in sorted(zip(classes, annotation.lines, strict=True), key=lambda c: c[0]):
        points = np.rint(line.points_N2).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(labels_HW, [points], isClosed=False, color=value, thickness=thickness)
    return labels_HW
