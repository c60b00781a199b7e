"""Time and memory of one optimizer step of the `paper` preset, with random weights and data.

    python tests/benchmarks/paper_step.py [--method srft_galore] [--json FILE]

1024 x 1024, microbatch 1, float32. On two CPU cores it takes a few minutes and about 12 GB.
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import torch
from torch.nn import functional as F

from segcore.batch import FINISHED, Batch
from segcore.classes import ClassSpec
from segcore.methods import METHODS
from segcore.methods.method import Method
from segcore.presets import paper_system
from segcore.training.schedule import OptimConfig

LANDMARKS = ClassSpec(("background", "ridge", "silhouette", "ligament"), exclusive=True)
PUBLISHED = {"rank": 128, "update_proj_gap": 50, "lr": 5e-5}
"""Settings of the projected methods in the paper."""


def random_batch(size: int) -> Batch:
    """One sample of noise."""
    labels = torch.randint(len(LANDMARKS.names), (1, size, size))
    return Batch(
        image_B3HW=torch.rand(1, 3, size, size),
        target_BKHW=F.one_hot(labels, len(LANDMARKS.names)).permute(0, 3, 1, 2).float(),
        sample_ids=("0",),
        patient_ids=("0",),
        depth_B1HW=torch.rand(1, 1, size, size),
    )


def peak_gb() -> float:
    """Largest resident size of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e9 if sys.platform == "darwin" else 1e6)


def measure(method_name: str, threads: int) -> dict[str, float | int | str]:
    """One step: seconds by part, parameters, peak memory."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    marks = [time.perf_counter()]

    def lap() -> float:
        marks.append(time.perf_counter())
        return round(marks[-1] - marks[-2], 2)

    out: dict[str, float | int | str] = {"method": method_name, "threads": threads}
    config = paper_system(pretrained="random")
    system = config.build(LANDMARKS)
    out["build_seconds"] = lap()
    fields = PUBLISHED if "galore" in method_name else {}
    method = Method.named(method_name, **fields)
    method.adapt(system)
    optimizer = method.optimizer(system, OptimConfig(lr=5e-5, weight_decay=3e-5))
    batch = random_batch(config.image_size)
    lap()
    loss = system.loss(system(batch, config.input_size), batch, FINISHED)
    out["forward_seconds"] = lap()
    loss.backward()
    out["backward_seconds"] = lap()
    optimizer.step()
    out["optimizer_seconds"] = lap()
    out["loss"] = round(loss.item(), 4)
    out["trained_parameters"] = sum(p.numel() for p in system.parameters() if p.requires_grad)
    out["parameters"] = sum(p.numel() for p in system.parameters())
    out["state_floats"] = sum(
        x.numel()
        for state in optimizer.state.values()
        for x in state.values()
        if isinstance(x, torch.Tensor)
    )
    out["peak_gb"] = round(peak_gb(), 2)
    return out


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description="One optimizer step of the paper preset.")
    parser.add_argument("--method", choices=sorted(METHODS), default="srft_galore")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    chosen = parser.parse_args()
    figures = measure(chosen.method, chosen.threads)
    for name, value in figures.items():
        print(f"{name:20} {value}")
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
