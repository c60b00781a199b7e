"""A search's trials: what was drawn, what it scored, and the Pareto front."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    json_to_distribution,
)

from segtune.report.evidence.costs.measured import OBJECTIVES, MeasuredCosts
from segtune.report.page.text import MISSING, changes_text, dotted
from segtune.results.measures import Measure
from segtune.results.study_rows import MACRO, RecordedObjective
from segtune.results.study_scores import StudyScores

_LIMIT = re.compile(r"(\w+) at (most|least) (\S+)")


@dataclass(frozen=True)
class SearchTrial:
    """One trial."""

    trial_id: str
    number: int
    seed: int | None
    status: str
    params: Mapping[str, Any]
    """Dotted field -> value that was drawn; without fields that this trial does not have."""
    values: tuple[float | None, ...]
    """Per objective, macro, at the best epoch on val; None where there is none or it is NaN."""
    best_epoch: int | None
    on_front: bool
    """Whether it is on the Pareto front: it finished within the constraints, and no other such
    trial is as good in all objectives and better in one."""
    allowed: bool = True
    """Whether it is within the constraints."""

    @property
    def text(self) -> str:
        """What was drawn: `method.rank=8, method.lr=0.001`."""
        return changes_text(self.params)


@dataclass(frozen=True)
class SearchResults:
    """All trials of a search, in the order in which they were drawn."""

    objectives: tuple[RecordedObjective, ...]
    measures: tuple[Measure | None, ...]
    """Per objective; None for a cost, and where no trial was scored in it yet."""
    space: Mapping[str, BaseDistribution]
    trials: tuple[SearchTrial, ...]
    constraints: tuple[str, ...] = ()
    """As in the definition: `peak_memory_bytes at most 8e+09`."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Per objective its name and unit."""
        return tuple(map(_label, self.objectives, self.measures))

    @property
    def axes(self) -> tuple[str, ...]:
        """Per objective its name and unit, and of a score the split."""
        return tuple(
            label if o.metric in OBJECTIVES else f"{label} on val"
            for label, o in zip(self.labels, self.objectives, strict=True)
        )

    @property
    def digits(self) -> int:
        """Decimals of the first objective that are worth showing."""
        first = self.measures[0]
        if first is not None:
            return first.digits
        return OBJECTIVES[m].digits if (m := self.objectives[0].metric) in OBJECTIVES else 3

    @property
    def complete(self) -> tuple[SearchTrial, ...]:
        """Trials that finished within the constraints with every objective defined."""
        return tuple(
            t for t in self.trials if t.status == "finished" and None not in t.values and t.allowed
        )

    def best(self, most: int) -> tuple[SearchTrial, ...]:
        """The best finished trials within the constraints by the first objective."""
        sign = -1 if self.objectives[0].maximize else 1
        scored = [
            t
            for t in self.trials
            if t.status == "finished" and t.values[0] is not None and t.allowed
        ]
        return tuple(sorted(scored, key=lambda t: (sign * (t.values[0] or 0.0), t.number))[:most])


def search_results(study: StudyScores, costs: MeasuredCosts) -> SearchResults:
    """The trials of role `search`."""
    rows, objectives = study.rows, study.rows.objectives
    measures = tuple(study.measure(o.metric, "val") for o in objectives)
    found = [_numbers(study, costs, o.metric) for o in objectives]
    constraints = tuple(map(str, rows.definition.get("constraints") or ()))
    allowed = _allowed(study, costs, constraints)
    space = {
        str(field): json_to_distribution(text)
        for field, text in (rows.definition.get("space") or {}).items()
    }
    trials = rows.of("search")
    scored = [
        tuple(_finite(of_trial.get(str(trial))) for of_trial in found)
        for trial in trials["trial_id"]
    ]
    complete = [
        v if status == "finished" and None not in v and trial in allowed else None
        for v, status, trial in zip(scored, trials["status"], trials["trial_id"], strict=True)
    ]
    front = pareto_front(complete, [o.maximize for o in objectives])
    listed = []
    for i, row in enumerate(trials.to_dict("records")):
        trial_id = str(row["trial_id"])
        listed.append(
            SearchTrial(
                trial_id=trial_id,
                number=i if _absent(row["number"]) else int(row["number"]),
                seed=None if _absent(row["seed"]) else int(row["seed"]),
                status=str(row["status"]),
                params=_params(row, space, rows.definition),
                values=scored[i],
                best_epoch=study.best_epochs.get(trial_id),
                on_front=front[i],
                allowed=trial_id in allowed,
            )
        )
    return SearchResults(objectives, measures, space, tuple(listed), constraints)


