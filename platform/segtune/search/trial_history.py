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
from segtune.study.scores import Selection, is_better, scores, selection
from segtune.study.spec import Search
from segtune.study.stopping import NAMES, Direction

ENDED = ("finished", "pruned")
"""States of trials that a later run leaves as they are."""


@dataclass
class LearningCurve:
    """A trial's scores on val after each epoch: its result if it had ended there.

    The best epoch is the one that the training keeps: by what it selects on, the first of equals.
    """

    direction: Direction = "maximize"
    """Which values of what is selected on are better."""
    at_best: dict[int, Mapping[str, float]] = field(default_factory=dict)
    """Epoch -> macro metrics at the best epoch so far."""
    _best: Mapping[str, float] = field(default_factory=dict)
    _selection: float = math.nan

    def add(
        self, epoch: int, metrics: Mapping[str, float], selection: float
    ) -> Mapping[str, float] | None:
        """The metrics at the best epoch so far; None where this epoch is known already.

        Args:
            epoch: counted from 1.
            metrics: macro, on val, after it.
            selection: the value that the best epoch is chosen by.
        """
        if epoch in self.at_best:
            return None
        if not self._best or is_better(self.direction, selection, self._selection):
            self._best, self._selection = metrics, selection
        self.at_best[epoch] = self._best
        return self._best


def begun_curve(baseline: Any) -> LearningCurve:
    """The curve of a trial that has no epoch yet.

    Args:
        baseline: of the search, which says what the best epoch is chosen by.
    """
    selects = selection(baseline)
    return LearningCurve() if selects is None else LearningCurve(selects.direction)


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
    known = scores(search.baseline)
    directions = {o.metric: o.direction for o in search.objectives if o.metric in known}
    asked = None if search.scheduler is None else search.scheduler.metric
    metric = asked or next(iter(directions), None)
    if metric is None or metric not in known:
        return None
    return metric, directions.get(metric, known[metric].direction)


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
    selects = selection(search.baseline)
    curves = _curves(tables.read(storage, name, "scores", trial_id=only), ids, selects)
    steps = tables.read(storage, name, "steps", trial_id=only) if needs_costs(search) else None
    cost = {} if steps is None else _costs(steps, rows)
    direction = "maximize" if selects is None else selects.direction
    return [_past(row, curves.get(row["trial_id"], {}), cost, direction) for row in rows]


def _past(
    row: Mapping[str, Any],
    epochs: Mapping[int, "_Epoch"],
    cost: Mapping[str, Mapping[str, float]],
    direction: Direction,
) -> PastTrial:
    stopped = row["stopped_epoch"] if row["status"] == "pruned" else None
    curve = LearningCurve(direction)
    for epoch in sorted(epochs):
        if stopped is None or epoch <= stopped:  # its worker may have got further
            curve.add(epoch, epochs[epoch].metrics, epochs[epoch].selection)
    best: Mapping[str, float] = (
        epochs[row["best_epoch"]].metrics if row["best_epoch"] in epochs else {}
    )
    if curve.at_best and stopped is not None:  # what it was worth where it was stopped
        best = curve.at_best[max(curve.at_best)]
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


@dataclass
class _Epoch:
    """What the tables have of a trial after an epoch."""

    metrics: dict[str, float] = field(default_factory=dict)
    selection: float = math.nan


def _curves(
    scored: pa.Table, ids: Sequence[str], selects: Selection | None
) -> dict[str, dict[int, _Epoch]]:
    """Trial -> epoch -> macro metrics on val, and the value that the best epoch is chosen by."""
    wanted = pc.and_(pc.equal(scored["split"], "val"), pc.is_in(scored["trial_id"], pa.array(ids)))
    shown = pc.equal(scored["class_name"], "macro")
    if selects is not None:
        shown = pc.or_(shown, pc.equal(scored["class_name"], selects.class_name))
    found: dict[str, dict[int, _Epoch]] = {}
    columns = ["trial_id", "epoch", "class_name", "metric", "protocol", "value"]
    for row in scored.filter(pc.and_(wanted, shown)).select(columns).to_pylist():
        epoch = found.setdefault(row["trial_id"], {}).setdefault(row["epoch"], _Epoch())
        if row["class_name"] == "macro":  # the first protocol of a metric stands for it
            epoch.metrics.setdefault(row["metric"], row["value"])
        if selects is not None and selects[:3] == (
            row["metric"],
            row["class_name"],
            row["protocol"],
        ):
            epoch.selection = row["value"]
    return found
