"""Image and depth files as arrays, and arrays at the size that a network sees.

Training, evaluation and prediction read and resize alike, so that they see the same pixels.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from pydantic import Field

from segcore.batch import Size

Shrinking = Literal["area", "linear"]
"""How a picture is made smaller: by averages over areas, or by bilinear interpolation between four
pixels, which passes over the others and so gives aliases (OpenCV's default)."""
Level = Annotated[int, Field(ge=0, lt=2**16)]
DepthRange = tuple[Level, Level]
"""The values of a depth map of 16 bits that are the nearest and the farthest."""
DEPTH_FLAGS = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH
WIDE_MODES = ("I", "F", "I;16", "I;16B")
"""Pillow's modes of floating point and of more than 8 bits."""
SHAPES_ALIKE = 0.02
"""How far the aspect ratios of an image and its depth map may differ."""


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


def check_range(depth_range: DepthRange | None) -> None:
    """Refuse a range that is none.

    Raises:
        ValueError: its second value is not above its first.
    """
    if depth_range is not None and depth_range[0] >= depth_range[1]:
        raise ValueError(f"depth_range = {depth_range}: larger is farther, so the smaller is first")


def read_depth(path: Path, depth_range: DepthRange | None = None) -> NDArray[np.uint8]:
    """Relative depth (H, W), larger is farther.

    Args:
        path: of the map.
        depth_range: what becomes 0 and 255 of a map of 16 bits; values beyond it become these too.

    Raises:
        OSError: the file has gone, is no image, has neither 8 nor 16 bits, or has 16 and no range.
    """
    try:
        return _eight_bits(cv2.imread(str(path), DEPTH_FLAGS), depth_range)
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


def check_depth(source: Path | bytes, depth_range: DepthRange | None = None) -> tuple[int, int]:
    """Width and height of a depth map that can be read and has 8 bits, or 16 and a range.

    Args:
        source: a file, or its bytes.
        depth_range: as of `read_depth`.

    Raises:
        OSError: what is wrong with it.
    """
    size = check(source)
    with opened(source) as picture:
        mode = picture.mode
    if mode in WIDE_MODES:
        content = source if isinstance(source, bytes) else source.read_bytes()
        _eight_bits(cv2.imdecode(np.frombuffer(content, np.uint8), DEPTH_FLAGS), depth_range)
    return size


def other_shape(image: tuple[int, int], depth: tuple[int, int]) -> bool:
    """Whether a depth map is no smaller or larger form of its image: both as width and height."""
    return abs(image[0] * depth[1] / (image[1] * depth[0]) - 1) > SHAPES_ALIKE


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
    except UnidentifiedImageError as error:  # whose text names an object where bytes were given
        empty = not (source if isinstance(source, bytes) else source.stat().st_size)
        raise OSError("the file is empty" if empty else "no picture that can be read") from error
    except (SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise OSError(str(error)) from error


def _eight_bits(depth: NDArray[Any] | None, depth_range: DepthRange | None) -> NDArray[np.uint8]:
    if depth is None:
        raise OSError("has gone or is no image")
    if depth.dtype not in (np.uint8, np.uint16):
        raise OSError(f"depth of {depth.dtype}: give 8 or 16 bits")
    if depth.dtype == np.uint8:
        return depth.astype(np.uint8, copy=False)
    if depth_range is None:
        raise OSError(
            f"depth of 16 bits, from {depth.min()} to {depth.max()}: say which values are the "
            "nearest and the farthest with data.depth_range"
        )
    near, far = depth_range
    share = (depth.astype(np.float32) - near) / (far - near)
    grey: NDArray[np.uint8] = np.rint(255 * share.clip(0, 1)).astype(np.uint8)
    return grey
