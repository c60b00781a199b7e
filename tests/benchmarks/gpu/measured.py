"""What trainings, predictions and optimizers take on the GPU that is here, in one run.

    PYTHONPATH=tests python tests/benchmarks/gpu/measured.py --json FILE
    PYTHONPATH=tests python tests/benchmarks/gpu/measured.py --device cpu --preset nano

The second line shows without a GPU that it runs.

For each method and setting the parts of a training step (medians of the second epoch, whose
kernels are chosen and whose caches are warm), images a second, the share of the GPU's published
peak that its products reach (FLOPs counted by `step_counts.py`), what it allocated at most, and the
seconds that an epoch and an evaluation take. Then frames a second of prediction, and the optimizers
on the same weights (`optimizer`, written to FILE's name with `-optimizer`). Images are rendered:
their content costs nothing. The estimates of `step_counts.py` stand beside what is measured.
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from benchmarks import predict
from benchmarks.gpu import step_counts
from support.fake_cuda import fake_cuda
from support.fake_cuda.training import counted_parts

from segcore.config import TrainConfig
from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.methods.method import Method
from segcore.presets import nano, paper
from segcore.train import train
from segcore.training.runtime import Precision, Runtime, choose_device, device_name
from segcore.training.schedule import Schedule

METHODS = ("frozen", "full", "lora", "galore", "srft_galore")
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""FLOPs a second in bfloat16, dense, as NVIDIA publishes them, by a part of the card's name."""
EPOCHS = 2
SETTINGS: dict[str, dict[str, Any]] = {
    "replayed": {},
    "launched": {"cuda_graphs": False},
    "compiled": {"compile_blocks": True},
}
"""How a step comes to the GPU: as CUDA graphs, kernel by kernel, as graphs of compiled blocks."""


def configuration(
    preset: str, method: str, images: int, val: int, folder: Path, setting: str = "replayed"
) -> TrainConfig:
    """A training of two epochs on rendered scenes."""
    base = nano() if preset == "nano" else paper("L3D", pretrained="random")
    size, batch_size = base.system.image_size, base.schedule.batch_size
    settings = {"update_proj_gap": 8} if "galore" in method else {}
    return replace(
        base,
        data=SyntheticLiver(train=images, val=val, test=1, size=size, root=str(folder)),
        method=Method.named(method, **settings),
        schedule=Schedule(
            epochs=EPOCHS,
            batch_size=batch_size,
            microbatch_size=base.schedule.microbatch_size,
            warmup_steps=0,
        ),
        precision="float32" if preset == "nano" else "bfloat16",
        **SETTINGS[setting],
    )


def trained(config: TrainConfig, device: torch.device) -> dict[str, Any]:
    """Measured on the last epoch of a training."""
    runtime, begun = Runtime(device=device, test=False), time.perf_counter()
    for evaluation in train(config, runtime):
        wall, begun = time.perf_counter() - begun, time.perf_counter()
        if evaluation.epoch == EPOCHS and not evaluation.final:
            steps = [asdict(step.seconds) for step in evaluation.steps]
            memory = evaluation.memory
            break
    parts = {f"{name}_ms": 1e3 * statistics.median(s[name] for s in steps) for name in steps[0]}
    refreshes = [s["refresh"] for s in steps if s["refresh"]]
    parts["refresh_ms"] = 1e3 * max(refreshes, default=0.0)
    stepping = sum(sum(s.values()) for s in steps)
    return {
        **parts,
        "step_ms": 1e3 * statistics.median(sum(s.values()) for s in steps),
        "images_per_second": config.schedule.batch_size * len(steps) / stepping,
        "peak_gb": memory.peak / 1e9,
        "state_mb": memory.optimizer_state / 1e6,
        "epoch_seconds": wall,
        "evaluation_seconds": wall - stepping,
    }


