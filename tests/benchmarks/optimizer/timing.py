"""Times that can be compared, and what the machine could do at best."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch


class Clock:
    """Seconds that one call takes.

    On one CPU thread this is the process's CPU time, which other processes on the machine hardly
    disturb; on several threads it is wall time; on a GPU the time between two events.
    """

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        one_thread = torch.get_num_threads() == 1
        self.name = "CUDA events" if self._cuda else "CPU time" if one_thread else "wall time"
        self._now = time.process_time if one_thread else time.perf_counter

    def seconds(self, run: Callable[[], object]) -> float:
        """Call once."""
        if self._cuda:
            first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize()
            first.record()
            run()
            last.record()
            torch.cuda.synchronize()
            return float(first.elapsed_time(last)) / 1e3
        start = self._now()
        run()
        return self._now() - start

    def interleaved(
        self, runs: Mapping[str, Callable[[], object]], repeats: int
    ) -> dict[str, list[float]]:
        """Seconds of each repeat of each run, in turn: A B C A B C, after one round not counted."""
        times: dict[str, list[float]] = {name: [] for name in runs}
        for repeat in range(repeats + 1):
            for name, run in runs.items():
                took = self.seconds(run)
                if repeat:
                    times[name].append(took)
        return times


@dataclass(frozen=True)
class Machine:
    """Rates of this machine, the best of some repeats."""

    gemm_gflops: float
    """Square matrix product."""
    read_gbs: float
    """Sum over a large tensor, GB/s."""
    update_gbs: float
    """In-place scaling of a large tensor, GB/s read plus written."""

    def step_bound(self, shapes: Sequence[tuple[int, int]], rank: int, itemsize: int) -> float:
        """Least seconds of projecting every gradient and adding every update to its weight.

        Per matrix and product the larger of the arithmetic, at the rate of a large square product,
        and the traffic: G is read once, W read and written once. Nothing else is counted.
        """
        seconds = 0.0
        for m, n in shapes:
            product = 2 * m * n * min(rank, m, n) / (self.gemm_gflops * 1e9)
            seconds += max(product, itemsize * m * n / (self.read_gbs * 1e9))
            seconds += max(product, 2 * itemsize * m * n / (self.update_gbs * 1e9))
        return seconds

    def rows(self) -> list[dict[str, Any]]:
        """As a table."""
        return [{"rate": name, "value": value} for name, value in asdict(self).items()]


def rate_machine(clock: Clock, device: torch.device, dtype: torch.dtype, *, size: int) -> Machine:
    """Measure products of order `size` and streams of 16 size^2 elements."""
    A, B = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    stream = torch.ones(16 * size * size, device=device, dtype=dtype)
    runs: dict[str, Callable[[], object]] = {
        "gemm": partial(torch.mm, A, B),
        "read": stream.sum,
        "update": partial(stream.mul_, 1.0),
    }
    best = {name: min(times) for name, times in clock.interleaved(runs, 5).items()}
    return Machine(
        gemm_gflops=2 * size**3 / best["gemm"] / 1e9,
        read_gbs=stream.nbytes / best["read"] / 1e9,
        update_gbs=2 * stream.nbytes / best["update"] / 1e9,
    )
