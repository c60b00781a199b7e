"""Tables of studies that never ran, with known numbers, for the tests of the report."""

import io
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from PIL import Image
from support.score_kinds import DEFINED, KINDS

from segtune.results import study_file, tables

CLASSES = {"ridge": (230, 75, 53), "silhouette": (0, 160, 135), "ligament": (60, 84, 200)}
METHOD = {"name": "galore", "side": "left"}
NANO = {"data": {"name": "synthetic_liver"}, "system": {"rgb": {"size": "nano"}}}
ARMS: dict[str, dict[str, Any]] = {
    "full": {},
    "galore": {"method": "galore", "method.rank": 4},
    "lora": {"method": "lora", "method.rank": 4},
    "srft_galore": {"method": "srft_galore", "method.rank": 4},
}
DICE = {
    "full": (0.700, 0.712, 0.706),
    "galore": (0.690, 0.703, 0.699),
    "lora": (0.641, 0.652, 0.650),
    "srft_galore": (0.704, 0.709, 0.711),
}
"""Macro Dice on test by seed."""
STATE = {"full": 84e6, "galore": 9.1e6, "lora": 2.2e6, "srft_galore": 8.7e6}
EPOCHS = 6
STEPS = 40
PATIENTS = 6
IMAGES = 18
SPACE = {
    "method.rank": IntDistribution(2, 64, log=True),
    "method.lr": FloatDistribution(1e-5, 1e-2, log=True),
    "method.side": CategoricalDistribution(("left", "right")),
    "system.fusion.width": IntDistribution(32, 128, step=32),
}
SIDE = 96
MASKS, LARGER_MASKS = f"{SIDE}x{SIDE}", f"{2 * SIDE}x{2 * SIDE}"
SPOILT = ("failed", "pruned", "cancelled", "running", "dirty")
ABSURD = 99.0
"""A Dice that no mean hides."""
COMMON = {"git_commit": "0123456789abcdef", "git_dirty": False, "device": "cpu", "workers": 1,
          "command": "segtune run mine.py --set data.root='my data'"}  # fmt: skip


def scores_of(value: float, split: str, epoch: int, n: int, farther: float) -> list[dict[str, Any]]:
    """Every metric of every class around a macro Dice; distances `farther` by some pixels."""
    rows = []
    offsets = {"ridge": -0.06, "silhouette": 0.09, "ligament": -0.03, "macro": 0.0, "pooled": 0.02}
    protocols = {"nsd": "tolerance_1pct", "assd": "per_class_px", "hd95": "max_of_directed"}
    for name, offset in offsets.items():
        dice = value + offset
        numbers = {"dice": dice, "nsd": dice + 0.1, "assd": 30 * (1 - dice) + farther}
        numbers["hd95"] = 2.5 * numbers["assd"]
        for metric, number in numbers.items():
            rows.append({"step": epoch * STEPS // EPOCHS, "epoch": epoch, "split": split,
                         "resolution": MASKS, "class_name": name, "metric": metric,
                         "protocol": protocols.get(metric, "per_image"), "value": number, "n": n,
                         **KINDS[metric]})  # fmt: skip
    return [*rows, {**rows[-4], "class_name": "pooled", "protocol": "stacked"}]


