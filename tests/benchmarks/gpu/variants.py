"""A step on the GPU by how it is launched and what its kernels are chosen from, without data.

    PYTHONPATH=tests python tests/benchmarks/gpu/variants.py --json FILE
    PYTHONPATH=tests python tests/benchmarks/gpu/variants.py --device cpu --preset nano

Of each variant: milliseconds of a step (median), of them those that the host is busy with, what the
kernels of one step take together and how many launches it makes (both by torch's profiler), and the
peak of memory. With `--profile DIR` torch's own table of the kernels is written beside.
"""

import argparse
import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch
from benchmarks.gpu.measured import configuration

from segcore.config import TrainConfig
from segcore.testing.samples import noise
from segcore.training.costs import Stopwatch
from segcore.training.loop import Training
from segcore.training.runtime import Runtime, choose_device, device_name

WARM, STEPS = 5, 12


class Variant(NamedTuple):
    """What of a step is done otherwise."""

    settings: dict[str, Any] = {}
    """Fields of the configuration."""
    microbatch: int | None = None
    channels_last: bool = False
    within: Callable[[], AbstractContextManager[Any]] = nullcontext


VARIANTS: dict[str, Variant] = {
    "replayed": Variant(),
    "launched": Variant({"cuda_graphs": False}),
    "launched, microbatch 1": Variant({"cuda_graphs": False}, microbatch=1),
    "microbatch 1": Variant(microbatch=1),
    "compiled blocks": Variant({"compile_blocks": True}),
    "channels last": Variant(channels_last=True),
    "TF32 products": Variant(
        within=lambda: mock.patch.object(torch.backends.cuda.matmul, "allow_tf32", True)
    ),
}


def chosen_config(preset: str, method: str, variant: Variant, folder: Path) -> TrainConfig:
    """Of one variant."""
    config = configuration(preset, method, 4, 1, folder)
    schedule = config.schedule
    if variant.microbatch is not None:
        schedule = replace(schedule, microbatch_size=variant.microbatch)
    return replace(config, schedule=schedule, **variant.settings)


def stepping(training: Training) -> Callable[[], None]:
    """One optimizer step over the same batch each time."""
    config, device = training.config, training.runtime.device
    many = config.schedule.batch_size
    most = training.microbatch_size or many
    batches = [
        noise(min(most, many - i), config.system.input_size, training.dataset.classes).to(device)
        for i in range(0, many, most)
    ]
    training.system.train()

    def step() -> None:
        watch = Stopwatch(device)
        training.passes.clear()
        loss = torch.zeros((), device=device)
        for batch in batches:
            share = len(batch) / many
            loss += training.passes.run(batch, training._progress(), share, watch)
        training.updater.reduce_and_clip(loss, config.optim.clip_norm)
        training.updater.refresh()
        training.optimizer.step()

    return step


def wait(device: torch.device) -> None:
    """For all that was launched."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measured(variant: Variant, preset: str, method: str, device: torch.device) -> dict[str, Any]:
    """Figures of one variant, and the profiler's table."""
    on_gpu = device.type == "cuda"
    with variant.within(), tempfile.TemporaryDirectory() as folder:
        config = chosen_config(preset, method, variant, Path(folder))
        training = Training(config, Runtime(device=device))
        if variant.channels_last:
            training.system.to(memory_format=torch.channels_last)
        step = stepping(training)
        for _ in range(WARM):
            step()
        walls, hosts = [], []
        for _ in range(STEPS):
            wait(device)
            begun = time.perf_counter()
            step()
            hosts.append(time.perf_counter() - begun)
            wait(device)
            walls.append(time.perf_counter() - begun)
        activities = [torch.profiler.ProfilerActivity.CPU]
        activities += [torch.profiler.ProfilerActivity.CUDA] if on_gpu else []
        with torch.profiler.profile(activities=activities) as profile:
            step()
            wait(device)
    events = profile.key_averages()
    return {
        "microbatch": training.microbatch_size,
        "step_ms": 1e3 * statistics.median(walls),
        "host_ms": 1e3 * statistics.median(hosts),
        # Annotations of the host's are on the device's time line as well, and are no kernels.
        "kernels_ms": sum(
            e.self_device_time_total
            for e in events
            if e.device_type.name == "CUDA" and not e.key.startswith("Optimizer")
        )
        / 1e3,
        "launches": sum(e.count for e in events if "LaunchKernel" in e.key),
        "peak_gb": torch.cuda.max_memory_allocated(device) / 1e9 if on_gpu else None,
        "table": events.table(sort_by="self_device_time_total", row_limit=80),
    }


def rows(chosen: argparse.Namespace, device: torch.device) -> Iterator[dict[str, Any]]:
    """One for each method and variant; what runs out of memory is a row as well."""
    for method in chosen.methods:
        for name in chosen.variants:
            try:
                found = measured(VARIANTS[name], chosen.preset, method, device)
            except torch.OutOfMemoryError:
                found = {"table": "", "error": "out of memory"}
            table = found.pop("table")
            if chosen.profile:
                Path(chosen.profile, f"{method}-{name}.txt".replace(" ", "_")).write_text(table)
            yield {"method": method, "variant": name, **found}
            gc.collect()
            torch.cuda.empty_cache()


def main() -> None:
    """Parse the command line, measure, print and write as it goes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--device", help="(default: the GPU)")
    parser.add_argument("--preset", choices=["paper", "nano"], default="paper")
    parser.add_argument("--methods", nargs="+", default=["srft_galore"], metavar="METHOD")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--profile", metavar="DIR", help="also write tables of the kernels there")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    chosen = parser.parse_args()
    device = choose_device(chosen.device)
    figures = {"device": device_name(device), "torch": torch.__version__, "preset": chosen.preset}
    print(", ".join(figures.values()))
    found: list[dict[str, Any]] = []
    for row in rows(chosen, device):
        found.append(row)
        print(", ".join(f"{k} {v:.4g}" if isinstance(v, float) else str(v) for k, v in row.items()))
        if chosen.json:
            chosen.json.write_text(json.dumps({**figures, "steps": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
