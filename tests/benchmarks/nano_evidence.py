"""Does the nano default measure anything? Arms with known answers beside the low-rank ones.

Command: .venv/bin/python tests/benchmarks/nano_evidence.py --storage DIR [--seeds 5]
Cost: 10 arms x 5 seeds, two trainings at a time on two cores; goes on where it stopped.

Written down beforehand, for the mean over seeds of macro Dice on test:

- `full` is at least MARGIN_FULL above `frozen`;
- from the packaged weights, `frozen`, `srft_galore` and `full` are each at least MARGIN_PRETRAINED
  above the same from random weights at equal budget;
- `frozen` with depth maps is at least MARGIN_DEPTH above `frozen` trained without depth, and
  showing the trained model other samples' depth maps costs it at least MARGIN_DEPTH;
- a difference below MARGIN_ALIKE counts for nothing: the report is asked whether an arm is as good
  as `frozen`, and `srft_galore` as `galore`, within it.

What `lora`, `galore` and `srft_galore` reach is reported, whatever it is. Runs without Ray, through
the same training loop and tables; `segtune report nano_evidence --storage DIR` draws it.
"""

import argparse
import json
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

MARGIN_FULL = 0.02
MARGIN_PRETRAINED = 0.02
MARGIN_DEPTH = 0.10
MARGIN_ALIKE = MARGIN_FULL
"""Below what is promised of `full`, and hardly above what one seed moves an arm by."""
NAME = "nano_evidence"
RANDOM = {"system.rgb.pretrained": "random", "system.depth.pretrained": "random"}
ARMS: dict[str, dict[str, Any]] = {
    "full": {"method": "full"},
    "lora": {"method": "lora"},
    "galore": {"method": "galore"},
    "srft_galore": {"method": "srft_galore"},
    "srft_galore-mlp": {"method": "srft_galore", "method.targets": "attention+mlp"},
    "frozen-random": RANDOM,
    "srft_galore-random": {"method": "srft_galore", **RANDOM},
    "full-random": {"method": "full", **RANDOM},
    "frozen-no_depth": {"system.fusion.mode": "rgb_only"},
}


def study(seeds: int) -> Any:
    """The arms as a study."""
    from segcore.presets import nano
    from segtune.study.overrides import apply
    from segtune.study.spec import Ablation

    return Ablation(
        question="Does the nano default measure anything?",
        baseline=apply(nano(), {"method": "frozen"}),
        baseline_arm="frozen",
        arms=ARMS,
        seeds=tuple(range(seeds)),
        margin={"dice": MARGIN_ALIKE},
        contrasts=(("srft_galore", "galore"),),
    )


