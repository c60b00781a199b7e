"""The learning rates of `demo`: four for each arm, chosen by val on polyps that it does not use.

    .venv/bin/python tests/benchmarks/demo_rates.py --json tests/benchmarks/results/demo_rates.json

Every arm is trained at four rates with two seeds: 40 trainings, two at a time. `frozen` chooses
the rate of its head; the others, whose heads learn at 0.03, that of what they adapt. Whether the
choice holds shows in `demo` itself, whose polyps and seeds are others, and on a third set of
polyps: `segtune run demo --set data.seed=2 --name demo_again`.
"""

import argparse
import json
import multiprocessing
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

SEEDS = (10, 11)
RATES: Mapping[str, tuple[str, tuple[float, ...]]] = {
    "frozen": ("optim.lr", (0.01, 0.03, 0.1, 0.3)),
    "full": ("method.lr", (0.0003, 0.001, 0.003, 0.01)),
    "lora": ("method.lr", (0.001, 0.003, 0.01, 0.03)),
    "galore": ("method.lr", (0.002, 0.006, 0.02, 0.06)),
    "srft_galore": ("method.lr", (0.002, 0.006, 0.02, 0.06)),
}


def choose(path: Path | None, processes: int) -> None:
    """Best val Dice of every arm at every rate; the mean over seeds decides."""
    from search_spaces.demo import study
    from segtune import apply

    arms, base = study().all_arms(), apply(study().baseline, {"data.seed": 0})
    jobs = [
        (arm, rate, seed, apply(base, {**arms[arm], field: rate, "seed": seed}))
        for arm, (field, rates) in RATES.items()
        for rate in rates
        for seed in SEEDS
    ]
    found: dict[str, dict[str, list[float]]] = {}
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for arm, rate, best in pool.imap(train, jobs):
            found.setdefault(arm, {}).setdefault(f"{rate:g}", []).append(best)
            print(f"{arm} at {rate:g}: best val Dice {best:.4f}", flush=True)
    print("\n| arm | rate of | best val Dice at four rates |\n|---|---|---|")
    for arm, by_rate in found.items():
        means = {rate: float(np.mean(values)) for rate, values in by_rate.items()}
        cells = ", ".join(f"{rate}: {mean:.3f}" for rate, mean in means.items())
        print(f"| {arm} | `{RATES[arm][0]}` | {cells} |")
    if path:
        path.write_text(json.dumps({"seeds": SEEDS, "best_val_dice": found}, indent=2) + "\n")


def train(job: tuple[str, float, int, Any]) -> tuple[str, float, float]:
    """One training; its best Dice on val."""
    import torch

    from segcore.training.loop import Training
    from segcore.training.runtime import Runtime

    arm, rate, _, config = job
    torch.set_num_threads(1)
    training = Training(config, Runtime())
    best = 0.0
    while not training.ended:
        best = max(best, training.advance().score("dice", split="val"))
    return arm, rate, best


def main() -> None:
    """Train, print the table, write the file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    choose(args.json, args.processes)


if __name__ == "__main__":
    main()