def images_of(value: float, split: str, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Scores per image; the ligament is not in every third image."""
    rows = []
    hardness = np.random.default_rng(0).normal(0, 0.08, IMAGES)
    for i, (name, metric) in itertools.product(
        range(IMAGES), itertools.product(CLASSES, ("dice", "assd"))
    ):
        dice = float(np.clip(value + hardness[i] + rng.normal(0, 0.04), 0, max(1, value)))
        absent = name == "ligament" and i % 3 == 0
        number = math.nan if absent else dice if metric == "dice" else 30 * (1 - dice)
        rows.append({"split": split, "resolution": MASKS, "sample_id": f"p{i % PATIENTS}-{i:02d}",
                     "patient_id": f"p{i % PATIENTS}", "class_name": name, "metric": metric,
                     "protocol": "per_image" if metric == "dice" else "per_class_px",
                     "value": number})  # fmt: skip
    return rows


def pictures_of(split: str, samples: int, shift: int) -> list[dict[str, Any]]:
    """Three bands over a shaded scene; a prediction is the truth, moved."""
    rows = []
    y, x = np.mgrid[:SIDE, :SIDE]
    for sample in range(samples):
        image = np.stack([120 + 60 * np.sin(x / 17 + sample), 60 + y / 2, 50 + x / 4], axis=2)
        for kind, moved in (("image", 0), ("truth", 0), ("prediction", shift)):
            labels = np.zeros((SIDE, SIDE, 3), np.uint8)
            for k, color in enumerate(CLASSES.values()):
                middle = 22 + 25 * k + 6 * np.sin(x / 12 + sample + k) + moved
                labels[np.abs(y - middle) < 5] = color
            drawn = image.astype(np.uint8) if kind == "image" else labels
            file = io.BytesIO()
            Image.fromarray(drawn).save(file, "PNG")
            rows.append({"split": split, "sample_id": f"p{sample}-0{sample}", "kind": kind,
                         "png": file.getvalue()})  # fmt: skip
    return rows


def steps_of(trial_id: str, state: float, pace: float, steps: int = STEPS) -> list[dict[str, Any]]:
    """Steps whose first is slow and of which every tenth refreshes."""
    rng = np.random.default_rng([*trial_id.encode()])
    refresh = "galore" in trial_id
    return [
        {"step": s, "epoch": 1 + (s - 1) * EPOCHS // STEPS, "lr": 1e-3,
         "loss": 1.2 * math.exp(-s / 25) + 0.3 / pace + rng.normal(0, 0.03),
         "seconds_data": 0.01, "seconds_forward": 0.1 * pace, "seconds_backward": 0.2 * pace,
         "seconds_optimizer": 0.05 + (5.0 if s == 1 else 0.0),
         "seconds_refresh": 0.04 if refresh and s % 10 == 0 else 0.0,
         "images_per_second": 8.0, "weights_bytes": 40_000_000,
         "gradient_bytes": int(state / 2), "optimizer_state_bytes": int(state),
         "peak_memory_bytes": int(9e8 + 2 * state)}
        for s in range(1, steps + 1)
    ]  # fmt: skip


def write_trial(storage: Path, study: str, trial_id: str, value: float, **row: Any) -> None:
    """All tables of one trial whose best epoch is the last but one.

    Args:
        storage: the folder that holds the studies.
        study: its name.
        trial_id: the trial's.
        value: macro Dice on test.
        row: `tested`, `pictured`, `state` (bytes), `pace` (of seconds), `farther` (pixels),
            `elsewhere` (what an external set and masks of twice the size add to the Dice; None:
            not tested on), `whole` (all rows, whatever the status says), `steps` (optimizer
            steps); columns of `trials`.
    """
    status = row.pop("status", "finished")
    elsewhere, whole = row.pop("elsewhere", None), row.pop("whole", status == "finished")
    tested, pictured = row.pop("tested", True), row.pop("pictured", True)
    state, pace = row.pop("state", 10e6), row.pop("pace", 1.0)
    taken = row.pop("steps", STEPS)
    farther = row.pop("farther", 0.0)
    key = {"trial_id": trial_id, "attempt": 1}
    seed = int(row["seed"])
    # One after another: an hour each.
    before = len(list((storage / study / "tables" / "trials").glob("*.parquet")))
    start = datetime(2026, 5, 1, 8, 0, tzinfo=UTC) + timedelta(hours=before)
    method = METHOD | ({"update_proj_gap": 10} if "galore" in trial_id else {})
    trial = {**key, **COMMON, "status": status, "versions": json.dumps({"torch": "2.15.0"}),
             "config": json.dumps({**NANO, "seed": seed, "method": method}),
             "data_hash": "d" * 40, "weights_hash": "w" * 40, "epochs": EPOCHS,
             "trainable_parameters": int(state / 8), "total_parameters": 40_000_000,
             "best_epoch": EPOCHS - 1, "started": start, "ended": start + timedelta(hours=1),
             **row}  # fmt: skip
    tables.write(storage, study, "trials", [trial])
    epochs = EPOCHS if whole else 2
    scores = [
        s
        for e in range(1, epochs + 1)
        for s in scores_of(value - 0.3 * math.exp(-e) - 0.004 * (e == EPOCHS), "val", e, 8, farther)
    ]
    if whole:
        rng = np.random.default_rng([abs(seed), *trial_id.encode()])
        images = images_of(value, "test" if tested else "val", rng)
        if elsewhere is not None:
            images += images_of(value + elsewhere, "external", rng)
            away = scores_of(value + elsewhere, "external", EPOCHS - 1, IMAGES, farther)
            larger = scores_of(value + elsewhere, "test", EPOCHS - 1, IMAGES, farther)
            scores += [*away, *({**s, "resolution": LARGER_MASKS} for s in larger)]
        tables.write(storage, study, "images", [{**key, **i} for i in images])
        if tested:
            scores += scores_of(value, "test", EPOCHS - 1, IMAGES, farther)
        if pictured:
            pictures = pictures_of("test" if tested else "val", 3, round(20 * (0.8 - value)))
            tables.write(storage, study, "pictures", [{**key, **p} for p in pictures])
    tables.write(storage, study, "scores", [{**key, **s} for s in scores])
    steps = steps_of(trial_id, state, pace, taken)[: epochs * taken // EPOCHS]
    tables.write(storage, study, "steps", [{**key, **s} for s in steps])


def write_ablation(
    storage: Path,
    study: str = "methods",
    seeds: Sequence[int] = (0, 1, 2),
    elsewhere: float | None = None,
) -> None:
    """Four arms, each with all seeds; on an external set and larger masks too where asked."""
    study_file.write(storage, study, {
        "schema_version": 2, "study": study, "scores": DEFINED, "kind": "ablation",
        "question": "Does a low-rank projection of the gradient cost accuracy?",
        "baseline": {"method": "full"}, "baseline_arm": "full", "arms": ARMS,
        "seeds": list(seeds), "objectives": [{"metric": "dice", "direction": "maximize"},
                                             {"metric": "assd", "direction": "minimize"}],
        "tune": None,
    })  # fmt: skip
    for (arm, changes), seed in itertools.product(ARMS.items(), seeds):
        write_trial(storage, study, f"{arm}-s{seed}", DICE[arm][seed], role="arm", arm=arm,
                    seed=seed, changes=json.dumps(changes), state=STATE[arm], elsewhere=elsewhere,
                    pace=1.4 if arm == "full" else 1.0)  # fmt: skip


def spoil(storage: Path, study: str) -> None:
    """Put a trial of every status that counts for nothing into each arm, or into a search.

    They have all rows, absurd ones, and come before the others by seed, after them by number.
    """
    trials = tables.read(storage, study, "trials").to_pylist()
    first = {t["arm"]: t for t in reversed(trials) if t["role"] in ("arm", "search", "finalist")}
    for row in first.values():
        for k, status in enumerate(SPOILT):
            column = {c: row[c] for c in ("role", "arm", "changes", "config")}
            if row["number"] is not None:
                column["number"] = 90 + k if row["role"] == "search" else row["number"]
            write_trial(storage, study, f"{row['trial_id']}-{status}", ABSURD, **column,
                        status="finished" if status == "dirty" else status, seed=-9 + k,
                        git_dirty=status == "dirty", whole=True, elsewhere=0.5,
                        tested=row["role"] != "search", state=1e15, pace=1e6,
                        steps=2 * STEPS)  # fmt: skip


def write_search(storage: Path, study: str = "rank", trials: int = 10) -> None:
    """Random trials of which one failed and one was pruned; the rank decides the score."""
    study_file.write(storage, study, {
        "schema_version": 2, "study": study, "scores": DEFINED, "kind": "search",
        "question": "Which rank?",
        "baseline": {"method.rank": 8, "method.side": "left"}, "num_samples": trials,
        "objectives": [{"metric": "dice", "direction": "maximize"},
                       {"metric": "assd", "direction": "minimize"}],
        "space": {f: distribution_to_json(d) for f, d in SPACE.items()},

    })  # fmt: skip
    rng = np.random.default_rng(3)
    for number in range(trials):
        rank = int(2 ** rng.integers(1, 7))
        changes = {"method.rank": rank, "method.lr": float(10 ** rng.uniform(-5, -2)),
                   "method.side": ("left", "right")[number % 2],
                   "system.fusion.width": int(32 * rng.integers(1, 5))}  # fmt: skip
        if number % 2 == 0:
            del changes["method.side"]  # as the baseline: the trial's config has it
        value = 0.55 + 0.03 * math.log2(rank) + float(rng.normal(0, 0.004))
        status = {3: "failed", 4: "pruned"}.get(number, "finished")
        error = "Traceback (most recent call last):\n  step\nRuntimeError: out of memory"
        write_trial(storage, study, f"t{number}", value, role="search", seed=number, number=number,
                    changes=json.dumps(changes), status=status, tested=False,
                    error=error if status == "failed" else None, state=1e6 * rank,
                    farther=float(rng.uniform(0, 6)))  # fmt: skip


def write_finalists(
    storage: Path,
    study: str,
    scores: Mapping[int, Sequence[float]],
    seeds: Sequence[int] = (101, 102, 103),
) -> None:
    """The best of a search trained anew and tested.

    Args:
        storage: the folder that holds the studies.
        study: the search.
        scores: number of the search trial -> macro Dice on test, one for each seed.
        seeds: of the trainings.
    """
    drawn = {t["number"]: t["changes"] for t in tables.read(storage, study, "trials").to_pylist()}
    for number, seed in itertools.product(scores, seeds[: max(map(len, scores.values()))]):
        write_trial(storage, study, f"t{number}-s{seed}", scores[number][seeds.index(seed)],
                    role="finalist", arm=f"t{number}", number=number, seed=seed,
                    changes=drawn[number], elsewhere=-0.1)  # fmt: skip
