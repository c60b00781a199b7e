"""Loading, evaluation and prediction, of this tree beside another, in one run.

    git worktree add /tmp/before COMMIT
    python tests/benchmarks/before_after.py /tmp/before [--cpus 1 2] [--json FILE]

Both trees are measured by this file, in processes of their own that take turns, on as many cores as
a worker of so many CPUs has; the best round counts. The ratio is before / after: above 1 is quicker
now. CPU time stands beside wall time: it holds on a busy machine.

loading     an epoch of 1024 x 1024 scenes in L3D's layout, opened anew, as a second trial of the
            machine opens them: the first one has decoded them.
evaluation  an evaluation on val of `nano` at 256 x 256, by the metrics of every epoch and those of
            the last.
scoring     masks at 1024 x 1024 alone, by the metrics of every epoch: the truth moved a little.
predict     files to files, `nano` at 256 x 256.

Some three minutes on two idle cores.
"""

import argparse
import dataclasses
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
ROUNDS = 2
LINE_WIDTH = 30 / 1080


def parts(folder: Path, cpus: int) -> dict[str, Callable[[], int]]:
    """What is measured by name: each gives the images that it went through."""
    import numpy as np
    import torch

    from segcore.data.augment import Augment
    from segcore.data.loader import training_batches
    from segcore.data.sets.l3d import L3D
    from segcore.data.sets.synthetic_liver import SyntheticLiver
    from segcore.predict import Predictor
    from segcore.predict.files import predict_files
    from segcore.predict.outputs import KINDS, Outputs
    from segcore.predict.sources import find_sources
    from segcore.presets import nano
    from segcore.systems.dual_encoder.network import DualEncoderConfig
    from segcore.training.runtime import Runtime

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

    small = SyntheticLiver(train=1, val=12, test=1, size=256, root=str(folder / "small"))
    config = dataclasses.replace(nano(), data=small, system=DualEncoderConfig(image_size=256))
    dataset = small.open()
    system = config.system.build(dataset.classes).eval()

    def evaluation() -> int:
        scored = of_training("ScoredSplits")(config, dataset, None, system, runtime, 4)
        for test in (False, True):
            scored._evaluate(scored._target("val", test=test), draw=False)
        return 2 * len(dataset.ids("val"))

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

    def predict() -> int:
        with tempfile.TemporaryDirectory() as out:
            return predict_files(
                predictor, files, [], Outputs(Path(out) / "out", KINDS), batch_size=8
            ).frames

    return {"loading": loading, "evaluation": evaluation, "scoring": scores, "predict": predict}


def of_training(name: str) -> Any:
    """What has this name in `segcore.training`, in whichever module a tree has it."""
    for module in ("scoring", "predicting", "splits"):
        if importlib.util.find_spec(f"segcore.training.{module}"):
            found = importlib.import_module(f"segcore.training.{module}")
            if hasattr(found, name):
                return getattr(found, name)
    raise AttributeError(name)


def measure(folder: Path, cpus: int) -> dict[str, list[float]]:
    """Milliseconds an image of each part, by the wall's clock and of CPU time."""
    os.sched_setaffinity(0, range(cpus))
    found = {}
    for name, run in parts(folder, cpus).items():
        run()
        wall, cpu = time.perf_counter(), _cpu_seconds()
        images = run()
        found[name] = [
            1e3 * (time.perf_counter() - wall) / images,
            1e3 * (_cpu_seconds() - cpu) / images,
        ]
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


def main() -> None:
    """Parse the command line, measure both trees in turns, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("before", help="the other tree, a worktree of this repository")
    parser.add_argument("folder", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("--cpus", type=int, nargs="+", default=[1, 2], help="of a worker")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    chosen = parser.parse_args()
    if chosen.before == "measure":
        print(json.dumps(measure(Path(chosen.folder), chosen.cpus[0])))
        return
    rows: list[dict[str, float | str]] = []
    with tempfile.TemporaryDirectory() as name:
        for cpus in chosen.cpus:
            trees = {"before": Path(chosen.before).absolute(), "after": ROOT}
            rounds = [
                {tree: measured_by(path, Path(name), cpus) for tree, path in trees.items()}
                for _ in range(ROUNDS)
            ]
            for part in rounds[0]["after"]:
                best = {
                    tree: [min(r[tree][part][kind] for r in rounds) for kind in (0, 1)]
                    for tree in trees
                }
                wall, cpu = (best["before"][k] / best["after"][k] for k in (0, 1))
                rows.append({"part": part, "cpus": cpus, "wall_ratio": wall, "cpu_ratio": cpu})
                rows[-1] |= {f"{tree}_ms": best[tree][0] for tree in trees}
    print("part | CPUs | before, ms an image | after | wall, before / after | CPU, before / after")
    for row in rows:
        print(
            f"{row['part']} | {row['cpus']} | {row['before_ms']:.1f} | {row['after_ms']:.1f} | "
            f"{row['wall_ratio']:.2f} | {row['cpu_ratio']:.2f}"
        )
    if chosen.json:
        load = round(os.getloadavg()[0], 1)
        chosen.json.write_text(json.dumps({"load": load, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
