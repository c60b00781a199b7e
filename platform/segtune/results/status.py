"""Where a study stands, computed from its tables and `study.json` alone.

A run that is killed can't record it: its trials stay `running` in the tables. Those that have
written nothing for much longer than one of their epochs takes are shown as `silent` here.
"""

import itertools
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

import pandas as pd
import pyarrow.compute as pc

from segtune.results import study_file, tables
from segtune.results.integrity.damage import DAMAGED, lost, set_apart
from segtune.results.measures import best_epochs, choose_measure, select
from segtune.results.spending import Spent, read_spent
from segtune.results.storage import Place, Storage
from segtune.results.study_rows import MACRO, StudyRows
from segtune.study import definition
from segtune.study.money import Money
from segtune.study.scores import ScoreKind, headline
from segtune.study.trial import arm_trial_id

RUNNING, SILENT = "running", "silent"
ORDER = (RUNNING, SILENT, "failed", DAMAGED, "cancelled", "pruned", "finished")
"""States of a trial, in the order in which they are shown: the most interesting ones first."""
FINALIST = "finalist"
"""Stands in for the arm of a finalist that is not chosen yet."""
SILENT_EPOCHS = 5
"""A trial without a new row for the time of this many epochs, or of as many evaluations where they
are further apart, is silent. The test at its end may well take several epochs' time, where it has
further sizes and data sets."""
SILENT_LEAST = timedelta(minutes=2)
"""No trial is silent sooner: a worker that died is restarted within a minute."""
SILENT_UNKNOWN = timedelta(minutes=15)
"""The same while no trial of the study has finished an epoch: reading data and weights takes
time."""

_OF_MACHINE = {"cpus_used": float, "gpu_utilisation": float, "gpu_memory_bytes": int}
_OF_STEPS = ["trial_id", "attempt", "epoch", "peak_memory_bytes", *_OF_MACHINE]
_NOT_MEASURED = dict.fromkeys(_OF_MACHINE)


@dataclass(frozen=True)
class TrialStatus:
    """A trial that has begun."""

    trial_id: str
    arm: str | None
    state: str
    """One of `ORDER`: as in the tables, or `silent`, or `damaged`."""
    attempt: int
    epoch: int
    """Epochs done, those of earlier attempts included."""
    epochs: int | None
    scores: Mapping[str, float]
    """Macro, on val, at the best epoch so far, of the metrics in `StudyStatus.shown`."""
    best_epoch: int | None
    epoch_seconds: float | None
    """Mean wall-clock time of the epochs that this attempt finished, starting up included."""
    seconds_left: float | None
    """At that pace, without the test at the end; None where there is no pace, or nothing left."""
    memory_bytes: int | None
    """Largest memory of the first worker, bytes."""
    cpus_used: float | None
    """CPUs that the first worker kept busy in the last epoch, on average."""
    gpu_utilisation: float | None
    """Share of that epoch in which its GPU computed; None without a GPU."""
    gpu_memory_bytes: int | None
    """Of its GPU, taken by whomever."""
    written: datetime
    """When its last row was written."""
    error: str | None


@dataclass(frozen=True)
class TimeLeft:
    """How long what is left will take, at the pace of what has run."""

    seconds: float
    work: float
    """The same seconds if the trials ran one after another."""
    concurrent: int
    """Trials taken to run at a time: as many as do now, at least one."""
    guessed: int
    """Trials without an epoch of their own, at the median pace of their arm, else of the study."""
    at_most: bool
    """Whether some may end before their last epoch: by `evaluation.patience`, or a search's
    scheduler."""


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
    begun = _begun(storage, rows, now)
    of_definition = {trial_id: i for i, trial_id in enumerate(expected)}
    begun.sort(key=lambda t: (_rank(t.state), of_definition.get(t.trial_id, math.inf)))
    waiting = _waiting(rows.definition, expected, begun)
    left, took = _time_left(begun, waiting, rows.definition), read_spent(storage, study)
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
        steps=steps.select(_OF_STEPS).to_pandas(),
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


