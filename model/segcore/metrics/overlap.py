"""Overlap of two masks.

Shape suffixes: H W image size.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


class Overlap(NamedTuple):
    """Pixels of two masks: all that Dice and IoU ask of them, wherever they were counted."""

    a: int
    b: int
    both: int

    @classmethod
    def of(cls, a_HW: Mask, b_HW: Mask) -> "Overlap":
        """Counted here."""
        return cls(*(int(np.count_nonzero(mask)) for mask in (a_HW, b_HW, a_HW & b_HW)))

    @classmethod
    def stacked(cls, overlaps: Iterable["Overlap"]) -> "Overlap":
        """Of several pairs side by side."""
        return cls(*map(sum, zip(*overlaps, strict=True)))

    def dice(self, *, empty: float = float("nan")) -> float:
        """As `dice`."""
        total = self.a + self.b
        return 2 * self.both / total if total else empty

    def iou(self, *, empty: float = float("nan")) -> float:
        """As `iou`."""
        union = self.a + self.b - self.both
        return self.both / union if union else empty


def dice(a_HW: Mask, b_HW: Mask, *, empty: float = float("nan")) -> float:
    """Dice coefficient, 0 to 1. One empty mask scores 0, two score `empty` (NaN: not counted)."""
    return Overlap.of(a_HW, b_HW).dice(empty=empty)


def iou(a_HW: Mask, b_HW: Mask, *, empty: float = float("nan")) -> float:
    """Intersection over union, 0 to 1. Empty masks as in `dice`."""
    return Overlap.of(a_HW, b_HW).iou(empty=empty)