def main() -> None:
    """Train what is missing, then print the table and the margins."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--storage", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"

    from segtune.results import study_file, tables
    from segtune.study import definition

    ablation = study(args.seeds)
    study_file.write(args.storage, NAME, definition.define(NAME, ablation))
    rows = tables.read(args.storage, NAME, "trials").to_pylist()
    done = {r["trial_id"] for r in rows if r["status"] == "finished"}
    pending = [(t, args.storage) for t in ablation.trials({}) if t.trial_id not in done]
    with multiprocessing.get_context("spawn").Pool(args.processes, maxtasksperchild=1) as pool:
        for number, said in enumerate(pool.imap_unordered(run, pending), start=1):
            print(f"{number}/{len(pending)} {said}", flush=True)
    results = collect(args.storage, args.seeds)
    print(render(results))
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n")


def run(job: tuple[Any, Path]) -> str:
    """One training into the tables; of `frozen`, also what wrong depth maps cost it."""
    import torch

    from segcore.metrics.aggregate import aggregate
    from segcore.training.loop import Training
    from segcore.training.predicting import Target, predict
    from segcore.training.runtime import Runtime
    from segcore.training.scoring import score_predictions
    from segtune.execution.training.recorder import Recorder
    from segtune.results.provenance import find_origin

    trial, storage = job
    torch.set_num_threads(1)
    recorder = Recorder(storage, NAME, trial, find_origin(), 1)
    recorder.start()
    training = Training(trial.config, Runtime())
    while not training.ended:
        recorder.add(training.advance())
    final = training.finish()
    recorder.add(final)
    if trial.arm == "frozen":
        for kind in ("shuffled", "zeroed"):
            data: Any = WrongDepth(training.dataset, kind)
            size = trial.config.system.input_size
            metrics = trial.config.evaluation.rows(trial.config.data, test=False)
            target = Target(data, "test", "test", size, metrics)
            runtime = Runtime()
            predictions = predict(training.system, target, runtime, input_size=size, batch_size=8)
            scores = aggregate(score_predictions(predictions, target, runtime))
            value = next(s.value for s in scores if (s.metric, s.class_name) == ("dice", "macro"))
            folder = storage / NAME / "wrong_depth"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{kind}-{trial.seed}.json").write_text(json.dumps(value))
    return f"{trial.trial_id}: test Dice {final.score('dice', split='test'):.3f}"


class WrongDepth:
    """A data set whose depth maps are another sample's, or nothing."""

    def __init__(self, dataset: Any, kind: str) -> None:
        self._dataset, self._kind = dataset, kind
        self.classes = dataset.classes
        self.ids, self.sources = dataset.ids, dataset.sources

    def load(self, split: Any, sample_id: str, size: Any) -> Any:
        """The sample with the depth map of one half a split away, or with zeros."""
        sample = self._dataset.load(split, sample_id, size)
        ids = list(self._dataset.ids(split))
        other = ids[(ids.index(sample_id) + len(ids) // 2) % len(ids)]
        depth = self._dataset.load(split, other, size).depth_HW
        return replace(sample, depth_HW=np.zeros_like(depth) if self._kind == "zeroed" else depth)


def collect(storage: Path, seeds: int) -> dict[str, Any]:
    """Test Dice of every arm and seed, and the margins that were written down."""
    from segtune.results import tables

    found: dict[str, dict[int, float]] = {}
    trials = {r["trial_id"]: r for r in tables.read(storage, NAME, "trials").to_pylist()}
    for s in tables.read(storage, NAME, "scores").to_pylist():
        if (s["split"], s["class_name"], s["metric"]) == ("test", "macro", "dice"):
            trial = trials[s["trial_id"]]
            found.setdefault(trial["arm"], {})[trial["seed"]] = s["value"]
    for kind in ("shuffled", "zeroed"):
        files = {s: storage / NAME / "wrong_depth" / f"{kind}-{s}.json" for s in range(seeds)}
        found[f"frozen, depth {kind} at test"] = {
            seed: json.loads(file.read_text()) for seed, file in files.items()
        }
    claims = [("full", "frozen", MARGIN_FULL)]
    claims += [(a, f"{a}-random", MARGIN_PRETRAINED) for a in ("frozen", "srft_galore", "full")]
    claims += [("frozen", "frozen-no_depth", MARGIN_DEPTH)]
    claims += [
        ("frozen", f"frozen, depth {kind} at test", MARGIN_DEPTH) for kind in ("shuffled", "zeroed")
    ]
    margins = []
    for better, worse, margin in claims:
        both = sorted(found[better].keys() & found[worse].keys())
        differences = [found[better][s] - found[worse][s] for s in both]
        mean, half = interval(differences)
        margins.append(
            {
                "better": better,
                "worse": worse,
                "promised": margin,
                "difference": mean,
                "half_interval": half,
                "n": len(both),
                "kept": mean >= margin,
            }
        )
    return {"arms": {a: [v[s] for s in sorted(v)] for a, v in found.items()}, "margins": margins}


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and half of its 95 % t interval over seeds."""
    n = len(values)
    if n < 2:
        return float(np.mean(values)), float("nan")
    half = stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n)
    return float(np.mean(values)), float(half)


def render(results: Mapping[str, Any]) -> str:
    """The results as Markdown."""
    lines = ["| arm | test Dice (macro) | n |", "|---|---|---|"]
    for arm, values in results["arms"].items():
        mean, half = interval(values)
        lines.append(f"| {arm} | {mean:.3f} +- {half:.3f} | {len(values)} |")
    lines += ["", "| difference | promised | measured | n | kept |", "|---|---|---|---|---|"]
    for m in results["margins"]:
        lines.append(
            f"| {m['better']} - {m['worse']} | >= {m['promised']:.2f} "
            f"| {m['difference']:.3f} +- {m['half_interval']:.3f} | {m['n']} "
            f"| {'yes' if m['kept'] else 'no'} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
