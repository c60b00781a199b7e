"""Every system with every method and every data set that go together: does each train?

    OMP_NUM_THREADS=1 PYTHONPATH=tests .venv/bin/python tests/benchmarks/pairs.py --json FILE

The full product, of which `make test` trains a covering array: one step on the images of one
patient, one evaluation and one test, of small folders in each set's layout, at the smallest size
that a system takes. What is measured is that it works and what it costs; a Dice after one step says
nothing of a method.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any


def measured(folder: Path) -> Iterator[dict[str, Any]]:
    """A row for each run, system by system."""
    from support.pairs import begin, product, reported, study, train_one, write_sets

    from segcore.data import DATASETS
    from segcore.systems import SYSTEMS
    from segtune.results import tables
    from segtune.results.provenance import find_origin

    sets, origin, storage = write_sets(folder / "sets", [*DATASETS]), find_origin(), folder / "out"
    for system in SYSTEMS:
        runs = {run.arm: run for run in product() if run.system == system}
        failures, seconds = {}, {}
        for trial in begin(storage, system, study([*runs.values()], sets)):
            arm, began = str(trial.arm), time.perf_counter()
            failures[arm] = train_one(storage, system, trial, origin)
            seconds[arm] = time.perf_counter() - began
        steps = tables.read(storage, system, "steps").to_pylist()
        loss = {s["trial_id"].removesuffix("-s0"): s["loss"] for s in steps}
        dice = reported(storage, system)
        for arm, run in runs.items():
            yield run._asdict() | {
                "failure": failures[arm],
                "loss": round(loss[arm], 4) if arm in loss else None,
                "dice in the report": None if (d := dice[arm]) is None else round(d, 4),
                "seconds": round(seconds[arm], 2),
            }


def main() -> None:
    """Train all, print a line for each system, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        rows = list(measured(Path(folder)))
    total = time.perf_counter() - began
    for system in dict.fromkeys(row["system"] for row in rows):
        own = [row for row in rows if row["system"] == system]
        failed = [row for row in own if row["failure"] or row["dice in the report"] is None]
        print(
            f"{system}: {len(own)} runs, {len(failed)} failed, "
            f"median {median(row['seconds'] for row in own):.2f} s"
        )
        print(*(f"  {row}" for row in failed), sep="\n", end="\n" if failed else "")
    print(f"{len(rows)} runs in {total:.0f} s")
    if args.json is not None:
        lines = ",\n  ".join(json.dumps(row) for row in rows)
        args.json.write_text(f'{{"seconds": {total:.0f}, "runs": [\n  {lines}\n]}}\n')


if __name__ == "__main__":
    main()
