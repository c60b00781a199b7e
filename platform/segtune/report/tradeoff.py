"""Score against cost: one point per arm or trial."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from segtune.report.cost import Cost
from segtune.report.search import pareto_front
from segtune.report.stats import Estimate

AXES = ("peak", "state", "seconds", "trainable")


@dataclass(frozen=True)
class Point:
    """One arm or trial."""

    name: str
    x: Estimate
    y: Estimate
    note: str
    """What the reader sees on hovering."""


@dataclass(frozen=True)
class Panel:
    """One kind of cost against the score."""

    key: str
    points: tuple[Point, ...]
    front: tuple[bool, ...]
    """Whether no other point is as good in both and better in one: the Pareto front."""


def tradeoff(
    scores: Mapping[str, Estimate],
    costs: Sequence[Cost],
    notes: Mapping[str, str],
    *,
    higher_is_better: bool = True,
) -> tuple[Panel, ...]:
    """One panel per kind of cost that was recorded for a scored arm or trial.

    The Pareto front is of the means: an interval may well say that a neighbour is as good.
    """
    panels = []
    for key in AXES:
        points = tuple(
            Point(c.name, c.values[key], scores[c.name], notes.get(c.name, ""))
            for c in costs
            if c.name in scores and key in c.values
        )
        if points:
            means = [(p.x.mean, p.y.mean) for p in points]
            front = pareto_front(means, [False, higher_is_better])
            panels.append(Panel(key, points, front))
    return tuple(panels)
