"""Peak memory of a training step: AdamW against gradients that are released as they are made."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from srft_galore import GaLoreAdamW

from .optimizers import COMMON, FUSED, OPTIMIZERS, held_bytes
from .shapes import attention_shapes

WAYS = (FUSED, "AdamW, foreach", "plain", "srft", "warm +8, staggered", "released")
"""torch's AdamW; ours without a rank, with whole gradients, with `attach`."""
STEPS = 4
_RETURNING = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1000000", "MALLOC_ARENA_MAX": "1"}
"""With which glibc gives large blocks back when they are freed. Else it keeps some of them, up to
200 MB here and another amount each time, which says nothing of what is in use at once."""


class Layers(nn.Module):
    """The attention weights alone, each applied to a few inputs of its own."""

    def __init__(
        self, shapes: Mapping[str, tuple[int, int]], device: torch.device, dtype: torch.dtype
    ) -> None:
        super().__init__()
        kind: dict[str, Any] = {"device": device, "dtype": dtype}
        weights = (nn.Parameter(torch.empty(s, **kind)) for s in shapes.values())
        self.weights = nn.ParameterList(weights)
        for weight in self.weights:
            nn.init.normal_(weight, std=0.02)

    def forward(self) -> Tensor:
        """A loss that every weight takes part in."""
        loss = torch.zeros((), device=self.weights[0].device)
        for weight in self.weights:
            x = torch.ones(4, weight.shape[1], device=weight.device, dtype=weight.dtype)
            loss += (x @ weight.T).square().mean()
        return loss


def optimizer_of(way: str, model: Layers, rank: int, gap: int) -> Optimizer:
    """One of `WAYS`."""
    params = list(model.parameters())
    if way == "plain":
        return GaLoreAdamW(params, **COMMON)
    if way != "released":
        return OPTIMIZERS[way](params, rank, gap)
    optimizer = OPTIMIZERS["warm +8, staggered, previous"](params, rank, gap)
    assert isinstance(optimizer, GaLoreAdamW)
    optimizer.attach(model)
    return optimizer


def measured(
    way: str, rank: int, gap: int, shrink: int, device: torch.device, dtype: torch.dtype
) -> dict[str, int]:
    """Bytes of some steps, beyond the weights: the most in use, and what stays between two steps
    by count: state, and gradients where they stay. To run in a fresh process."""
    model = Layers(attention_shapes(shrink), device, dtype)
    optimizer = optimizer_of(way, model, rank, gap)
    before = resident(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    for _ in range(STEPS):
        optimizer.zero_grad()
        model().backward()
        optimizer.step()
    gradients = sum(p.grad.nbytes for p in model.parameters() if p.grad is not None)
    return {"peak": peak(device) - before, "stays": held_bytes(optimizer) + gradients}


def resident(device: torch.device) -> int:
    """Bytes in use now: of torch's allocator on a GPU, else of this process (Linux)."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak(device: torch.device) -> int:
    """The most there was of `resident`."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    # getrusage's maximum would begin with that of the process this one was forked from.
    status = Path("/proc/self/status").read_text()
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(kilobytes) * 1024


def measure_peaks(
    rank: int, gap: int, shrink: int, device: torch.device, dtype: torch.dtype
) -> list[dict[str, Any]]:
    """A row for each way, each in a process of its own."""
    rows = []
    for way in WAYS:
        arguments = json.dumps([way, rank, gap, shrink, str(device), str(dtype).split(".")[1]])
        command = [sys.executable, "-m", "tests.benchmarks.optimizer.peak", arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=_RETURNING)
        row: dict[str, Any] = {"optimizer": way, "rank": rank}
        if done.returncode:
            rows.append(row | {"note": done.stderr.strip().splitlines()[-1]})
            continue
        found = {name: value / 1e6 for name, value in json.loads(done.stdout).items()}
        row["peak MB beyond the weights"] = found["peak"]
        row["gradients + state MB"] = found["stays"]
        rows.append(row | {"beyond those MB": found["peak"] - found["stays"]})
    return rows


if __name__ == "__main__":
    chosen, r, interval, smaller, where, kind = json.loads(sys.argv[1])
    torch.set_num_threads(1)
    device_and_dtype = torch.device(where), getattr(torch, kind)
    print(json.dumps(measured(chosen, r, interval, smaller, *device_and_dtype)))
