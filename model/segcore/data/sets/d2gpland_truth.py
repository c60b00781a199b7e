"""L3D's landmarks as D2GPLand's loader draws them (PJLallen/D2GPLand, 1425de5, and alike the first
code of SRFT-GaLore, mobarakol/SRFTGaLore_LiverLandmark, efcd190, utils/dataloader.py).

What sets it apart from bands of one width in all images:

- 30 px on a canvas of either size, so that those of 4K frames are half as wide.
- The canvas is 3840 x 2160 where the file's name holds `_31`, `_36`, `_25` or `_29`, and 1920 x
  1080 everywhere else, whatever size the annotation states: of another 4K frame a quarter is left,
  at twice its size. (Their test is on the whole path; here on the file's name.)
- Points are cut to whole pixels, and each stretch of a line is drawn by itself.
- Where landmarks cross, the later in the file stays on top; a label that begins with neither r, s
  nor l, in lower case, is drawn as background over what is there.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from segcore.data.labelme import Annotation

THICKNESS = 30
"""Pixels of the canvas."""
LARGE = ("_31", "_36", "_25", "_29")
"""What the names of frames in 4K hold."""
VALUES = {"r": 1, "s": 2, "l": 3}


def d2gpland_truth(annotation: Annotation, stem: str) -> NDArray[np.uint8]:
    """Class indices on one of the two canvases.

    Args:
        annotation: the landmarks.
        stem: of the annotation's file.
    """
    height, width = (2160, 3840) if any(mark in stem for mark in LARGE) else (1080, 1920)
    labels_HW = np.zeros((height, width), np.uint8)
    for line in annotation.lines:
        value = VALUES.get(line.label[:1], 0)
        points = [(int(x), int(y)) for x, y in line.points_N2]
        for start, end in zip(points, points[1:], strict=False):
            cv2.line(labels_HW, start, end, value, THICKNESS)
    return labels_HW
