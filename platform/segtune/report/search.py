"""A search's trials: what was tried, what it scored, what no other trial beats."""

import json
import math
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

from segtune.report.load import MACRO, Objective, StudyRows
from segtune.report.measures import Measure, best_epochs, choose, values
from segtune.report.text import MISSING, changes_text, dotted


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
    """Whether it finished and no finished trial is as good in all objectives and better in one."""

    @property
    def text(self) -> str:
        """What was drawn, as words."""
        return changes_text(self.params)


@dataclass(frozen=True)
class SearchRows:
    """All trials of a search, in the order in which they were drawn."""

    objectives: tuple[Objective, ...]
    measures: tuple[Measure | None, ...]
    """Per objective; None where no trial was scored in it yet."""
    space: Mapping[str, BaseDistribution]
    trials: tuple[SearchTrial, ...]

    @property
    def complete(self) -> tuple[SearchTrial, ...]:
        """Trials that finished with every objective defined."""
        return tuple(t for t in self.trials if t.status == "finished" and None not in t.values)

    def best(self, most: int) -> tuple[SearchTrial, ...]:
        """The best finished trials by the first objective."""
        sign = -1 if self.objectives[0].maximize else 1
        scored = [t for t in self.trials if t.status == "finished" and t.values[0] is not None]
        return tuple(sorted(scored, key=lambda t: (sign * (t.values[0] or 0.0), t.number))[:most])


def read_search(rows: StudyRows) -> SearchRows:
    """The trials of role `search`."""
    objectives = rows.objectives
    measures = tuple(choose(rows, o.metric, "val") for o in objectives)
    found = [values(rows, m, "val") if m is not None else {} for m in measures]
    space = {
        str(field): json_to_distribution(text)
        for field, text in (rows.definition.get("space") or {}).items()
    }
    epochs = best_epochs(rows)
    trials = rows.of("search")
    scored = [
        tuple(_finite(f.get((str(trial), MACRO))) for f in found) for trial in trials["trial_id"]
    ]
    complete = [
        v if status == "finished" and None not in v else None
        for v, status in zip(scored, trials["status"], strict=True)
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
                params=_params(row, space, rows.definition.get("baseline") or {}),
                values=scored[i],
                best_epoch=epochs.get(trial_id),
                on_front=front[i],
            )
        )
    return SearchRows(objectives, measures, space, tuple(listed))


def pareto_front(
    points: Sequence[tuple[float | None, ...] | None], maximize: Sequence[bool]
) -> tuple[bool, ...]:
    """Which points no other point dominates; None never is on the front."""
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


def _params(
    row: Mapping[Any, Any], space: Mapping[str, BaseDistribution], baseline: Mapping[str, Any]
) -> dict[str, Any]:
    """A drawn value that equals the baseline's is not among the changes: the config has it."""
    changes, config = json.loads(row["changes"] or "{}"), json.loads(row["config"] or "{}")
    if not space:
        return dict(changes)
    params = {}
    for field, distribution in space.items():
        drawn = changes.get(field, MISSING)
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
