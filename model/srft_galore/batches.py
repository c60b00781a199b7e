"""Parameters that are handled as one batch, and the tensors of a batch in one stack."""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence

import torch
from torch import Tensor

from .entries import Entry

ONE_BY_ONE = ("cpu",)
"""Types of devices on which copying gradients into a stack costs more than it saves."""


def takes_batches(device: torch.device) -> bool:
    """Whether parameters are handled together on a device, and not one by one."""
    return device.type not in ONE_BY_ONE


def alike(entries: Sequence[Entry], more: Sequence[Hashable]) -> Iterator[list[Entry]]:
    """Batches of parameters of one group, device, dtype and projection.

    On a CPU every batch has one parameter. Those that would be one batch on another device still
    come one after the other, so that they find the random matrix that `sketch` keeps.

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
        if not takes_batches(batch[0].parameter.device):
            yield from ([entry] for entry in batch)
        else:
            yield batch


def stack(tensors: Sequence[Tensor]) -> Tensor:
    """Several tensors with a batch dimension before their own; a single one as it is."""
    return tensors[0] if len(tensors) == 1 else torch.stack(list(tensors))


def unstack(tensor: Tensor, count: int) -> Sequence[Tensor]:
    """The `count` tensors that `stack` made one of."""
    return [tensor] if count == 1 else tensor.unbind()


def copy_all(targets: Sequence[Tensor], sources: Sequence[Tensor]) -> None:
    """Overwrite tensors with others of their shapes, as one operator where there are several."""
    if len(targets) == 1:
        targets[0].copy_(sources[0])
    elif targets:
        torch._foreach_copy_(list(targets), list(sources))
