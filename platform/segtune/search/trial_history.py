"""How a search's trials ended, read from the tables and translated for Optuna.

A live search and one that is rebuilt both use `optuna_outcome`, so that Optuna holds the same after
either.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from optuna.trial import TrialState

from segtune.results import tables
from segtune.results.storage import Storage
from segtune.study.costs import COSTS, STEP_COLUMNS, costs
from segtune.study.overrides import Changes
from segtune.study.spec import Search
from segtune.study.stopping import NAMES, SCORES, Direction

ENDED = ("finished", "pruned")
"""States of trials that a later run leaves as they are."""


@dataclass
class LearningCurve:
    """A trial's scores on val after each epoch: its result if it had ended there.

    The best epoch is the one that the training keeps: by Dice, the first of equals.
    """

    at_best: dict[int, Mapping[str, float]] = field(default_factory=dict)
    """Epoch -> macro metrics at the best epoch so far."""
    _best: Mapping[str, float] = field(default_factory=dict)

    def add(self, epoch: int, metrics: Mapping[str, float]) -> Mapping[str, float] | None:
        """The metrics at the best epoch so far; None where this epoch is known already."""
        if epoch in self.at_best:
            return None
        if not self._best or metrics["dice"] > self._best["dice"]:
            self._best = metrics
        self.at_best[epoch] = self._best
        return self._best


@dataclass(frozen=True)
class PastTrial:
    """A trial of a search, as the tables record it."""

    trial_id: str
    number: int
    seed: int
    changes: Changes
    status: str
    error: str | None = None
    stopped_epoch: int | None = None
    """The epoch after which a scheduler stopped it."""
    values: Mapping[str, float] = field(default_factory=dict)
    """Metrics at the best epoch, and costs."""
    curve: LearningCurve = field(default_factory=LearningCurve)


@dataclass(frozen=True)
class OptunaOutcome:
    """How a trial ended, in the form that Optuna records."""

    state: TrialState
    values: tuple[float, ...] | None
    attributes: Mapping[str, Any]
    """Optuna's user attributes: `stopped_by` and `epochs_done`, or `error`."""
    constraints: Mapping[str, float]
    """Constraint -> by how much it is exceeded; zero or less means that it holds."""


def optuna_outcome(
    search: Search,
    values: Mapping[str, float],
    *,
    stopped_epoch: int | None = None,
    error: str | None = None,
) -> OptunaOutcome:
    """How a trial that ended is recorded in Optuna.

    Finished is COMPLETE, stopped by the scheduler PRUNED (with several objectives too, where Optuna
    takes no intermediate values), failed FAIL, and so is one that finished without a number for an
    objective or constraint.

    Args:
        search: what is searched.
        values: metrics at the best epoch, and costs.
        stopped_epoch: where the scheduler stopped it.
        error: why it failed.
    """
    known = {k: v for k, v in values.items() if not math.isnan(v)}
    constraints = {
        str(c): c.excess(known[c.metric]) for c in search.constraints if c.metric in known
    }
    if error is not None:
        return OptunaOutcome(TrialState.FAIL, None, {"error": error}, {})
    if stopped_epoch is not None:
        assert search.scheduler is not None
        why = {"stopped_by": NAMES[type(search.scheduler)], "epochs_done": stopped_epoch}
        return OptunaOutcome(TrialState.PRUNED, None, why, constraints)
    needed = dict.fromkeys(x.metric for x in (*search.objectives, *search.constraints))
    if missing := [f"{m} is {values.get(m, 'not there')}" for m in needed if m not in known]:
        return OptunaOutcome(TrialState.FAIL, None, {"error": "; ".join(missing)}, {})
    reached = tuple(known[o.metric] for o in search.objectives)
    return OptunaOutcome(TrialState.COMPLETE, reached, {}, constraints)


def pruning_metric(search: Search) -> tuple[str, Direction] | None:
    """What the scheduler compares trials by, and which way is better; None where it can't."""
    directions = {o.metric: o.direction for o in search.objectives if o.metric in SCORES}
    asked = None if search.scheduler is None else search.scheduler.metric
    metric = asked or next(iter(directions), None)
    if metric is None or metric not in SCORES:
        return None
    return metric, directions.get(metric, SCORES[metric])


def needs_costs(search: Search) -> bool:
    """Whether an objective or a constraint is a cost."""
    return any(x.metric in COSTS for x in (*search.objectives, *search.constraints))


def read_past(
    search: Search, storage: Storage, name: str, *, only: str | None = None
) -> list[PastTrial]:
    """The trials of a search, by their numbers.

    Args:
        search: what is searched.
        storage: the folder that holds the studies.
        name: the study's.
        only: one trial's id; None takes all.
    """
    trials = tables.read(storage, name, "trials", trial_id=only)
    rows = trials.filter(pc.equal(trials["role"], "search")).sort_by("number").to_pylist()
    if not rows:
        return []
    ids = [r["trial_id"] for r in rows]
    curves = _curves(tables.read(storage, name, "scores", trial_id=only), ids)
    steps = tables.read(storage, name, "steps", trial_id=only) if needs_costs(search) else None
    cost = {} if steps is None else _costs(steps, rows)
    return [_past(row, curves.get(row["trial_id"], {}), cost) for row in rows]


def _past(
    row: Mapping[str, Any],
    epochs: Mapping[int, Mapping[str, float]],
    cost: Mapping[str, Mapping[str, float]],
) -> PastTrial:
    stopped = row["stopped_epoch"] if row["status"] == "pruned" else None
    curve = LearningCurve()
    for epoch in sorted(epochs):
        if stopped is None or epoch <= stopped:  # a worker may have trained on for a moment
            curve.add(epoch, epochs[epoch])
    best = epochs.get(row["best_epoch"], {})
    return PastTrial(
        trial_id=row["trial_id"],
        number=int(row["number"]),
        seed=int(row["seed"]),
        changes=json.loads(row["changes"]),
        status=row["status"],
        error=row["error"] if row["status"] == "failed" else None,
        stopped_epoch=stopped,
        values={**best, **cost.get(row["trial_id"], {})},
        curve=curve,
    )


def _costs(steps: pa.Table, rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    ids = pa.array([r["trial_id"] for r in rows])
    wanted = pc.is_in(steps["trial_id"], ids)
    return costs(rows, steps.select(STEP_COLUMNS).filter(wanted))


def _curves(scores: pa.Table, ids: Sequence[str]) -> dict[str, dict[int, dict[str, float]]]:
    """Trial -> epoch -> macro metrics on val."""
    wanted = pc.and_(pc.equal(scores["split"], "val"), pc.equal(scores["class_name"], "macro"))
    wanted = pc.and_(wanted, pc.is_in(scores["trial_id"], pa.array(ids)))
    found: dict[str, dict[int, dict[str, float]]] = {}
    columns = ["trial_id", "epoch", "metric", "value"]
    for row in scores.filter(wanted).select(columns).to_pylist():
        epochs = found.setdefault(row["trial_id"], {})
        epochs.setdefault(row["epoch"], {})[row["metric"]] = row["value"]
    return found
