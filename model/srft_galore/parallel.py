"""Sums over data-parallel ranks with plain torch.distributed (gloo, NCCL)."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch
import torch.distributed
from torch import Tensor


def check_alone() -> None:
    """Refuse to go on with gradients of one rank where there are several.

    Raises:
        RuntimeError: There are.
    """
    there = torch.distributed.is_available() and torch.distributed.is_initialized()
    if there and torch.distributed.get_world_size() > 1:
        raise RuntimeError(
            "Gradients were freed during the backward pass before anything could sum them over the "
            "ranks, DistributedDataParallel included: the ranks would drift apart. Call "
            "reduce(AllReduce(), rank=..., world=...) before step; where each rank trains a model "
            "of its own, reduce(AllReduce(), rank=0, world=1)."
        )


def share(
    states: Iterable[tuple[Mapping[str, Tensor], torch.device]],
    broadcast: Callable[[list[Tensor]], object],
) -> None:
    """Overwrite states with those of one rank.

    Args:
        states: In the same order on all ranks, each with the device of its parameter.
        broadcast: Overwrites tensors with those of one rank.
    """
    tensors, sent = [], []
    for state, device in states:
        for _, tensor in sorted(state.items()):
            tensors.append(tensor)
            sent.append(tensor.to(device))  # NCCL sends no CPU tensor
    broadcast(sent)
    for tensor, received in zip(tensors, sent, strict=True):
        tensor.copy_(received)


class AllReduce:
    """Sums tensors over the ranks of a process group, in one message per device and dtype.

    Args:
        group: A process group; None is the default one.
    """

    def __init__(self, group: torch.distributed.ProcessGroup | None = None) -> None:
        self._group = group

    def __call__(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the ranks, which hand in the same shapes."""
        for alike, flat in _messages(tensors):
            torch.distributed.all_reduce(flat, group=self._group)
            _give_back(alike, flat)


class Broadcast:
    """Overwrites tensors with those of one rank.

    Args:
        source: Global rank of the one that has them.
        group: A process group; None is the default one.
    """

    def __init__(
        self, source: int = 0, group: torch.distributed.ProcessGroup | None = None
    ) -> None:
        self._source, self._group = source, group

    def __call__(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite each tensor, on all ranks but the source, which hand in the same shapes."""
        for alike, flat in _messages(tensors):
            torch.distributed.broadcast(flat, self._source, group=self._group)
            _give_back(alike, flat)


def _messages(tensors: Sequence[Tensor]) -> Iterator[tuple[list[Tensor], Tensor]]:
    groups: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for tensor in tensors:
        groups.setdefault((tensor.device, tensor.dtype), []).append(tensor)
    for alike in groups.values():
        yield alike, torch.cat([tensor.reshape(-1) for tensor in alike])


def _give_back(tensors: Sequence[Tensor], flat: Tensor) -> None:
    parts = flat.split([tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view_as(tensor))
