"""Pictures of predictions and errors, composed from images and coloured labels.

Shape suffixes: H height, W width, 3 colour channels.
"""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 256
"""Longer side of a composed picture, pixels."""
FILL = 0.6
"""Share of the colour in a pixel of a class or an error."""
CONTOUR = (255, 255, 255)
MISSED, FALSE, CONFUSED = (255, 176, 0), (0, 190, 255), (190, 90, 255)
"""Amber, sky blue and violet: colour-blind readers can tell them apart, and from tissue."""


def overlay(
    image_HW3: NDArray[np.uint8],
    labels_HW3: NDArray[np.uint8] | None,
    truth_HW3: NDArray[np.uint8] | None,
) -> NDArray[np.uint8]:
    """Labels in half-transparent colour over the image, and the outline of the truth in white."""
    out_HW3 = image_HW3.astype(np.float32)
    if labels_HW3 is not None:
        marked_HW = labels_HW3.any(axis=2)
        out_HW3[marked_HW] = (1 - FILL) * out_HW3[marked_HW] + FILL * labels_HW3[marked_HW]
    if truth_HW3 is not None:
        out_HW3[contour(truth_HW3)] = CONTOUR
    return out_HW3.round().astype(np.uint8)


def errors(labels_HW3: NDArray[np.uint8], truth_HW3: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The errors in colour: missed pixels, false ones, and those of one class taken for another."""
    there_HW, found_HW = truth_HW3.any(axis=2), labels_HW3.any(axis=2)
    out_HW3 = np.zeros_like(labels_HW3)
    out_HW3[there_HW & ~found_HW] = MISSED
    out_HW3[found_HW & ~there_HW] = FALSE
    out_HW3[there_HW & found_HW & (labels_HW3 != truth_HW3).any(axis=2)] = CONFUSED
    return out_HW3


def contour(labels_HW3: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Coloured pixels that touch a pixel of another colour, (H, W)."""
    height, width = labels_HW3.shape[:2]
    edge_HW = np.zeros((height, width), dtype=bool)
    padded = np.pad(labels_HW3, ((1, 1), (1, 1), (0, 0)), mode="edge")
    for dy, dx in ((0, 1), (2, 1), (1, 0), (1, 2)):
        shifted_HW3 = padded[dy : dy + height, dx : dx + width]
        edge_HW |= (shifted_HW3 != labels_HW3).any(axis=2)
    return np.asarray(edge_HW & labels_HW3.any(axis=2))


def decode(png: bytes | None, resample: Image.Resampling) -> NDArray[np.uint8] | None:
    """A picture of the tables whose longer side is SIDE, (H, W, 3); None where there is none."""
    if png is None:
        return None
    with Image.open(io.BytesIO(png)) as image:
        scale = SIDE / max(image.size)
        size = (round(image.width * scale), round(image.height * scale))
        sized = image.convert("RGB").resize(size, resample)
    return np.asarray(sized, dtype=np.uint8)


def encode(picture: NDArray[np.uint8] | None) -> str:
    """A picture as a data address; empty for None.

    As WebP: photographs take a tenth of what PNG needs, and pictures are most of the page.
    """
    if picture is None:
        return ""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="WEBP", quality=85, method=4)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
