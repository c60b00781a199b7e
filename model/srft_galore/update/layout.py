"""Where parameters stand in flat buffers whose rows each belong to one of them.

Shapes: E rows of K = `WIDTH` numbers. A unit is a block of a projected weight, or a whole
parameter. It begins a row, and the rest of its last row is not used.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

WIDTH = 256
"""K."""


class Slot(NamedTuple):
    """The rows of one parameter, or of several that follow one another and are alike."""

    first: int
    """Row."""
    units: int
    shape: tuple[int, ...]
    """Of a unit."""

    @property
    def unit_rows(self) -> int:
        """Rows of a unit."""
        return -(-math.prod(self.shape) // WIDTH)

    @property
    def end(self) -> int:
        """The row after the last."""
        return self.first + self.units * self.unit_rows

    def stack(self, buffer_EK: Tensor, *, base: int = 0) -> Tensor:
        """The slot's numbers, as (units, *shape).

        Args:
            buffer_EK: A buffer in storage of its own.
            base: The row that it begins with.
        """
        strides = [1]
        for size in reversed(self.shape[1:]):
            strides.insert(0, strides[0] * size)
        return buffer_EK.as_strided(
            (self.units, *self.shape),
            (self.unit_rows * WIDTH, *strides[: len(self.shape)]),
            (self.first - base) * WIDTH,
        )

    def single(self, buffer_EK: Tensor, *, base: int = 0) -> Tensor:
        """As `stack`, without the first dimension where there is one unit."""
        stacked = self.stack(buffer_EK, base=base)
        return stacked[0] if self.units == 1 else stacked


def consecutive(shapes: Sequence[tuple[int, tuple[int, ...]]]) -> list[Slot]:
    """Slots one after the other.

    Args:
        shapes: Number and shape of the units of each.
    """
    slots: list[Slot] = []
    for units, shape in shapes:
        slots.append(Slot(slots[-1].end if slots else 0, units, shape))
    return slots


def owners(slots: Sequence[Slot], device: torch.device) -> Tensor:
    """The number of the slot that each row belongs to, int64 (E,)."""
    rows = torch.tensor([slot.end - slot.first for slot in slots], device="cpu")
    return torch.arange(len(slots), device="cpu").repeat_interleave(rows).to(device)


def portions(slots: Sequence[Slot], limit: int) -> list[tuple[int, int]]:
    """Ranges of slots of at most `limit` numbers each, or of one slot."""
    found, begin = [], 0
    for number, slot in enumerate(slots):
        if number > begin and (slot.end - slots[begin].first) * WIDTH > limit:
            found.append((begin, number))
            begin = number
    return [*found, (begin, len(slots))]
