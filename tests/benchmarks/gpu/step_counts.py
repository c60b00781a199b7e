"""What a training step of `paper` asks of a GPU, counted on one that is not there, and how long
that would take at a GPU's published peaks.

    PYTHONPATH=tests python tests/benchmarks/gpu/step_counts.py [--microbatch 4] [--json FILE]

No GPU is needed: some twenty seconds on one core. Counts are exact for the operators that torch
hands to the device (see `tests/support/fake_cuda`). Times are an estimate, not a measurement:
`ASSUMED` has what it rests on.
"""

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path

from support.fake_cuda import Counts, fake_cuda
from support.fake_cuda.training import counted_parts

from segcore.config import TrainConfig
from segcore.methods import METHODS
from segcore.methods.method import Method
from segcore.presets import paper, recommended

IMAGES = {"train": 921, "val": 122}
"""Of L3D."""


@dataclass(frozen=True)
class Gpu:
    """A GPU's published peaks, and what eager PyTorch makes of them."""

    name: str
    flops: dict[str, float]
    """A second, dense, by dtype."""
    bytes: float
    """Of memory traffic a second."""
    share_of_flops: float = 0.6
    """Of the peak that products, convolutions and attention reach."""
    share_of_bytes: float = 0.8
    """Of the peak that elementwise kernels reach."""
    host_call: float = 10e-6
    """Seconds of one Python thread for an operator: Python, dispatcher, autograd and launch."""
    wait: float = 20e-6
    """Seconds of an idle GPU for each time that the host waits for it."""


ASSUMED = Gpu(
    name="H100 SXM",
    flops={"bfloat16": 989e12, "float32": 67e12},  # nothing here turns TF32 on
    bytes=3.35e12,
)


def seconds(counts: Counts, gpu: Gpu = ASSUMED) -> dict[str, float]:
    """Estimated seconds of a stretch: of the device's arithmetic, of its elementwise traffic, of
    the host that launches, and in all; host and device work side by side."""
    arithmetic = sum(
        flops / (gpu.share_of_flops * gpu.flops.get(name.split()[-1], gpu.flops["float32"]))
        for name, flops in counts.flops.items()
    )
    traffic = counts.moved_bytes.total() / (gpu.share_of_bytes * gpu.bytes)
    host = counts.total * gpu.host_call
    return {
        "arithmetic": arithmetic,
        "traffic": traffic,
        "host": host,
        "in all": max(arithmetic + traffic, host) + counts.waits.total() * gpu.wait,
    }


def figures(config: TrainConfig) -> dict[str, dict[str, float]]:
    """Counts and estimates of each part of a step, and of an epoch."""
    with fake_cuda() as cuda:
        parts = counted_parts(config, cuda)
    rows: dict[str, dict[str, float]] = {}
    for name, counts in parts.items():
        rows[name] = {
            "calls": counts.total,
            "casts": counts.casts,
            "waits": counts.waits.total(),
            "copies": counts.copies.total(),
            "copied MB": round(counts.copied_bytes / 1e6, 2),
            "TFLOP": round(counts.flops.total() / 1e12, 3),
            "elementwise GB": round(counts.moved_bytes.total() / 1e9, 2),
            **{f"{what} ms": round(1e3 * s, 2) for what, s in seconds(counts).items()},
        }
    gap = getattr(config.method, "update_proj_gap", None)
    step = seconds(parts["whole step"])["in all"]
    if gap is not None:
        step += seconds(parts["refresh"])["in all"] / gap
    steps = -(-IMAGES["train"] // config.schedule.batch_size)
    microbatch = config.schedule.usual_microbatch
    val = IMAGES["val"] / microbatch * seconds(parts["forward"])["in all"]
    rows["estimate"] = {
        "step ms": round(1e3 * step, 1),
        "epoch s": round(steps * step, 1),
        "forward of val s": round(val, 1),
    }
    return rows


def main() -> None:
    """Parse the command line, count, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--preset", choices=["paper", "recommended"], default="paper")
    parser.add_argument("--method", choices=sorted(METHODS), help="(default: the preset's)")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--microbatch", type=int, default=4, help="(default: %(default)s)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    chosen = parser.parse_args()
    preset = {"paper": paper, "recommended": recommended}[chosen.preset]
    config = replace(preset("L3D", pretrained="random"), precision=chosen.precision)
    schedule = replace(config.schedule, microbatch_size=chosen.microbatch)
    config = replace(config, schedule=schedule)
    if chosen.method is not None:
        config = replace(config, method=Method.named(chosen.method))
    rows = figures(config)
    names = [*rows["forward"]]
    print(" " * 16 + " ".join(f"{name:>14}" for name in names))
    for part, values in rows.items():
        if part != "estimate":
            print(f"{part:16}" + " ".join(f"{values[name]:>14}" for name in names))
    print(f"At {ASSUMED}:")
    print(", ".join(f"{name} {value}" for name, value in rows["estimate"].items()))
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
