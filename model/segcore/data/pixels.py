"""Image and depth files as arrays, and arrays at the size that a network sees.

Training, evaluation and prediction read and resize alike, so that they see the same pixels.
"""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image


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
        OSError: the file has gone, or is no image.
    """
    depth = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
    if depth is None:
        raise OSError(f"{path} has gone or is no image")
    if depth.dtype == np.uint16:
        depth = depth // 256
    return depth.astype(np.uint8, copy=False)


def resized(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The same picture at (size, size): area averages when it shrinks (no aliasing), bilinear when
    it grows."""
    shrinks = image.shape[0] > size
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (size, size), interpolation=how).astype(np.uint8, copy=False)


def check(path: Path) -> tuple[int, int]:
    """Width and height of an image file whose whole stream can be read.

    OpenCV gives grey where a JPEG ends too soon; Pillow says so.

    Raises:
        OSError: what is wrong with it.
    """
    try:
        with Image.open(path) as picture:
            size = picture.size
            # An eighth of the resolution reads the whole stream at a fraction of the cost.
            picture.draft("L", (size[0] // 8 + 1, size[1] // 8 + 1))
            picture.load()
    except (SyntaxError, ValueError) as error:
        raise OSError(str(error)) from error
    return size