def counted(config: TrainConfig) -> dict[str, float]:
    """FLOPs of a step, and the milliseconds that `step_counts.py` expects of it on an H100."""
    with fake_cuda() as cuda:
        step = counted_parts(config, cuda)["whole step"]
    return {
        "step_tflop": step.flops.total() / 1e12,
        "estimated_step_ms": 1e3 * step_counts.seconds(step)["in all"],
    }


def rows(chosen: argparse.Namespace, device: torch.device) -> Iterator[dict[str, Any]]:
    """One for each method and setting."""
    with tempfile.TemporaryDirectory() as name:
        for method, setting in itertools.product(chosen.methods, chosen.settings):
            config = configuration(
                chosen.preset, method, chosen.images, chosen.val, Path(name), setting
            )
            yield {"method": method, "setting": setting, **trained(config, device)}


def held_against(row: dict[str, Any], expected: dict[str, float], device: str) -> dict[str, Any]:
    """A row with what was expected of its method beside it, and the share of the GPU's peak."""
    reached = expected["step_tflop"] * 1e12 / (row["step_ms"] / 1e3)
    peak = next((flops for name, flops in PEAKS.items() if name in device), None)
    return row | expected | ({} if peak is None else {"share_of_peak": reached / peak})


def frames(chosen: argparse.Namespace, device: torch.device) -> dict[str, float]:
    """Frames a second of prediction, of the network alone and from files to files."""
    precision: Precision = "float32" if chosen.preset == "nano" else "bfloat16"
    predictor = predict.build(chosen.preset, 256, str(device), precision)
    many = chosen.images
    return {
        "network": predict.network(predictor, 8, many)["frames_per_second"],
        "images": predict.files(predictor, 8, many, video=False)["frames_per_second"],
        "video": predict.files(predictor, 8, many, video=True)["frames_per_second"],
    }


def main() -> None:
    """Parse the command line, measure, print and write as it goes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--device", help="(default: the GPU)")
    parser.add_argument("--preset", choices=["paper", "nano"], default="paper")
    parser.add_argument("--methods", nargs="+", default=METHODS, metavar="METHOD")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=["replayed"])
    parser.add_argument("--images", type=int, default=64, help="to train on (default: %(default)s)")
    parser.add_argument("--val", type=int, default=16, help="to evaluate (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    chosen = parser.parse_args()
    device = choose_device(chosen.device)
    figures: dict[str, Any] = {
        "device": device_name(device),
        "torch": torch.__version__,
        "preset": chosen.preset,
        "training": [],
    }

    def keep() -> None:
        if chosen.json:
            chosen.json.write_text(json.dumps(figures, indent=2) + "\n")

    print(f"{figures['device']}, torch {figures['torch']}, {chosen.preset}")
    for row in rows(chosen, device):
        figures["training"].append(row)
        print(", ".join(f"{k} {v:.4g}" if isinstance(v, float) else v for k, v in row.items()))
        keep()
    figures["frames_per_second"] = frames(chosen, device)
    print(", ".join(f"{k} {v:.4g} frames/s" for k, v in figures["frames_per_second"].items()))
    keep()
    sys.stdout.flush()
    small = ["--shrink", "8"] if chosen.preset == "nano" else []
    file = ["--json", f"{chosen.json.with_suffix('')}-optimizer.json"] if chosen.json else []
    measure = ["measure", "--device", str(device), "--sections", "step", "peak"]
    command = ["-m", "tests.benchmarks.optimizer", *measure]
    subprocess.run([sys.executable, *command, *small, *file], check=True)
    for method in chosen.methods:  # takes longest, and needs no GPU
        expected = counted(configuration(chosen.preset, method, 1, 1, Path()))
        print(f"{method}: expected", ", ".join(f"{k} {v:.4g}" for k, v in expected.items()))
        figures["training"] = [
            held_against(row, expected, figures["device"]) if row["method"] == method else row
            for row in figures["training"]
        ]
        keep()


if __name__ == "__main__":
    main()
