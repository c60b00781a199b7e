"""How the trials of a study stand that have begun."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

import pandas as pd

from segtune.results import tables
from segtune.results.integrity.damage import DAMAGED
from segtune.results.measures import best_epochs, choose_measure, select
from segtune.results.storage import Storage
from segtune.results.study_rows import MACRO, StudyRows
from segtune.study.scores import headline

RUNNING, SILENT, CANCELLED = "running", "silent", "cancelled"
ORDER = (RUNNING, SILENT, "failed", DAMAGED, CANCELLED, "pruned", "finished")
"""States of a trial, in the order in which they are shown: the most interesting ones first."""
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
OF_STEPS = ["trial_id", "attempt", "epoch", "peak_memory_bytes", *_OF_MACHINE]
"""Columns of `steps` that are looked at."""
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


def begun_trials(storage: Storage, rows: StudyRows, now: datetime) -> list[TrialStatus]:
    """The trials that have begun, as they stand, in the order of the tables.

    Args:
        storage: the folder that holds the studies.
        rows: of the study: `OF_STEPS` of the steps, the macro scores on val, damage set apart.
        now: the time, with its zone.
    """
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
        if state in (RUNNING, SILENT, CANCELLED) and pace is not None and epochs is not None:
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
    epochs = config.get("schedule", {}).get("epochs", defined_epochs(defined, trial["arm"]))
    return None if epochs is None else int(epochs)


def defined_epochs(defined: Mapping[str, Any], arm: str | None) -> int | None:
    """Epochs of an arm's trials, as a definition has them; None where it does not say."""
    field = "schedule.epochs"
    changes = (defined.get("arms") or {}).get(arm) or {}
    epochs: int | None = changes.get(field, (defined.get("baseline") or {}).get(field))
    return epochs
