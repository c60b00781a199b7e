"""Trials that did not finish: which they are, and what is known of the reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from segtune.report.page.page import Part
from segtune.report.page.sheet import Cell, Sheet
from segtune.report.page.text import count, listing
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
    """Trials that failed, were cancelled or have not ended, and what is known of the reason.

    Trials that a search's scheduler stopped are not among them: see `stopped_early`.
    """
    scored = _scored_epochs(rows)
    ended = rows.trials["status"].isin(["finished", DIRTY]) | by_scheduler(rows.trials)
    stopped = rows.trials[~ended]
    return tuple(
        Failure(
            trial,
            str(status),
            int(attempt),
            scored.get(trial, 0) if epoch is None else epoch,
            "" if pd.isna(error) else str(error).strip(),
        )
        for (trial, epoch), status, attempt, error in zip(
            _stops(stopped), stopped["status"], stopped["attempt"], stopped["error"], strict=True
        )
    )


def by_scheduler(trials: pd.DataFrame) -> "pd.Series[bool]":
    """Whether a trial was stopped early by the scheduler of a search: that is not a failure."""
    return (trials["status"] == "pruned") & (trials["role"] == "search")


def still_running(trials: pd.DataFrame) -> list[str]:
    """A sentence about trials that are running or were interrupted; empty where there are none."""
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
    scored = _scored_epochs(rows)
    epochs = [scored.get(t, 0) if stopped is None else stopped for t, stopped in _stops(pruned)]
    after = ", ".join(f"{epochs.count(n)} after {count(n, 'epoch')}" for n in sorted(set(epochs)))
    asked = (rows.definition.get("scheduler") or {}).get("name")
    by = f" by {asked}" if asked else ""
    return (
        f"{len(pruned)} of {count(len(rows.of('search')), 'trial')} of the search were stopped "
        f"early{by}: {after}."
    )


def _stops(trials: pd.DataFrame) -> list[tuple[str, int | None]]:
    """(Trial, the epoch after which a scheduler stopped it), None where none is on record."""
    if "stopped_epoch" not in trials:
        return [(str(t), None) for t in trials["trial_id"]]
    return [
        (str(t), None if pd.isna(e) else int(e))
        for t, e in zip(trials["trial_id"], trials["stopped_epoch"], strict=True)
    ]


def _scored_epochs(rows: StudyRows) -> Mapping[str, int]:
    """Trial -> epochs after which it was scored."""
    found = rows.scores.groupby("trial_id")["epoch"].nunique()
    return {str(trial): int(n) for trial, n in found.items()}


def failure_sheet(failures: Sequence[Failure]) -> Sheet:
    """Trials that did not finish, with their errors."""
    return Sheet(
        "failures",
        ("trial", "status", "attempt", "epochs scored", "error"),
        tuple(
            (
                Cell(f.trial_id, left=True),
                Cell(f.status, left=True),
                Cell(str(f.attempt)),
                Cell(str(f.epochs)),
                _error(f.error),
            )
            for f in failures
        ),
    )


def _error(text: str) -> Cell:
    """The last line of an error, which says what went wrong; the whole text opens on a click."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return Cell("no error recorded", left=True)
    return Cell(lines[-1].strip(), details=text if len(lines) > 1 else "", left=True)


def unfinished_part(rows: StudyRows) -> Part | None:
    """Trials that did not finish or were stopped early; None where there are none."""
    stopped, early = failures(rows), stopped_early(rows)
    if not stopped and not early:
        return None
    return Part(
        "Trials that did not finish",
        f"Failed, cancelled, stopped and still running trials (n={len(stopped)}), their "
        "latest attempt."
        if stopped
        else "",
        sheet=failure_sheet(stopped) if stopped else None,
        sentences=(early,) if early else (),
    )
