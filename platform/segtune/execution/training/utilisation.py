"""How much of a machine a training uses: its CPUs, and the GPU that it was given."""

import time
from contextlib import suppress
from dataclasses import dataclass

import psutil
import torch
from pynvml import NVMLError

LOOK = 5.0
"""Seconds between two looks at the GPU."""


@dataclass(frozen=True)
class Utilisation:
    """Since the evaluation before."""

    cpus_used: float
    """CPUs that the training and the processes it started kept busy, on average: 1.5 is one and a
    half."""
    gpu_utilisation: float | None
    """Mean share of the time in which the GPU computed anything, for whomever; None without one, or
    where its driver does not tell."""
    gpu_memory_bytes: int | None
    """Most memory of the GPU that was taken, by whomever."""


class Meter:
    """Measures one training. It costs a clock read a step, and a question to the driver of the GPU
    every few seconds."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._process = psutil.Process()
        self._shares: list[float] = []
        self._memory: int | None = None
        self._asks = device.type == "cuda"
        self._looked = self._since = time.monotonic()
        self._cpu = self._cpu_seconds()

    def look(self) -> None:
        """Called with every sign of life of the training."""
        if self._asks and (now := time.monotonic()) - self._looked >= LOOK:
            self._looked = now
            self._look_at_gpu()

    def take(self) -> Utilisation:
        """What was used since this was last asked."""
        now, cpu = time.monotonic(), self._cpu_seconds()
        if self._asks and not self._shares:  # an epoch that took less than a look
            self._look_at_gpu()
        shares, memory = self._shares, self._memory
        used = Utilisation(
            max(0.0, cpu - self._cpu) / max(1e-9, now - self._since),
            sum(shares) / len(shares) if shares else None,
            memory,
        )
        self._shares, self._memory = [], None
        self._since, self._cpu = now, cpu
        return used

    def _look_at_gpu(self) -> None:
        free, total = torch.cuda.mem_get_info(self._device)
        self._memory = max(self._memory or 0, total - free)
        with suppress(NVMLError, RuntimeError):  # a part of a GPU (MIG) has none, say
            self._shares.append(torch.cuda.utilization(self._device) / 100)

    def _cpu_seconds(self) -> float:
        """Of this process, of those that it started, and of those of them that have ended."""
        own = self._process.cpu_times()
        seconds = float(own.user + own.system)
        seconds += getattr(own, "children_user", 0.0) + getattr(own, "children_system", 0.0)
        for child in self._process.children(recursive=True):
            try:
                times = child.cpu_times()
            except psutil.Error:  # it has just ended
                continue
            seconds += times.user + times.system
        return seconds
