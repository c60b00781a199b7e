"""The row of a trial in `trials`: when it starts, when it ends, and how it is read."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from segtune.results import tables
from segtune.results.provenance import Origin
from segtune.results.storage import Storage
from segtune.study.money import Money
from segtune.study.overrides import nested, plain
from segtune.study.scores import Selection
from segtune.study.trial import Trial

VAL = "val/"
"""Before a metric's name in a report: its value on val at this epoch. No metric's name can be taken
for anything else that is reported."""
BEST = "best/"
"""The same at the best epoch so far."""
SELECTION = "selection"
"""In a report: the value on val that the best epoch is chosen by."""

_PROCESS_BEGAN = datetime.now(UTC)
"""What a row says to have started before can be no attempt that this process watches."""


def record_failure(
    storage: Storage, study: str, trial: Trial, origin: Origin, workers: int, error: str
) -> None:
    """Mark a trial's last attempt as failed; write a row where it died before it had one."""
    rows = tables.read(storage, study, "trials", trial_id=trial.trial_id).to_pylist()
    row = rows[0] if rows else trial_row(trial, origin, workers) | {"attempt": 1}
    if row["status"] in ("running", None):
        row |= {"status": "failed", "error": error, **_ends_now(row)}
        tables.write(storage, study, "trials", [row])


def record_spoilt(storage: Storage, study: str, trial_id: str, error: str) -> None:
    """Mark a trial's last attempt as failed, however it ended; nothing where it has no row."""
    for row in tables.read(storage, study, "trials", trial_id=trial_id).to_pylist():
        row |= {"status": "failed", "error": error, "ended": datetime.now(UTC)}
        tables.write(storage, study, "trials", [row])


def record_pruned(storage: Storage, study: str, trial_id: str, epoch: int) -> None:
    """Mark a trial's last attempt as stopped by a scheduler after an epoch, unless it is so; what
    its workers wrote since stays in the tables."""
    (row,) = tables.read(storage, study, "trials", trial_id=trial_id).to_pylist()
    if row["status"] != "pruned":
        row |= {"status": "pruned", "stopped_epoch": epoch, **_ends_now(row)}
        tables.write(storage, study, "trials", [row])


def record_cancelled(storage: Storage, study: str) -> None:
    """Mark the trials that a person interrupted; the next run goes on with them."""
    for row in tables.read(storage, study, "trials").to_pylist():
        if row["status"] == "running":
            row |= {"status": "cancelled", **_ends_now(row)}
            tables.write(storage, study, "trials", [row])


def failure(storage: Storage, study: str, trial_id: str) -> str | None:
    """Why a trial failed; None where it did not."""
    for row in tables.read(storage, study, "trials", trial_id=trial_id).to_pylist():
        if row["status"] == "failed":
            return str(row["error"])
    return None


def trial_row(
    trial: Trial, origin: Origin, workers: int, price: Money | None = None
) -> dict[str, Any]:
    """The row of a trial that starts now."""
    priced = {} if price is None else {"price_per_hour": price.amount, "currency": price.currency}
    return {
        **priced,
        "trial_id": trial.trial_id,
        "role": trial.role,
        "arm": trial.arm,
        "seed": trial.seed,
        "fold": trial.fold,
        "number": trial.number,
        "status": "running",
        "config": json.dumps(nested(trial.config, locations=False)),
        "changes": json.dumps(plain(trial.changes), sort_keys=True),
        "train_run": trial.trial_id,
        "git_commit": origin.git_commit,
        "git_dirty": origin.git_dirty,
        "study_commit": origin.study_commit,
        "versions": json.dumps(dict(origin.versions), sort_keys=True),
        "command": origin.command,
        "workers": workers,
        "seconds": 0.0,
        "started": datetime.now(UTC),
    }


def seconds_since(started: datetime) -> float:
    """Of an attempt that began then and goes on."""
    return max(0.0, (datetime.now(UTC) - started).total_seconds())


def _ends_now(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a row gets when its attempt ends. One that was killed with an earlier run has not run
    since: it keeps the seconds of its last row."""
    started = row.get("started")
    took = {"seconds": seconds_since(started)} if started and started >= _PROCESS_BEGAN else {}
    return {"ended": datetime.now(UTC), **took}


def best_values(scores: list[dict[str, Any]], trial_id: str, epoch: int | None) -> dict[str, float]:
    """A trial's macro metrics on val at an epoch, under their names in a report."""
    found: dict[str, float] = {}
    for s in scores:  # the first protocol of a metric stands for it
        if (s["trial_id"], s["epoch"], s["split"], s["class_name"]) == (
            trial_id,
            epoch,
            "val",
            "macro",
        ):
            found.setdefault(f"{BEST}{s['metric']}", s["value"])
    return found


def selected_value(
    scores: list[dict[str, Any]], trial_id: str, epoch: int | None, selects: Selection
) -> float:
    """The value on val that a trial's best epoch was chosen by."""
    wanted = (trial_id, epoch, "val", *selects[:3])
    keys = ("trial_id", "epoch", "split", "metric", "class_name", "protocol")
    (value,) = (s["value"] for s in scores if tuple(s[k] for k in keys) == wanted)
    return float(value)
