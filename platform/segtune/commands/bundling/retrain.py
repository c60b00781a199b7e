"""Trials of a bundle trained again, and whether their scores come out the same."""

import json
import math
import os
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from scipy import stats

from segcore.config import TrainConfig, from_json
from segcore.train import TrainingDiverged, train
from segcore.training.runtime import Runtime, local_runtime
from segtune.execution.training.recorder import Recorder
from segtune.results import tables
from segtune.results.measures import Measure
from segtune.results.provenance import find_origin
from segtune.results.study_rows import MACRO, load
from segtune.results.study_scores import derive
from segtune.study.overrides import SpecError, flatten, value_faults
from segtune.study.trial import TESTED, Role, Trial

LEVEL = 0.95
FEWEST_OTHERS = 2
"""Other seeds of an arm whose spread can be told."""
Word = Literal["equal", "within", "beyond", "unknown", "unlike", "diverged"]
HOLDS: tuple[Word, ...] = ("equal", "within")
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Again:
    """A trial that was trained again."""

    trial_id: str
    measure: str
    """Of the score: `dice on test`."""
    recorded: float
    again: float | None
    """None where the training diverged."""
    bound: float | None
    """How far two seeds of the arm lie apart at most, in 95 of 100 pairs; None: not known."""
    word: Word
    why: str

    @property
    def holds(self) -> bool:
        """Whether it came out the same, or within what another seed would change."""
        return self.word in HOLDS


def choose(storage: Path, study: str, k: int, seed: int) -> list[Row]:
    """`k` finished trials at random.

    Raises:
        SpecError: there are not so many.
    """
    finished = [r for r in _trials(storage, study) if r["status"] == "finished"]
    if not 1 <= k <= len(finished):
        raise SpecError([f"--retrain {k}: give 1 to {len(finished)}, the trials that finished"])
    return random.Random(seed).sample(sorted(finished, key=lambda r: str(r["trial_id"])), k)


def configure(row: Row, locations: Mapping[str, str]) -> Trial:
    """A trial as it was run, from its row.

    Args:
        row: of the table `trials`.
        locations: dotted field -> where data or weights lie on this machine: tables don't say.

    Raises:
        SpecError: a place is lacking, or a field is none of a place; or the configuration is of
            another version of segtune.
    """
    values: dict[str, Any] = json.loads(row["config"])
    for field, place in locations.items():
        *parents, name = field.split(".")
        part = values
        for parent in parents:
            inner = part.get(parent)
            if not isinstance(inner, dict):
                raise SpecError([f"--set {field}: {row['trial_id']} has no such field"])
            part = inner
        part[name] = place
    try:
        config = from_json(TrainConfig, values)
    except ValueError as error:
        raise SpecError(
            [
                f"{row['trial_id']} can't be configured:",
                *value_faults(error, ""),
                "Where data and weights lie is in no table: say it, as in --set data.root=FOLDER",
            ]
        ) from None
    places = flatten(config).keys() - flatten(config, locations=False).keys()
    if wrong := sorted(locations.keys() - places):
        raise SpecError(
            [f"--set {f}: only where data and weights lie may be said here" for f in wrong]
        )
    return Trial(
        row["trial_id"],
        cast(Role, row["role"]),
        row["seed"],
        config,
        json.loads(row["changes"] or "{}"),
        row["arm"],
        row["number"],
        row["fold"],
    )


def retrain(
    storage: Path,
    study: str,
    row: Row,
    trial: Trial,
    into: Path,
    tell: Callable[[int, int], None],
) -> Again:
    """Train a trial again, in this process, by the loop and into the tables of any study.

    Args:
        storage: where the recorded study lies.
        study: its name.
        row: the trial's, of the table `trials`.
        trial: the same, configured for this machine.
        into: a folder for its tables.
        tell: called after each epoch, with its number and how many there are.

    Raises:
        ValueError: data or weights are not there, or not what they should be.
    """
    # A worker has one thread unless its run said otherwise; the sum of floats depends on it.
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    runtime = Runtime() if row["device"] == "cpu" else local_runtime()
    runtime.test = row["role"] in TESTED
    recorder = Recorder(into, study, trial, find_origin(), 1)
    recorder.start()
    diverged = ""
    try:
        for evaluation in train(trial.config, runtime):
            recorder.add(evaluation)
            tell(evaluation.epoch, evaluation.epochs)
    except TrainingDiverged as error:
        diverged = str(error)
    return compare(storage, study, row, into, diverged)


