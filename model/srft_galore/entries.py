"""The parameters that a step works on, and whether their gradients can be used."""

import math
import sys
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .projection import Projection
from .schedule import is_due
from .state import moment_dtype


class Entry(NamedTuple):
    """A parameter as a step sees it."""

    position: int
    """In the optimizer, over all groups."""
    group: dict[str, Any]
    parameter: Tensor
    projection: Projection | None
    phase: int
    """Of its refreshes, see `schedule`."""
    state: dict[str, Tensor]

    @property
    def released(self) -> bool:
        """Whether its gradient is projected and sketched once, then freed."""
        return self.projection is not None and self.group["refresh_from"] == "previous"

    @property
    def has_basis(self) -> bool:
        """Whether a basis was ever computed."""
        return int(self.state["refreshes"]) > 0

    def is_due(self, *, ahead: int = 0) -> bool:
        """Whether a new basis is due at the coming step, or `ahead` steps later."""
        if self.projection is None:
            return False
        state, gap = self.state, self.group["update_proj_gap"]
        step, refreshed_at = int(state["step"]) + ahead, int(state["refreshed_at"])
        return is_due(step, refreshed_at, gap=gap, phase=self.phase)

    def gradient(self) -> Tensor:
        """The gradient in the dtype of the arithmetic, folded where it is projected."""
        assert self.parameter.grad is not None
        gradient = self.parameter.grad.to(moment_dtype(self.parameter))
        return gradient if self.projection is None else self.projection.fold(gradient)


def check_gradient(parameter: Tensor, position: int) -> None:
    """Refuse what a step cannot handle.

    Raises:
        ValueError: The gradient is sparse or complex, or the parameter is a DTensor.
    """
    gradient = parameter.grad
    if gradient is None:
        return
    if gradient.layout != torch.strided or not gradient.is_floating_point():
        raise ValueError(
            f"The gradient of parameter {position} has layout {gradient.layout} and "
            f"{gradient.dtype}; GaLoreAdamW takes dense real ones. Make it dense "
            f"(nn.Embedding(sparse=False)) and real (torch.view_as_real)."
        )
    distributed = sys.modules.get("torch.distributed.tensor")  # no DTensor without it
    if distributed is not None and isinstance(parameter, distributed.DTensor):
        raise ValueError(
            f"Parameter {position} is a DTensor (FSDP2, tensor parallel): a shard has another "
            f"subspace than its weight. Replicate the weights, and let GaLoreAdamW.reduce sum "
            f"the projected gradients."
        )


def alike(entries: Sequence[Entry], more: Sequence[Hashable]) -> Iterator[list[Entry]]:
    """Parameters that are worth handling as one batch: of one shape, group and device.

    On a CPU they come one by one, those of a batch in a row: copying gradients into a stack costs
    more there than it saves.

    Args:
        entries: Parameters.
        more: For each of them, what else must be equal within a batch.
    """
    batches: dict[Hashable, list[Entry]] = defaultdict(list)
    for entry, also in zip(entries, more, strict=True):
        parameter = entry.parameter
        kind = (id(entry.group), parameter.device, parameter.dtype, entry.projection)
        batches[*kind, also].append(entry)
    for batch in batches.values():
        if batch[0].parameter.device.type == "cpu":
            yield from ([entry] for entry in batch)
        else:
            yield batch


def stack(tensors: Sequence[Tensor]) -> Tensor:
    """Several tensors with a batch dimension before, one as it is."""
    return tensors[0] if len(tensors) == 1 else torch.stack(list(tensors))


def unstack(tensor: Tensor, count: int) -> Sequence[Tensor]:
    """The `count` tensors that `stack` made one of."""
    return [tensor] if count == 1 else tensor.unbind()


class Extremes(NamedTuple):
    """What the least and the largest element of a tensor tell."""

    finite: bool
    zero: bool

    @property
    def usable(self) -> bool:
        """Whether a basis can be had from such a gradient or sketch."""
        return self.finite and not self.zero


def extremes(tensors: Sequence[Tensor]) -> list[Extremes]:
    """Whether tensors are finite, or zero throughout; one transfer to the host per device."""
    places = defaultdict(list)
    for number, tensor in enumerate(tensors):
        places[tensor.device, tensor.dtype].append(number)
    found = [Extremes(True, True)] * len(tensors)
    for numbers in places.values():
        pairs = [torch.stack(torch.aminmax(tensors[i])) for i in numbers]
        for i, (least, largest) in zip(numbers, torch.stack(pairs).tolist(), strict=True):
            finite = math.isfinite(least) and math.isfinite(largest)
            found[i] = Extremes(finite, least == largest == 0)
    return found
