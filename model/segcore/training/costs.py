"""Measured seconds and bytes of a training."""

import resource
import sys
import time

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from segcore.training.events import Memory


class Stopwatch:
    """Wall-clock seconds by part; a CUDA device is waited for at each split."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.seconds: dict[str, float] = {}
        self._last = self._now()

    def split(self, part: str) -> None:
        """Count the time since the last split to `part`."""
        now = self._now()
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._last
        self._last = now

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


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
    return sum(t.untyped_storage().nbytes() for t in tensors)


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
