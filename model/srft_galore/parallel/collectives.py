"""Sums over data-parallel ranks with plain torch.distributed (gloo, NCCL)."""

from collections.abc import Callable, Iterable, Mapping, Sequence

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
            "reduce(AllReduce(), Broadcast(), rank=..., world=...) before step; where each rank "
            "trains a model of its own, reduce(AllReduce(), Broadcast(), rank=0, world=1)."
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


class Message:
    """Tensors of one device and dtype on their way between ranks, in one piece."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        """
        Args:
            tensors: Overwritten by `finish` with what has come back.
        """
        self.tensors = tensors
        self.flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        self.work: torch.distributed.Work | None = None

    @property
    def nbytes(self) -> int:
        """Bytes that are sent."""
        return self.flat.nbytes

    def finish(self) -> None:
        """Wait until it has come back, on a GPU the stream alone, and overwrite the tensors."""
        if self.work is not None:
            self.work.wait()
        parts = self.flat.split([tensor.numel() for tensor in self.tensors])
        for tensor, part in zip(self.tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))


class AllReduce:
    """Sums tensors over the ranks of a process group, in one message per device and dtype.

    Args:
        group: A process group; None is the default one.
    """

    def __init__(self, group: torch.distributed.ProcessGroup | None = None) -> None:
        self._group = group
        self.nbytes = 0
        """Bytes of the tensors that this rank has handed over so far."""

    def __call__(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the ranks, which hand in the same shapes."""
        for message in self.begin(tensors):
            message.finish()

    def begin(self, tensors: Sequence[Tensor]) -> list[Message]:
        """Send tensors off; `finish` of each message puts the sums in their place."""
        messages = _messages(tensors)
        for message in messages:
            self.nbytes += message.nbytes
            message.work = torch.distributed.all_reduce(
                message.flat, group=self._group, async_op=True
            )
        return messages


class Broadcast:
    """Overwrites tensors with those of one rank of a process group.

    Args:
        group: A process group; None is the default one.
    """

    def __init__(self, group: torch.distributed.ProcessGroup | None = None) -> None:
        self._group = group
        self.nbytes = 0
        """Bytes of the tensors that this rank has handed over or been given so far."""

    def __call__(self, tensors: Sequence[Tensor], source: int = 0) -> None:
        """Overwrite each tensor, on all ranks but one, which hand in the same shapes.

        Args:
            tensors: Those of one rank, or to be overwritten.
            source: Rank in the group of the one that has them.
        """
        for message in _messages(tensors):
            self.nbytes += message.nbytes
            torch.distributed.broadcast(message.flat, group=self._group, group_src=source)
            message.finish()


def _messages(tensors: Sequence[Tensor]) -> list[Message]:
    groups: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for tensor in tensors:
        groups.setdefault((tensor.device, tensor.dtype), []).append(tensor)
    return [Message(alike) for alike in groups.values()]
