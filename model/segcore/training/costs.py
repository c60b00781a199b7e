"""Measured seconds and bytes of a training."""

import itertools
import resource
import sys
import time

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from segcore.training.events import Memory


class Stopwatch:
    """Wall-clock seconds by part.

    On a CUDA device splits are events on its stream, which nothing waits for: a part's time is the
    device's, from what was launched before it began to what was launched before it ended, and the
    device idles in it while the host is what it waits for.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._splits: list[tuple[str, _Moment]] = [("", _now(device))]

    def split(self, part: str) -> None:
        """Count the time since the last split to `part`."""
        self._splits.append((part, _now(self._device)))

    def seconds(self) -> dict[str, float]:
        """Of each part so far. A CUDA device is waited for, unless it has come past the last split:
        who has read a result of before it since has waited already."""
        _, last = self._splits[-1]
        if isinstance(last, torch.cuda.Event) and not last.query():
            last.synchronize()
        found: dict[str, float] = {}
        for (_, begin), (part, end) in itertools.pairwise(self._splits):
            found[part] = found.get(part, 0.0) + _between(begin, end)
        return found


_Moment = float | torch.cuda.Event
"""By the host's clock, or on a CUDA device's stream."""


def _now(device: torch.device) -> _Moment:
    if device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record(torch.cuda.current_stream(device))
    return event


def _between(begin: _Moment, end: _Moment) -> float:
    if isinstance(begin, float) and isinstance(end, float):
        return end - begin
    assert not isinstance(begin, float)
    assert not isinstance(end, float)
    return float(begin.elapsed_time(end)) / 1e3


def memory(model: nn.Module, optimizer: Optimizer, device: torch.device) -> Memory:
    """Bytes held now (gradients: as of the last step) and the peak so far."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    state = [t for s in optimizer.state.values() for t in s.values() if isinstance(t, Tensor)]
    return Memory(
        weights=_bytes([*model.parameters(), *model.buffers()]),
        gradients=_bytes(gradients),
        optimizer_state=_bytes(state),
        peak=_peak(device),
    )


def forget_peak(device: torch.device) -> None:
    """Let the peak count from now on, so that a process's earlier trainings are not in it. A CPU's
    is the process's own and cannot be forgotten."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _bytes(tensors: list[Tensor]) -> int:
    """Of the storage behind tensors, once where several are views of one: a GPU's optimizer keeps
    its states in banks."""
    storages = [t.untyped_storage() for t in tensors]
    return sum({s.data_ptr(): s.nbytes() for s in storages}.values())


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
