"""What a prediction looks like: palette masks, contours, overlays.

Shape suffixes: H W image, N points.
"""

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segcore.classes import COLOURS, ClassSpec
from segcore.predict.predictor import Predicted

TINT = 0.4
"""Share of a class's colour in an overlay; its contour is drawn in the full colour."""


@dataclass(frozen=True)
class Contour:
    """One closed border of one class."""

    label: str
    points_N2: NDArray[np.int32]
    """(x, y) of border pixels. One pixel of a class has one point, a straight line two."""
    hole: bool
    """Whether it goes round a hole: it then runs on the class's own pixels."""


def contours(predicted: Predicted) -> list[Contour]:
    """The borders of every class but the background, outer ones and holes."""
    found = []
    for name, mask_HW in _foreground(predicted):
        borders, hierarchy = cv2.findContours(
            mask_HW.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE
        )
        for n, border in enumerate(borders):
            hole = hierarchy is not None and bool(hierarchy[0][n][3] >= 0)
            found.append(Contour(name, border[:, 0].astype(np.int32), hole))
    return found


def labelme(borders: Sequence[Contour], image_path: str, shape_HW: tuple[int, int]) -> str:
    """Contours as the labelme annotation tool saves them; a hole has the flag `hole`."""
    kinds = {1: "point", 2: "line"}
    values: dict[str, Any] = {
        "version": "5.4.1",
        "flags": {},
        "shapes": [
            {
                "label": border.label,
                "points": border.points_N2.tolist(),
                "group_id": None,
                "shape_type": kinds.get(len(border.points_N2), "polygon"),
                "flags": {"hole": True} if border.hole else {},
            }
            for border in borders
        ],
        "imagePath": image_path,
        "imageData": None,
        "imageHeight": shape_HW[0],
        "imageWidth": shape_HW[1],
    }
    return json.dumps(values) + "\n"


def overlay(
    image_HW3: NDArray[np.uint8], predicted: Predicted, borders: Sequence[Contour]
) -> NDArray[np.uint8]:
    """The image (RGB) with every class tinted and its borders drawn, in the class's colour."""
    out_HW3 = image_HW3.copy()
    thickness = max(1, round(min(image_HW3.shape[:2]) / 400))
    for name, mask_HW in _foreground(predicted):
        if not mask_HW.any():
            continue
        colour = predicted.classes.colour(name)
        tint_HW3 = np.empty_like(image_HW3)
        tint_HW3[:] = colour
        tinted = cv2.addWeighted(out_HW3, 1 - TINT, tint_HW3, TINT, 0)
        cv2.copyTo(tinted, mask_HW.astype(np.uint8), out_HW3)
        own = [border.points_N2[:, None] for border in borders if border.label == name]
        cv2.drawContours(out_HW3, own, -1, colour, thickness)
    return out_HW3


def _foreground(predicted: Predicted) -> Iterable[tuple[str, NDArray[np.bool_]]]:
    return predicted.classes.foreground_masks(predicted.labels_HW).items()


def mask_png(labels_HW: NDArray[np.uint8], classes: ClassSpec) -> bytes:
    """Labels as a PNG whose values are the labels and whose palette makes them visible."""
    image = Image.fromarray(labels_HW)
    image.putpalette(_palette(classes))
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _palette(classes: ClassSpec) -> bytes:
    """256 colours: of a class where labels are indices, of the highest bit where they are bits."""
    count = len(classes.foreground)
    colours = np.zeros((256, 3), np.uint8)
    for label in range(1, 256):
        k = label - 1 if classes.exclusive else label.bit_length() - 1
        if k < count:
            colours[label] = COLOURS[k % len(COLOURS)]
    return colours.tobytes()


def png(array: NDArray[np.uint8]) -> bytes:
    """Grey (H, W) or RGB (H, W, 3) as a PNG, written quickly rather than small."""
    pixels = array if array.ndim == 2 else cv2.cvtColor(array, cv2.COLOR_RGB2BGR)
    _, content = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return content.tobytes()
