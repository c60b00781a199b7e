"""Image and depth files as arrays, and arrays at the size that a network sees.

Training, evaluation and prediction read and resize alike, so that they see the same pixels.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segcore.batch import Size

Shrinking = Literal["area", "linear"]
"""How a picture is made smaller: by averages over areas, or by bilinear interpolation between four
pixels, which passes over the others and so gives aliases (OpenCV's default)."""
DEPTH_FLAGS = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH
WIDE_MODES = ("I", "F")
"""Pillow's modes of floating point and 32 bits; its older versions take 16-bit PNG for one."""


def read_image(path: Path) -> NDArray[np.uint8]:
    """RGB (H, W, 3), as stored: an orientation tag turns nothing, for labels refer to the stored
    pixels.

    Raises:
        OSError: the file has gone, or is no image.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise OSError(f"{path} has gone or is no image")
    return image.astype(np.uint8, copy=False)


def read_depth(path: Path) -> NDArray[np.uint8]:
    """Relative depth (H, W), larger is farther; 16 bits are cut to the upper 8.

    Raises:
        OSError: the file has gone, is no image, or has neither 8 nor 16 bits.
    """
    try:
        return _eight_bits(cv2.imread(str(path), DEPTH_FLAGS))
    except OSError as error:
        raise OSError(f"{path}: {error}") from None


def resized(image: NDArray[np.uint8], size: Size, shrink: Shrinking = "area") -> NDArray[np.uint8]:
    """The same picture at another size, bilinear when it grows.

    Args:
        image: (H, W) or (H, W, 3).
        size: asked for.
        shrink: how it is made smaller.
    """
    if image.shape[:2] == size:
        return image
    shrinks = image.shape[0] > size[0] and shrink == "area"
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, size[::-1], interpolation=how).astype(np.uint8, copy=False)


def resized_labels(labels: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """Labels at another size, by nearest neighbour."""
    if labels.shape[:2] == size:
        return labels
    nearest = cv2.resize(labels, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return nearest.astype(np.uint8, copy=False)


def check(source: Path | bytes) -> tuple[int, int]:
    """Width and height of an image file whose whole stream can be read.

    OpenCV gives grey where a JPEG ends too soon; Pillow says so.

    Args:
        source: a file, or its bytes.

    Raises:
        OSError: what is wrong with it.
    """
    with opened(source) as picture:
        size = picture.size
        # An eighth of the resolution reads the whole stream at a fraction of the cost.
        picture.draft("L", (size[0] // 8 + 1, size[1] // 8 + 1))
        picture.load()
    return size


def check_depth(source: Path | bytes) -> tuple[int, int]:
    """Width and height of a depth map that can be read and has 8 or 16 bits.

    Args:
        source: a file, or its bytes.

    Raises:
        OSError: what is wrong with it.
    """
    size = check(source)
    with opened(source) as picture:
        mode = picture.mode
    if mode in WIDE_MODES:
        content = source if isinstance(source, bytes) else source.read_bytes()
        _eight_bits(cv2.imdecode(np.frombuffer(content, np.uint8), DEPTH_FLAGS))
    return size


@contextmanager
def opened(source: Path | bytes) -> Iterator[Image.Image]:
    """A picture as Pillow opens it, whose every complaint is an `OSError`.

    Args:
        source: a file, or its bytes.

    Raises:
        OSError: no picture, a damaged one, or one that would fill the memory.
    """
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as picture:
            yield picture
    except (SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise OSError(str(error)) from error


def _eight_bits(depth: NDArray[Any] | None) -> NDArray[np.uint8]:
    if depth is None:
        raise OSError("has gone or is no image")
    if depth.dtype not in (np.uint8, np.uint16):
        raise OSError(f"depth of {depth.dtype}: give 8 or 16 bits")
    return (depth // 256 if depth.dtype == np.uint16 else depth).astype(np.uint8, copy=False)
