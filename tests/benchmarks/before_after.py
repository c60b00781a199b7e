"""Loading, training, evaluation and prediction, of this tree beside another, in one run.

    git worktree add /tmp/before COMMIT
    python tests/benchmarks/before_after.py /tmp/before [--cpus 1 2] [--rounds 4] [--json FILE]

Both trees are measured by this file, in processes of their own that take turns, each first in every
other round, on as many cores as a worker of so many CPUs has. The ratio is before / after, of one
round, above 1 where it is quicker now: the median of the rounds is given with the least and the
most. CPU time stands beside wall time: it holds on a busy machine. With this tree as the other one
the command tells how far from 1 the machine alone takes it.

training    `nano` at 256 x 256, fine-tuned by srft_galore: eight steps of four images and two
            evaluations.
loading     an epoch of 1024 x 1024 scenes in L3D's layout, opened anew, as a second trial of the
            machine opens them: the first one has decoded them.
evaluation  an evaluation on val of `nano` at 256 x 256, by the metrics of every epoch and those of
            the last.
scoring     masks at 1024 x 1024 alone, by the metrics of every epoch: the truth moved a little.
predict     files to files, `nano` at 256 x 256.

Some 70 seconds a round and number of CPUs on two idle cores.
"""

import argparse
import dataclasses
import importlib.util
import inspect
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[2]
REPEATS = 4
"""Of each part in a process, after a first time that does not count."""
LINE_WIDTH = 30 / 1080


def parts(folder: Path, cpus: int) -> dict[str, Callable[[], int]]:
    """What is measured by name: each gives the images that it went through."""
    import numpy as np
    import torch

    from segcore.data.augment import Augment
    from segcore.data.loader import training_batches
    from segcore.data.sets.l3d import L3D
    from segcore.data.sets.synthetic_liver import SyntheticLiver
    from segcore.methods.method import Method
    from segcore.predict import Predictor
    from segcore.predict.files import predict_files
    from segcore.predict.outputs import KINDS, Outputs
    from segcore.predict.sources import find_sources
    from segcore.presets import nano
    from segcore.systems.dual_encoder.network import DualEncoderConfig
    from segcore.train import train
    from segcore.training.runtime import Runtime
    from segcore.training.schedule import Schedule

    torch.set_num_threads(cpus)
    images = 12
    scenes = SyntheticLiver(train=images, val=4, test=1, size=1024, root=str(folder / "large"))
    scenes.open()
    order = [list(range(i, i + 4)) for i in range(0, images, 4)]
    runtime: Any = Runtime()
    runtime.cpus = cpus  # which an older tree does not ask for

    def loading() -> int:
        config = L3D(root=str(folder / "large"), line_width=LINE_WIDTH)
        batches = training_batches(config.open(), order, (1024, 1024), Augment(), seed=0, epoch=1)
        return sum(len(batch) for batch in batches)

    few = SyntheticLiver(train=16, val=4, test=1, size=256, root=str(folder / "few"))
    small = SyntheticLiver(train=1, val=12, test=1, size=256, root=str(folder / "small"))
    config = dataclasses.replace(nano(), data=small, system=DualEncoderConfig(image_size=256))
    batched = dataclasses.replace(
        config, schedule=dataclasses.replace(config.schedule, microbatch_size=4)
    )
    dataset = small.open()
    system = config.system.build(dataset.classes).eval()

    def evaluation() -> int:
        made_of = (batched, dataset, None, system, runtime, 4)
        built = of_training("ScoredSplits")
        # An older one takes the images at once from the schedule.
        scored = built(*made_of[: len(inspect.signature(built).parameters)])
        for test in (False, True):
            scored._evaluate(scored._target("val", test=test), draw=False)
        return 2 * len(dataset.ids("val"))

    course = dataclasses.replace(
        config,
        data=few,
        method=Method.named("srft_galore"),
        schedule=Schedule(epochs=2, batch_size=4, warmup_steps=1),
    )

    def training() -> int:
        for _ in train(course, runtime):
            pass
        return 2 * few.train

    large = scenes.open()
    target = of_training("Target")(
        large, "val", "val", (1024, 1024), config.evaluation.rows(scenes, test=False)
    )

    def masks() -> Iterator[Any]:
        for sample_id in large.ids("val"):
            sample = large.load("val", sample_id, (1024, 1024))
            moved_HW = np.roll(sample.labels_HW, 10, axis=1)
            yield of_training("PredictedSample")(moved_HW, sample=sample)

    def scores() -> int:
        of_training("score_predictions")(masks(), target, runtime)
        return len(large.ids("val"))

    predictor = Predictor(system, config.system, dataset.classes, torch.device("cpu"), "float32")
    files, _ = find_sources(
        [folder / "small" / "Val" / "images"],
        folder / "small" / "Val" / "depth_AdelaiDepth",
        needs_depth=True,
    )

    kinds = [kind for kind in KINDS if kind != "coco"]  # which came later

    def predict() -> int:
        with tempfile.TemporaryDirectory() as out:
            return predict_files(
                predictor, files, [], Outputs(Path(out) / "out", kinds), batch_size=8
            ).frames

    return {
        "loading": loading,
        "training": training,
        "evaluation": evaluation,
        "scoring": scores,
        "predict": predict,
    }


