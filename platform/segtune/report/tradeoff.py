"""Score against cost: one point per arm or trial."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from segtune.report.cost import Cost
from segtune.report.stats import Estimate

AXES = ("peak", "state", "seconds")


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


def tradeoff(
    scores: Mapping[str, Estimate], costs: Sequence[Cost], notes: Mapping[str, str]
) -> tuple[Panel, ...]:
    """One panel per kind of cost that was recorded for a scored arm or trial."""
    panels = []
    for key in AXES:
        points = tuple(
            Point(c.name, c.values[key], scores[c.name], notes.get(c.name, ""))
            for c in costs
            if c.name in scores and key in c.values
        )
        if points:
            panels.append(Panel(key, points))
    return tuple(panels)