def _begun(storage: Storage, rows: StudyRows, now: datetime) -> list[TrialStatus]:
    at_best = {metric: _at_best(rows, metric) for metric in headline(rows.score_kinds)}
    best, worked, trials = best_epochs(rows), _worked(rows), _trials(rows)
    written = {t["trial_id"]: _written(storage, rows.name, t) for t in trials}
    paces = {t["trial_id"]: _pace(t, written[t["trial_id"]], worked) for t in trials}
    known = [pace for pace in paces.values() if pace is not None]
    usual = median(known) if known else None
    found = []
    for trial in trials:
        trial_id, state = trial["trial_id"], trial["status"]
        pace, epoch = paces[trial_id], worked.last.get(trial_id, 0)
        patience = _patience(usual if pace is None else pace, _between_rows(trial))
        if state == RUNNING and now - written[trial_id] > patience:
            state = SILENT
        epochs, left = _epochs(trial, rows.definition), None
        if state in (RUNNING, SILENT) and pace is not None and epochs is not None:
            left = pace * (epochs - epoch)
        found.append(
            TrialStatus(
                trial_id=trial_id,
                arm=trial["arm"],
                state=state,
                attempt=int(trial["attempt"]),
                epoch=epoch,
                epochs=epochs,
                scores={m: of[trial_id] for m, of in at_best.items() if trial_id in of},
                best_epoch=best.get(trial_id),
                epoch_seconds=pace,
                seconds_left=left,
                memory_bytes=worked.memory.get(trial_id),
                **worked.machine.get(trial_id, _NOT_MEASURED),
                written=written[trial_id],
                error=trial["error"],
            )
        )
    return found


def _trials(rows: StudyRows) -> list[dict[str, Any]]:
    frame = rows.trials.astype(object)
    return [
        {str(k): v for k, v in row.items()}
        for row in frame.where(frame.notna(), None).to_dict("records")
    ]


@dataclass(frozen=True)
class _Worked:
    """What the steps tell, by trial."""

    last: Mapping[str, int]
    """Epochs done: of this attempt, or of the one before where it has finished none yet."""
    done: Mapping[tuple[str, int], int]
    """Epochs that each attempt finished."""
    memory: Mapping[str, int]
    machine: Mapping[str, Mapping[str, Any]]
    """Columns of `_OF_MACHINE`, of the last step."""


def _worked(rows: StudyRows) -> _Worked:
    steps = rows.steps
    attempts = steps.groupby(["trial_id", "attempt"])["epoch"]
    newest = steps.sort_values(["attempt", "epoch"]).drop_duplicates("trial_id", keep="last")
    return _Worked(
        last={str(t): int(e) for t, e in zip(newest["trial_id"], newest["epoch"], strict=True)},
        done={(str(k[0]), int(k[1])): int(n) for k, n in attempts.nunique().items()},  # type: ignore[index]
        memory={
            str(t): int(b)
            for t, b in steps.groupby("trial_id")["peak_memory_bytes"].max().dropna().items()
        },
        machine={
            str(row["trial_id"]): {
                name: None if pd.isna(row[name]) else number(row[name])
                for name, number in _OF_MACHINE.items()
            }
            for row in newest[["trial_id", *_OF_MACHINE]].to_dict("records")
        },
    )


def _at_best(rows: StudyRows, metric: str) -> dict[str, float]:
    """Trial -> macro value on val at its best epoch so far."""
    measure = choose_measure(rows, metric, "val")
    if measure is None:
        return {}
    best = best_epochs(rows)
    val = select(rows.scores, measure, "val")
    val = val[(val["class_name"] == MACRO) & (val["epoch"] == val["trial_id"].map(best))]
    return {str(t): float(v) for t, v in zip(val["trial_id"], val["value"], strict=True)}


