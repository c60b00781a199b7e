"""Overlap of two masks.

Shape suffixes: H W image size.
"""

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def dice(a_HW: Mask, b_HW: Mask, *, empty: float = float("nan")) -> float:
    """Dice coefficient, 0 to 1. One empty mask scores 0, two score `empty` (NaN: not counted)."""
    total = np.count_nonzero(a_HW) + np.count_nonzero(b_HW)
    return 2 * np.count_nonzero(a_HW & b_HW) / total if total else empty


def iou(a_HW: Mask, b_HW: Mask, *, empty: float = float("nan")) -> float:
    """Intersection over union, 0 to 1. Empty masks as in `dice`."""
    union = np.count_nonzero(a_HW | b_HW)
    return np.count_nonzero(a_HW & b_HW) / union if union else empty
