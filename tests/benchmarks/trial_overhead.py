"""What does a trial cost beyond its training: plain Ray Tune + Train against segtune, in one run.

Command: .venv/bin/python tests/benchmarks/trial_overhead.py [--trials 4] [--json FILE]

The same small training (nano, 8 images, 2 epochs, one worker) three ways, one trial at a time:

- alone: `segcore.train` in a loop in one process, which has imported everything and run once;
- plain: as Ray's guide has it, a Tune function that drives a `TorchTrainer`;
- ours: `segtune run`, which also writes tables and checkpoints.

A trial counts from the end of the one before, the first from the start of Tune; connecting to Ray
counts for neither. Overhead is what is left beyond `alone`.
"""

import argparse
import json
import logging
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

EPOCHS = 2


def config(seed: int, scenes: str) -> Any:
    """The training of a trial."""
    from segcore.data.sets.synthetic_liver import SyntheticLiver
    from segcore.presets import nano
    from segcore.training.schedule import Schedule

    return replace(
        nano(),
        data=SyntheticLiver(train=8, val=4, test=4, root=scenes),
        schedule=Schedule(epochs=EPOCHS, batch_size=4, warmup_steps=1),
        seed=seed,
    )


def alone(trials: int, scenes: str) -> list[float]:
    """Seconds of each training by itself."""
    import torch

    from segcore.train import train
    from segcore.training.runtime import local_runtime

    torch.set_num_threads(1)
    seconds = []
    for seed in range(-1, trials):
        began = time.monotonic()
        for _ in train(config(max(0, seed), scenes), local_runtime()):
            pass
        seconds.append(time.monotonic() - began)
    return seconds[1:]  # the first one warms up


def work(given: dict[str, Any]) -> None:
    """The worker of a plain Ray Train run."""
    import ray.train

    from segcore.train import train
    from segcore.training.runtime import local_runtime

    for evaluation in train(config(given["seed"], given["scenes"]), local_runtime()):
        ray.train.report({"epoch": evaluation.epoch})


def drive(given: dict[str, Any]) -> None:
    """The Tune function that drives it."""
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    TorchTrainer(
        work,
        train_loop_config=given,
        scaling_config=ScalingConfig(num_workers=1, resources_per_worker={"CPU": 1}),
        run_config=RunConfig(
            name=f"train-{given['seed']}",
            storage_path=given["storage"],
            callbacks=[TuneReportCallback()],  # type: ignore[list-item]  # Ray's own pairing
        ),
    ).fit()


def plain(trials: int, scenes: str, storage: Path) -> list[float]:
    """Seconds from one trial's end to the next one's, plain Tune + Train."""
    import ray
    import ray.tune

    ends = []

    class Clock(ray.tune.Callback):
        def on_trial_complete(self, *_: Any, **info: Any) -> None:
            ends.append(time.monotonic())

    ray.init("local", logging_level=logging.ERROR, log_to_driver=False)
    try:
        began = time.monotonic()
        ray.tune.Tuner(
            ray.tune.with_resources(drive, {"CPU": 0.01}),
            param_space={
                "seed": ray.tune.grid_search(list(range(trials))),
                "scenes": scenes,
                "storage": str(storage / "train"),
            },
            tune_config=ray.tune.TuneConfig(max_concurrent_trials=1),
            run_config=ray.tune.RunConfig(
                name="plain", storage_path=str(storage / "tune"), callbacks=[Clock()], verbose=0
            ),
        ).fit()
    finally:
        ray.shutdown()
    assert len(ends) == trials
    return [end - before for before, end in zip([began, *ends], ends, strict=False)]


class Clock:
    """An observer that notes when trials end."""

    def __init__(self) -> None:
        self.began, self.ends = 0.0, list[float]()

    def begin(self, total: int, done: int, concurrent: int) -> None:
        """Ray is there."""
        self.began = time.monotonic()

    def started(self, trial: Any) -> None:
        """Of no interest."""

    def reported(self, trial: Any, metrics: Mapping[str, Any]) -> None:
        """Of no interest."""

    def ended(self, trial: Any, error: str | None) -> None:
        """A trial is done."""
        assert error is None, error
        self.ends.append(time.monotonic())


def ours(trials: int, scenes: str, storage: Path) -> list[float]:
    """Seconds from one trial's end to the next one's, `segtune run`."""
    from segtune.execution import runner
    from segtune.execution.resources import Resources
    from segtune.report.evidence.sequential.looks import undecided
    from segtune.study.spec import Ablation

    clock = Clock()
    runner.run(
        Ablation(
            question="What does a trial cost?",
            baseline=config(0, scenes),
            arms={"lora": {"method": "lora"}},
            seeds=tuple(range(trials // 2)),
        ),
        "ours",
        storage,
        Resources(concurrent=1),
        clock,
        undecided=undecided,
    )
    assert len(clock.ends) == trials
    return [e - b for b, e in zip([clock.began, *clock.ends], clock.ends, strict=False)]


def measure(trials: int) -> dict[str, Any]:
    """All three; seconds."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        scenes = str(root / "scenes")
        seconds = {
            "alone": alone(trials, scenes),
            "plain": plain(trials, scenes, root),
            "ours": ours(trials, scenes, root),
        }
    floor = median(seconds["alone"])
    overhead = {
        way: {
            "first": seconds[way][0] - floor,
            "following": median(seconds[way][1:]) - floor,
            "mean": sum(seconds[way]) / trials - floor,
        }
        for way in ("plain", "ours")
    }
    return {
        "trials": trials,
        "seconds": seconds,
        "overhead": overhead,
        "ratio": {k: overhead["ours"][k] / overhead["plain"][k] for k in overhead["ours"]},
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=4, help="an even number")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    found = measure(args.trials)
    print(f"a training alone: {median(found['seconds']['alone']):.1f} s")
    print("| overhead of a trial | plain Tune + Train | segtune | ratio |\n|---|---|---|---|")
    for which in ("first", "following", "mean"):
        print(
            f"| {which} | {found['overhead']['plain'][which]:.1f} s "
            f"| {found['overhead']['ours'][which]:.1f} s | {found['ratio'][which]:.2f} |"
        )
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