def of_training(name: str) -> Any:
    """What has this name in `segcore.training`, in whichever module a tree has it."""
    for module in ("scoring", "predicting", "splits"):
        if importlib.util.find_spec(f"segcore.training.{module}"):
            found = importlib.import_module(f"segcore.training.{module}")
            if hasattr(found, name):
                return getattr(found, name)
    raise AttributeError(name)


def measure(folder: Path, cpus: int) -> dict[str, list[float]]:
    """Milliseconds an image of each part, by the wall's clock and of CPU time: the best repeat."""
    os.sched_setaffinity(0, range(cpus))
    found = {}
    for name, run in parts(folder, cpus).items():
        run()
        times: list[tuple[float, float]] = []
        for _ in range(REPEATS):
            wall, cpu = time.perf_counter(), _cpu_seconds()
            images = run()
            spent = time.perf_counter() - wall, _cpu_seconds() - cpu
            times.append((1e3 * spent[0] / images, 1e3 * spent[1] / images))
        found[name] = [min(column) for column in zip(*times, strict=True)]
    return found


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measured_by(tree: Path, folder: Path, cpus: int) -> dict[str, list[float]]:
    """What another process finds that imports this tree."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(str(tree / root) for root in ("model", "platform")),
        "OMP_NUM_THREADS": str(cpus),
        "SEGTUNE_DECODED": str(folder / "decoded"),
    }
    command = [sys.executable, __file__, "measure", str(folder), "--cpus", str(cpus)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    found: dict[str, list[float]] = json.loads(done.stdout)
    return found


def compared(part: str, rounds: list[dict[str, dict[str, list[float]]]]) -> dict[str, Any]:
    """Median milliseconds of both trees, and of the rounds' ratios median, least and most."""
    found: dict[str, Any] = {
        f"{tree}_ms": median(r[tree][part][0] for r in rounds) for tree in ("before", "after")
    }
    for kind, clock in enumerate(("wall", "cpu")):
        ratios = [r["before"][part][kind] / r["after"][part][kind] for r in rounds]
        found[f"{clock}_ratio"] = [median(ratios), min(ratios), max(ratios)]
    return found


def _line(row: dict[str, Any]) -> str:
    ratios = ["{:.2f} ({:.2f} to {:.2f})".format(*row[f"{c}_ratio"]) for c in ("wall", "cpu")]
    times = [f"{row[f'{tree}_ms']:.1f}" for tree in ("before", "after")]
    return " | ".join([row["part"], str(row["cpus"]), *times, *ratios])


def main() -> None:
    """Parse the command line, measure both trees in turns, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("before", help="the other tree, a worktree of this repository")
    parser.add_argument("folder", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("--cpus", type=int, nargs="+", default=[1, 2], help="of a worker")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    chosen = parser.parse_args()
    if chosen.before == "measure":
        print(json.dumps(measure(Path(chosen.folder), chosen.cpus[0])))
        return
    trees = {"before": Path(chosen.before).absolute(), "after": ROOT}
    rows: list[dict[str, Any]] = []
    print("part | CPUs | before, ms an image | after | before / after, wall | CPU time")
    with tempfile.TemporaryDirectory() as name:
        for cpus in chosen.cpus:
            rounds = []
            for number in range(chosen.rounds):
                turns = list(trees.items())[:: -1 if number % 2 else 1]
                rounds.append({tree: measured_by(p, Path(name), cpus) for tree, p in turns})
                print(f"round {number + 1} of {chosen.rounds}", file=sys.stderr)
            for part in rounds[0]["after"]:
                rows.append({"part": part, "cpus": cpus} | compared(part, rounds))
                print(_line(rows[-1]), flush=True)
    if chosen.json:
        load = round(os.getloadavg()[0], 1)
        chosen.json.write_text(json.dumps({"load": load, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