def compare(storage: Path, study: str, row: Row, into: Path, diverged: str = "") -> Again:
    """Hold a trial's scores against those that are recorded.

    Equal: every score of every epoch and class, digit for digit. Within: the two macro scores lie
    apart by no more than two seeds of the arm do in 95 of 100 pairs,
    t(0.975, n - 1) * sd * sqrt(2), with the standard deviation `sd` of its n other seeds as they
    are recorded. Both trainings have one seed, so this is a mild rule: what differs are the
    machine, its libraries and the order of sums.

    Raises:
        ValueError: the study's first score is not in the tables.
    """
    split = "test" if row["role"] in TESTED else "val"
    scores = derive(load(storage, study))
    measure = scores.measure(scores.rows.first_score.metric, split)
    if measure is None:
        raise ValueError(f"{row['trial_id']}: there is no score on {split} to compare")
    name = f"{measure.metric} on {split}"
    recorded = _score(storage, study, row, measure, split)
    bound = _bound(storage, study, row, measure, split)
    if diverged:
        return Again(row["trial_id"], name, recorded, None, bound, "diverged", diverged)
    (now,) = tables.read(into, study, "trials", trial_id=row["trial_id"]).to_pylist()
    again = _score(into, study, now, measure, split)

    def found(word: Word, why: str) -> Again:
        return Again(row["trial_id"], name, recorded, again, bound, word, why)

    for what, column in (("data", "data_hash"), ("pretrained weights", "weights_hash")):
        if row[column] != now[column]:
            return found("unlike", f"trained on other {what} (by their hash)")
    different, of = _different(storage, into, study, row["trial_id"])
    if not different:
        return found("equal", f"all {of} scores of all epochs, digit for digit")
    apart = f"{different} of {of} scores differ"
    if row["device"] != now["device"]:
        apart += f"; {now['device']} in place of {row['device']}"
    if math.isnan(recorded - again):
        return found("unknown", f"{apart}; {name} is not defined in both")
    if bound is None:
        return found("unknown", f"{apart}; fewer than {FEWEST_OTHERS} other seeds say how far")
    if abs(again - recorded) <= bound:
        return found("within", f"{apart}, within what another seed changes ({bound:.2g})")
    return found("beyond", f"{apart}, by more than another seed changes ({bound:.2g})")


def _trials(storage: Path, study: str) -> list[Row]:
    rows: list[Row] = tables.read(storage, study, "trials").to_pylist()
    return rows


def _score(storage: Path, study: str, row: Row, measure: Measure, split: str) -> float:
    """Macro, at the trial's best epoch."""
    wanted = {
        "metric": measure.metric,
        "protocol": measure.protocol,
        "resolution": measure.resolution,
        "split": split,
        "class_name": MACRO,
        "epoch": row["best_epoch"],
    }
    rows = tables.read(storage, study, "scores", trial_id=row["trial_id"]).to_pylist()
    there = [r["value"] for r in rows if all(r[key] == value for key, value in wanted.items())]
    return float(there[0]) if there else float("nan")


def _bound(storage: Path, study: str, row: Row, measure: Measure, split: str) -> float | None:
    """See `compare`; None for a trial of a search, and for fewer than two other seeds."""
    same = ("role", "arm", "fold", "changes")
    others = [
        score
        for r in _trials(storage, study)
        if r["status"] == "finished"
        and r["seed"] != row["seed"]
        and all(r[key] == row[key] for key in same)
        and math.isfinite(score := _score(storage, study, r, measure, split))
    ]
    if len(others) < FEWEST_OTHERS:
        return None
    t = float(stats.t.ppf((1 + LEVEL) / 2, len(others) - 1))
    return t * statistics.stdev(others) * 2**0.5


def _different(storage: Path, into: Path, study: str, trial_id: str) -> tuple[int, int]:
    """How many scores differ, those that only one of the two has included, and of how many."""
    one, other = (_values(s, study, trial_id) for s in (storage, into))
    keys = one.keys() | other.keys()
    return sum(one.get(key) != other.get(key) for key in keys), len(keys)


def _values(storage: Path, study: str, trial_id: str) -> dict[Sequence[Any], str]:
    rows = tables.read(storage, study, "scores", trial_id=trial_id).to_pylist()
    return {tuple(r[key] for key in tables.KEYS["scores"]): repr(r["value"]) for r in rows}