def _label(objective: RecordedObjective, measure: Measure | None) -> str:
    if objective.metric in OBJECTIVES:
        return OBJECTIVES[objective.metric].label
    return objective.metric if measure is None else measure.label


def pareto_front(
    points: Sequence[tuple[float | None, ...] | None], maximize: Sequence[bool]
) -> tuple[bool, ...]:
    """Which points no other point dominates; an undefined point (None) is not on the front."""
    there = [p for p in points if p is not None]
    signs = [-1.0 if up else 1.0 for up in maximize]
    signed = np.array(there, dtype=float).reshape(len(there), len(signs)) * signs
    on = iter([not ((signed <= p).all(axis=1) & (signed < p).any(axis=1)).any() for p in signed])
    return tuple(p is not None and bool(next(on)) for p in points)


def in_distribution(value: Any, distribution: BaseDistribution) -> bool:
    """Whether a value could have been drawn from a distribution."""
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    if isinstance(distribution, FloatDistribution | IntDistribution):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and distribution.low <= value <= distribution.high
    return False


def _numbers(study: StudyScores, costs: MeasuredCosts, metric: str) -> Mapping[str, float]:
    """Trial -> its score, macro on val at the best epoch, or its cost."""
    if metric in OBJECTIVES:
        return costs.objective(metric)
    measure = study.measure(metric, "val")
    found = {} if measure is None else study.values(measure, "val")
    return {trial: value for (trial, class_name), value in found.items() if class_name == MACRO}


def _allowed(
    study: StudyScores, costs: MeasuredCosts, constraints: Sequence[str]
) -> frozenset[str]:
    """Trials within all constraints; a trial without a value for a constraint is not.

    Raises:
        ValueError: a constraint cannot be read.
    """
    allowed = {str(t) for t in study.rows.of("search")["trial_id"]}
    for text in constraints:
        limited = _LIMIT.fullmatch(text)
        if limited is None:
            raise ValueError(f"study.json: constraint {text!r} is not like `dice at least 0.5`")
        metric, side, limit = limited.groups()
        end = float(limit) / (OBJECTIVES[metric].unit if metric in OBJECTIVES else 1.0)
        numbers = _numbers(study, costs, metric)
        allowed &= {t for t, v in numbers.items() if (v <= end if side == "most" else v >= end)}
    return frozenset(allowed)


def _params(
    row: Mapping[Any, Any], space: Mapping[str, BaseDistribution], defined: Mapping[str, Any]
) -> dict[str, Any]:
    """What was drawn for a trial.

    A drawn value that equals the baseline's is not among the changes: it is taken from the
    configuration. A field that depends on another one is among the changes or was not drawn.
    """
    changes, config = json.loads(row["changes"] or "{}"), json.loads(row["config"] or "{}")
    baseline, conditions = defined.get("baseline") or {}, defined.get("conditions") or {}
    if not space:
        return dict(changes)
    params = {}
    for field, distribution in space.items():
        drawn = changes.get(field, MISSING)
        if drawn is MISSING and field in conditions:
            continue
        for source in (drawn, dotted(config, field), dotted(baseline, field)):
            # A list in JSON was a tuple among the choices of the search space.
            value = tuple(source) if isinstance(source, list) else source
            if value is not MISSING and in_distribution(value, distribution):
                params[field] = value
                break
    return params


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _absent(value: Any) -> bool:
    return value is None or value != value
