"""Projected members of a bank that follow one another and are alike."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from srft_galore.entries import Entry
from srft_galore.projection import Projection
from srft_galore.state import moment_dtype

from .layout import Slot

PLAIN = (None, True, "drop")
"""The kind of members that are not projected."""


class Section(NamedTuple):
    """Projected members that follow one another and are alike."""

    projection: Projection
    is_whole: bool
    """Whether their gradients come whole."""
    residual: str
    """What is done with the gradient outside of the subspace."""
    begin: int
    """The first of them."""
    end: int
    bases: Tensor
    """(U, S, R), stored by columns."""


def kind_of(entry: Entry) -> tuple[Projection | None, bool, str]:
    """What members of one section have in common: projection, whether gradients come whole, and
    what is done with the residual."""
    residual = "drop" if entry.projection is None else entry.group["residual"]
    return entry.projection, entry.refresh_from == "current", residual


def weight_units(entry: Entry) -> tuple[int, tuple[int, ...]]:
    """Number and shape of the units of a weight or its gradient."""
    projection = entry.projection
    if projection is None or projection.blocks == 1:
        return 1, tuple(entry.parameter.shape)
    return projection.blocks, (projection.rows, projection.cols)


def moment_units(entry: Entry) -> tuple[int, tuple[int, ...]]:
    """Number and shape of the units of the moments."""
    projection = entry.projection
    if projection is None:
        return 1, tuple(entry.parameter.shape)
    return projection.blocks, projection.moment_shape[-2:]


def sections_of(members: Sequence[Entry], begin: int) -> list[Section]:
    """Of projected members, the first of which has the number `begin`."""
    sections = []
    for number, entry in enumerate(members):
        if number and kind_of(entry) == kind_of(members[number - 1]):
            continue
        projection, is_whole, residual = kind_of(entry)
        assert projection is not None
        count = sum(kind_of(other) == kind_of(entry) for other in members)
        bases = torch.zeros(
            (count * projection.blocks, projection.rank, projection.side),
            dtype=moment_dtype(entry.parameter),
            device=entry.parameter.device,
        ).mT
        first = begin + number
        sections.append(Section(projection, is_whole, residual, first, first + count, bases))
    return sections


def in_units(tensor: Tensor, slot: Slot) -> Tensor:
    """A weight or its gradient in the shape that `Slot.single` gives its slot."""
    return tensor if slot.units == 1 else tensor.reshape(slot.units, *slot.shape)
