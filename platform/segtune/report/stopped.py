"""Trials without an end, or with another than they should have: which, and what is known of why."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from segtune.report.text import count, listing
from segtune.results.study_rows import DIRTY, StudyRows

_MOST_NAMED = 6


@dataclass(frozen=True)
class Failure:
    """A trial that did not finish, or has not yet."""

    trial_id: str
    status: str
    attempt: int
    epochs: int
    """Epochs that it was scored after."""
    error: str
    """Empty where none was recorded."""


def failures(rows: StudyRows) -> tuple[Failure, ...]:
    """Trials without an end, or with another than they should have, and what is known of why.

    Those that a search's scheduler stopped are not among them: see `stopped_early`.
    """
    ended = rows.trials["status"].isin(["finished", DIRTY]) | by_scheduler(rows.trials)
    stopped = rows.trials[~ended]
    return tuple(
        Failure(
            trial,
            str(status),
            int(attempt),
            _epochs(rows, trial, epoch),
            "" if pd.isna(error) else str(error).strip(),
        )
        for (trial, epoch), status, attempt, error in zip(
            _stops(stopped), stopped["status"], stopped["attempt"], stopped["error"], strict=True
        )
    )


def by_scheduler(trials: pd.DataFrame) -> "pd.Series[bool]":
    """Trials of a search that its scheduler stopped early, as it should."""
    return (trials["status"] == "pruned") & (trials["role"] == "search")


def still_running(trials: pd.DataFrame) -> list[str]:
    """Trials that may be running, or were when somebody or something ended the run."""
    running = sorted(str(t) for t in trials.loc[trials["status"] == "running", "trial_id"])
    if not running:
        return []
    shown = listing(running) if len(running) <= _MOST_NAMED else count(len(running), "trial")
    return [
        f"{shown} had not ended when the tables were last written: where no run is under way, it "
        "was interrupted, and the same `segtune run` goes on with what is left."
    ]


def stopped_early(rows: StudyRows) -> str:
    """How many trials of a search its scheduler stopped, and after how many epochs."""
    pruned = rows.trials[by_scheduler(rows.trials)]
    if pruned.empty:
        return ""
    epochs = [_epochs(rows, t, stopped) for t, stopped in _stops(pruned)]
    after = ", ".join(f"{epochs.count(n)} after {count(n, 'epoch')}" for n in sorted(set(epochs)))
    asked = (rows.definition.get("scheduler") or {}).get("name")
    by = f" by {asked}" if asked else ""
    return (
        f"{len(pruned)} of {count(len(rows.of('search')), 'trial')} of the search were stopped "
        f"early{by}: {after}."
    )


def _stops(trials: pd.DataFrame) -> list[tuple[str, int | None]]:
    """Trial -> the epoch after which a scheduler stopped it, where that is on record."""
    if "stopped_epoch" not in trials:
        return [(str(t), None) for t in trials["trial_id"]]
    return [
        (str(t), None if pd.isna(e) else int(e))
        for t, e in zip(trials["trial_id"], trials["stopped_epoch"], strict=True)
    ]


def _epochs(rows: StudyRows, trial: str, stopped: int | None) -> int:
    """Epochs that a trial was scored after, no more than it was let."""
    scored = int(_scored_epochs(rows).get(trial, 0))
    return scored if stopped is None else stopped


@functools.lru_cache(maxsize=2)
def _scored_epochs(rows: StudyRows) -> Mapping[str, int]:
    found = rows.scores.groupby("trial_id")["epoch"].nunique()
    return {str(trial): int(n) for trial, n in found.items()}
