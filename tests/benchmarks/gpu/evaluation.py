"""How long an evaluation takes on the GPU that is here, by the threads that score its masks.

    PYTHONPATH=tests python tests/benchmarks/gpu/evaluation.py --json FILE
    PYTHONPATH=tests python tests/benchmarks/gpu/evaluation.py --device cpu --preset nano

The second line shows without a GPU that it runs.

Milliseconds an image of val, with the metrics that it has after every epoch: the network alone; its
masks scored one after another before the next batch is predicted, as it was; and scored by 1, 2, 4
and 8 threads beside it. Weights are random, so what is scored is the truth, moved by a hundredth of
the width: a trained network's masks cost about as much. Samples are in memory. Every way runs
once unmeasured; the best of three counts.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TypeVar
from unittest import mock

import numpy as np
import torch

from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.presets import nano, paper
from segcore.training.casts import spare_casts
from segcore.training.predicting import PredictedSample, Target, predict
from segcore.training.runtime import Precision, Runtime, choose_device, device_name
from segcore.training.scoring import score_predictions

T = TypeVar("T")
THREADS = (1, 2, 4, 8)
ROUNDS = 3


def _at_once(items: Iterator[T], by: int) -> Iterator[T]:
    """Each batch is waited for before the next is asked about."""
    return items


def best(run: Callable[[], object], images: int) -> float:
    """Milliseconds an image, the least of several rounds after one that is not measured."""
    run()
    took = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        run()
        took.append(time.perf_counter() - begun)
    return 1e3 * min(took) / images


def measured(chosen: argparse.Namespace, device: torch.device, folder: Path) -> dict[str, float]:
    """Milliseconds an image of each way."""
    config = nano() if chosen.preset == "nano" else paper("L3D", pretrained="random")
    size = config.system.input_size
    data = SyntheticLiver(train=1, val=chosen.images, test=1, size=size[0], root=str(folder))
    dataset = data.open()
    torch.manual_seed(0)
    system = config.system.build(dataset.classes).to(device).eval()
    precision: Precision = "float32" if chosen.preset == "nano" else "bfloat16"
    spare_casts(system, device, precision)
    metrics = replace(config.evaluation, metrics=None).rows(data, test=False)
    target = Target(dataset, "val", "val", size, metrics)

    def masks(runtime: Runtime) -> Iterator[PredictedSample]:
        for one in predict(
            system,
            target,
            runtime,
            input_size=size,
            batch_size=chosen.batch_size,
            precision=precision,
        ):
            moved_HW = np.roll(one.sample.labels_HW, size[1] // 100, axis=1)
            yield replace(one, labels_HW=moved_HW)

    def one_by_one() -> None:
        with ExitStack() as stack:
            stack.enter_context(
                mock.patch("segcore.training.scoring.scoring_threads", return_value=0)
            )
            stack.enter_context(mock.patch("segcore.training.predicting._behind", wraps=_at_once))
            score_predictions(masks(Runtime(device=device)), target, Runtime(device=device))

    def beside(threads: int) -> None:
        runtime = Runtime(device=device, cpus=threads)
        score_predictions(masks(runtime), target, runtime)

    found = {"network alone": best(lambda: list(masks(Runtime(device=device))), chosen.images)}
    found["scored one by one"] = best(one_by_one, chosen.images)
    for threads in THREADS:
        found[f"{threads} threads"] = best(lambda n=threads: beside(n), chosen.images)  # type: ignore[misc]
    return found


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--device", help="(default: the GPU)")
    parser.add_argument("--preset", choices=["paper", "nano"], default="paper")
    parser.add_argument("--images", type=int, default=48, help="of val (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=4, help="(default: %(default)s)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    chosen = parser.parse_args()
    device = choose_device(chosen.device)
    with tempfile.TemporaryDirectory() as folder:
        found = measured(chosen, device, Path(folder) / "scenes")
    figures = {
        "device": device_name(device),
        "cpus": os.cpu_count(),
        "torch": torch.__version__,
        "preset": chosen.preset,
        "batch_size": chosen.batch_size,
        "ms_per_image": found,
    }
    print(f"{figures['device']}, {figures['cpus']} CPUs, {chosen.preset}")
    for way, milliseconds in found.items():
        print(f"{way}: {milliseconds:.1f} ms an image")
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
