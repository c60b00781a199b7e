"""Where a study stands as a whole."""

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd
import pyarrow.compute as pc

from segtune.results import study_file, tables
from segtune.results.integrity.damage import lost, set_apart
from segtune.results.spending import Spent, read_spent
from segtune.results.status.left import TimeLeft, time_left
from segtune.results.status.trials import OF_STEPS, ORDER, TrialStatus, begun_trials
from segtune.results.storage import Place, Storage
from segtune.results.study_rows import MACRO, StudyRows
from segtune.study import definition
from segtune.study.money import Money
from segtune.study.scores import ScoreKind, headline
from segtune.study.trial import arm_trial_id

FINALIST = "finalist"
"""Stands in for the arm of a finalist that is not chosen yet."""


@dataclass(frozen=True)
class StudyStatus:
    """A study at one moment."""

    name: str
    question: str
    total: int
    counts: Mapping[str, int]
    """Trials by state."""
    waiting: int
    """Trials of the definition that have not begun."""
    time_left: TimeLeft | None
    """None where nothing is left, or no trial has finished an epoch yet."""
    trials: tuple[TrialStatus, ...]
    """In the order of `ORDER`, then of the definition."""
    shown: Mapping[str, ScoreKind]
    """The scores that stand for a trial where there is room for few, by name."""
    looks: tuple[int, ...] = ()
    """Numbers of seeds after which arms may get more; empty where all trials are known."""
    spent: Spent = Spent()
    """What the trials have taken so far, attempts that were gone on from included."""
    money_left: Money | None = None
    """What the time left costs by the newest trial's price, all trials one after another; None
    without a price."""


def read_status(storage: Storage, study: str, now: datetime) -> StudyStatus:
    """Where a study stands.

    Args:
        storage: the folder that holds the studies.
        study: its name.
        now: the time, with its zone.

    Raises:
        ValueError: no study of this name lies there, or its `study.json` is damaged.
    """
    defined = study_file.read(storage, study)
    rows = _rows(storage, study, defined or {})
    if defined is None and rows.trials.empty:
        found = ", ".join(_studies(storage)) or "none"
        raise ValueError(
            f"no study {study!r} under {storage}; studies there: {found}. "
            "Give another one, or the folder of its results with --storage"
        )
    expected = dict(_expected(rows.definition))
    begun = begun_trials(storage, rows, now)
    of_definition = {trial_id: i for i, trial_id in enumerate(expected)}
    begun.sort(key=lambda t: (_rank(t.state), of_definition.get(t.trial_id, math.inf)))
    waiting = _waiting(rows.definition, expected, begun)
    left, took = time_left(begun, waiting, rows.definition), read_spent(storage, study)
    return StudyStatus(
        name=study,
        question=str(rows.definition.get("question") or ""),
        total=len(begun) + len(waiting),
        counts=Counter(t.state for t in begun),
        waiting=len(waiting),
        time_left=left,
        trials=tuple(begun),
        shown=headline(rows.score_kinds),
        looks=rows.looks,
        spent=took,
        money_left=None if left is None or took.price is None else took.price * (left.work / 3600),
    )


def _rank(state: str) -> int:
    """Position in `ORDER`; states that a later version of segtune wrote come last."""
    return ORDER.index(state) if state in ORDER else len(ORDER)


def _rows(storage: Storage, study: str, defined: Mapping[str, Any]) -> StudyRows:
    bad: dict[Place, str] = {}
    of_trials: tuple[tables.TrialTable, ...] = ("trials", "scores", "steps")
    trials, scores, steps = (tables.read(storage, study, t, damaged=bad) for t in of_trials)
    macro = pc.and_(pc.equal(scores["split"], "val"), pc.equal(scores["class_name"], MACRO))
    nothing = pd.DataFrame()
    return StudyRows(
        name=study,
        definition=defined,
        trials=set_apart(trials.to_pandas(), lost(trials.to_pylist(), scores, bad)),
        steps=steps.select(OF_STEPS).to_pandas(),
        scores=scores.filter(macro).to_pandas(),
        images=nothing,
        pictures=nothing,
    )


def _studies(storage: Storage) -> list[str]:
    """Names of the studies under a folder, those without a trial yet included."""
    return [
        folder.name
        for folder in Place.of(storage).folders()
        if study_file.path_of(storage, folder.name).is_file()
        or tables.table_dir(storage, folder.name, "trials").is_folder()
    ]


def _expected(defined: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    """(id, arm) of every trial of a definition, in the order in which they are run."""
    if defined.get("kind") == "search":
        yield from ((f"t{number}", None) for number in range(defined["num_samples"]))
        seeds = definition.first_seeds(defined)
        if (chosen := defined.get(definition.CHOSEN)) is not None:
            yield from ((f"t{n}-s{seed}", FINALIST) for seed in seeds for n in chosen)
            return
        for place, seed in itertools.product(range(defined.get("finalists") or 0), seeds):
            yield f"finalist {place} s{seed}", FINALIST  # which they are is not known beforehand
        return
    arms = defined.get("arms") or {}
    tune = defined.get("tune") or {}
    for arm in arms:
        if values := tune.get(arm):
            candidates = math.prod(len(v) for v in values.values())
            yield from ((f"{arm}-t{number}", arm) for number in range(candidates))
    folds = range(defined[definition.FOLDS]) if definition.FOLDS in defined else (None,)
    for seed, fold, arm in itertools.product(definition.first_seeds(defined), folds, arms):
        yield arm_trial_id(arm, seed, fold), arm


def _waiting(
    defined: Mapping[str, Any], expected: Mapping[str, str | None], begun: Sequence[TrialStatus]
) -> list[str | None]:
    """Arms of the trials that have not begun."""
    if defined.get("kind") == "search":  # Optuna counts on where a failed trial is drawn anew
        known = definition.CHOSEN in defined  # which they are: others were overtaken
        there = [t for t in begun if not (t.arm and known) or t.trial_id in expected]
        due = Counter(expected.values()) - Counter(t.arm and FINALIST for t in there)
        return list(due.elements())
    ids = {t.trial_id for t in begun}
    return [arm for trial_id, arm in expected.items() if trial_id not in ids]