def _written(storage: Storage, study: str, trial: Mapping[str, Any]) -> datetime:
    """When the trial's row was last rewritten."""
    ended: datetime = trial["ended"] or trial["started"]
    return tables.last_written(storage, study, trial["trial_id"], trial["attempt"]) or ended


def _pace(trial: Mapping[str, Any], written: datetime, worked: _Worked) -> float | None:
    """Seconds per epoch of the latest attempt; None before its first."""
    done = worked.done.get((trial["trial_id"], int(trial["attempt"])))
    if not done or trial["started"] is None:
        return None
    took: timedelta = (trial["ended"] or written) - trial["started"]
    return max(0.0, took.total_seconds()) / done


def _patience(pace: float | None, between: int) -> timedelta:
    if pace is None:
        return between * SILENT_UNKNOWN
    return max(SILENT_LEAST, SILENT_EPOCHS * between * timedelta(seconds=pace))


def _between_rows(trial: Mapping[str, Any]) -> int:
    """Epochs from one evaluation to the next, with which rows are written."""
    config = json.loads(trial["config"] or "{}")
    return int(config.get("evaluation", {}).get("every", 1))


def _epochs(trial: Mapping[str, Any], defined: Mapping[str, Any]) -> int | None:
    """Epochs in all: as its training said, else as it was configured."""
    if trial["epochs"] is not None:
        return int(trial["epochs"])
    config = json.loads(trial["config"] or "{}")
    epochs = config.get("schedule", {}).get("epochs", _defined_epochs(defined, trial["arm"]))
    return None if epochs is None else int(epochs)


def _defined_epochs(defined: Mapping[str, Any], arm: str | None) -> int | None:
    field = "schedule.epochs"
    changes = (defined.get("arms") or {}).get(arm) or {}
    epochs: int | None = changes.get(field, (defined.get("baseline") or {}).get(field))
    return epochs


def usual_pace(begun: Sequence[TrialStatus]) -> Callable[[str | None], float] | None:
    """Arm -> seconds of an epoch: the median of its trials, else of all; None without an epoch."""
    paces: dict[str | None, list[float]] = {}
    for trial in begun:
        if trial.epoch_seconds is not None:
            paces.setdefault(trial.arm, []).append(trial.epoch_seconds)
    every = [pace for of_arm in paces.values() for pace in of_arm]
    return (lambda arm: median(paces.get(arm) or every)) if every else None


def _time_left(
    begun: Sequence[TrialStatus], waiting: Sequence[str | None], defined: Mapping[str, Any]
) -> TimeLeft | None:
    """The work that is left, over as many trials at a time as run now."""
    unfinished = [t for t in begun if t.state in (RUNNING, SILENT)]
    own = [t.seconds_left for t in unfinished if t.seconds_left is not None]
    paceless = [(t.arm, (t.epochs or 0) - t.epoch) for t in unfinished if t.seconds_left is None]
    paceless += [(arm, _defined_epochs(defined, arm) or 0) for arm in waiting]
    pace = usual_pace(begun)
    if pace is None or not (own or paceless):
        return None
    guessed = [epochs * pace(arm) for arm, epochs in paceless]
    concurrent = max(1, sum(t.state == RUNNING for t in begun))
    seconds = max([*own, *guessed, sum(own + guessed) / concurrent])
    work = sum(own + guessed)
    return TimeLeft(seconds, work, concurrent, len(guessed), _may_end_early(defined))


def _may_end_early(defined: Mapping[str, Any]) -> bool:
    """Whether a definition lets trials end before their last epoch."""
    tuned = (defined.get("tune") or {}).values()
    arms = (defined.get("arms") or {}).values()
    fields = (defined.get("baseline"), defined.get("space"), *arms, *tuned)
    patient = any((of or {}).get("evaluation.patience") is not None for of in fields)
    return patient or defined.get("scheduler") is not None
