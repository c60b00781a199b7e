"""Arms of one class with known scores, for tests of what the report concludes."""

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from support.report_tables import EPOCHS, MASKS, write_trial
from support.score_kinds import DEFINED, KINDS

from segtune.report.summarize import StudySummary
from segtune.results import study_file, tables

PATIENTS, IMAGES = 8, 3
"""IMAGES: of each patient."""
ONE_CLASS = "ridge"
NANO = {
    "data": {"name": "synthetic_liver", "size": 96},
    "schedule": {"epochs": EPOCHS, "batch_size": 8},
    "method": {"name": "lora", "lr": 0.001},
}
STEADY = {"base": (0.70, 0.71, 0.69, 0.70, 0.705), "up": (0.76, 0.77, 0.76, 0.765, 0.76)}
"""Two arms that differ alike under every seed."""


def write_study(
    storage: Path,
    arms: Mapping[str, Sequence[float]],
    *,
    study: str = "known",
    per_patient: Mapping[str, Sequence[float]] | None = None,
    rising: Sequence[str] = (),
    tune: Mapping[str, Mapping[str, Sequence[float]]] | None = None,
    patients: int = PATIENTS,
    config: Mapping[str, Any] = NANO,
    defined: Mapping[str, Any] | None = None,
    of_arm: Mapping[str, Mapping[str, Any]] | None = None,
    **row: Any,
) -> None:
    """Arms of one class whose Dice on every image is a seed's plus a patient's part.

    Args:
        storage: the folder that holds the studies.
        arms: arm -> its value with each seed; the first arm is the baseline.
        study: its name.
        per_patient: arm -> what is added for each patient.
        rising: arms that are best after the last epoch.
        tune: arm -> field -> values tried; the largest is best.
        patients: on test.
        config: of every trial.
        defined: further entries of `study.json`.
        of_arm: arm -> what its trials have besides, as `write_trial` takes it.
        row: columns of every trial.
    """
    seeds = range(max(len(values) for values in arms.values()))
    study_file.write(storage, study, {
        "schema_version": 2, "study": study, "scores": DEFINED, "kind": "ablation",
        "question": "Which is best?",
        "baseline": {}, "baseline_arm": next(iter(arms)), "arms": {a: {"method": a} for a in arms},
        "seeds": list(seeds), "tune": tune or {}, **(defined or {}),
    })  # fmt: skip
    rng = np.random.default_rng(0)
    common = {"config": json.dumps(config), "git_dirty": False, "pictured": False, **row}
    for arm, values in arms.items():
        for seed, value in enumerate(values):
            trial = f"{arm}-s{seed}"
            write_trial(storage, study, trial, value, role="arm", arm=arm, seed=seed,
                        changes=json.dumps({"method": arm}),
                        **{**common, **(of_arm or {}).get(arm, {})})  # fmt: skip
            extra = np.asarray((per_patient or {}).get(arm, [0.0] * patients))
            noise = rng.normal(0, 0.002, patients * IMAGES)
            dice = value + np.repeat(extra, IMAGES) + noise
            rewrite_scores(storage, study, trial, float(dice.mean()), arm in rising)
            tables.write(storage, study, "images", [
                {"trial_id": trial, "attempt": 1, "split": "test", "resolution": MASKS,
                 "sample_id": f"p{i // IMAGES}-{i}", "patient_id": f"p{i // IMAGES}",
                 "class_name": ONE_CLASS, "metric": "dice", "protocol": "per_image",
                 "value": float(v)}
                for i, v in enumerate(dice)
            ])  # fmt: skip
        for number, chosen in enumerate(
            itertools.product(*(tune or {}).get(arm, {}).values()) if (tune or {}).get(arm) else ()
        ):
            changes = {"method": arm, **dict(zip((tune or {})[arm], chosen, strict=True))}
            write_trial(storage, study, f"{arm}-t{number}", 0.5 + 0.01 * number, role="tune",
                        arm=arm, seed=1000, number=number, tested=False,
                        changes=json.dumps(changes), **common)  # fmt: skip


def rewrite_scores(storage: Path, study: str, trial: str, test: float, rising: bool) -> None:
    """Macro Dice: a curve on val that is best at its end or not, and a value on test."""
    best = EPOCHS if rising else EPOCHS - 1
    [row] = [r for r in tables.read(storage, study, "trials").to_pylist() if r["trial_id"] == trial]
    tables.write(storage, study, "trials", [{**row, "best_epoch": best}])
    common = {"trial_id": trial, "attempt": 1, "resolution": MASKS, "class_name": "macro",
              "metric": "dice", "protocol": "per_image", **KINDS["dice"]}  # fmt: skip
    val = [0.5 + 0.02 * e - 0.1 * (e > best) for e in range(1, EPOCHS + 1)]
    rows = [
        {**common, "step": e, "epoch": e, "split": "val", "value": v, "n": 8}
        for e, v in enumerate(val, 1)
    ]
    tested = {**common, "step": best, "epoch": best, "split": "test", "value": test, "n": 24}
    tables.write(storage, study, "scores", [*rows, tested])


def verdicts(found: StudySummary) -> dict[str, str]:
    """Arm -> its verdict in the first objective."""
    return {d.arm: d.verdict.text for d in found.comparisons[0].differences}


def caveat(found: StudySummary, title: str) -> str:
    """The text of a caveat; empty where there is none of that title."""
    return " ".join(c.text for c in found.caveats if c.title.startswith(title))


def rewrite_trials(storage: Path, change: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
    """Change the row of every trial."""
    for row in tables.read(storage, "known", "trials").to_pylist():
        tables.write(storage, "known", "trials", [{**row, **change(row)}])
