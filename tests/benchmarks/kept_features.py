"""What it saves to keep the features of the frozen depth encoder: nano, epochs with and without.

    python tests/benchmarks/kept_features.py [--method srft_galore] [--epochs 6] [--json FILE]

Two trainings from the same seed take turns, epoch by epoch, so that other load on the machine falls
on both. The first epoch, in which features are computed either way, is left out. Losses and scores
must agree to the last bit. Some two minutes on two idle CPU cores.
"""

import argparse
import json
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from statistics import median
from unittest.mock import patch

import torch

from segcore.methods import METHODS
from segcore.methods.method import Method
from segcore.presets import nano
from segcore.systems.dual_encoder.network import DualEncoder
from segcore.training.loop import Training
from segcore.training.runtime import Runtime

Seconds = dict[str, list[float]]
KINDS = ("kept", "computed anew")


def measure(method: str, epochs: int) -> dict[str, Seconds]:
    """Seconds of each later epoch, by what is done with features and by part.

    Raises:
        RuntimeError: the two trainings differ.
    """
    config = replace(
        nano(), method=Method.named(method), schedule=replace(nano().schedule, epochs=epochs)
    )
    trainings = {kind: Training(config, Runtime(test=False)) for kind in KINDS}
    seconds: dict[str, Seconds] = {
        kind: {"epoch": [], "forward": [], "evaluation": []} for kind in KINDS
    }
    for epoch in range(1, epochs + 1):
        digits = []
        for kind in KINDS if epoch % 2 else reversed(KINDS):
            none = patch.object(DualEncoder, "remembers", None)
            start = time.perf_counter()
            with nullcontext() if kind == "kept" else none:
                found = trainings[kind].advance()
            wall = time.perf_counter() - start
            digits.append(([s.loss for s in found.steps], repr(found.scores)))
            if epoch > 1:
                steps = [s.seconds for s in found.steps]
                seconds[kind]["epoch"].append(wall)
                seconds[kind]["forward"].append(sum(s.forward for s in steps))
                seconds[kind]["evaluation"].append(wall - sum(sum(vars(s).values()) for s in steps))
        if digits[0] != digits[1]:
            raise RuntimeError(f"epoch {epoch}: kept features changed a loss or a score")
    return seconds


def main() -> None:
    """Parse the command line, measure, print medians over epochs."""
    parser = argparse.ArgumentParser(description="Features kept, or computed anew.")
    parser.add_argument("--method", choices=sorted(METHODS), default="srft_galore")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    seconds = measure(chosen.method, chosen.epochs)
    out = {"method": chosen.method, "threads": chosen.threads, "epochs": chosen.epochs - 1}
    figures = {
        kind: {part: round(median(values), 3) for part, values in parts.items()}
        for kind, parts in seconds.items()
    }
    for part in figures[KINDS[0]]:
        kept, anew = (figures[kind][part] for kind in KINDS)
        print(f"{part:12} {kept:7.2f} s kept {anew:7.2f} s anew  {1 - kept / anew:6.1%} saved")
    if chosen.json:
        chosen.json.write_text(json.dumps(out | {"seconds": figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
