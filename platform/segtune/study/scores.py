"""What a training is scored with, as its configuration says it: names, directions, units.

A configuration of segcore's says so; any other dataclass may, with methods of the same names. One
that does not has no scores: a search over it can only look at costs.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from segtune.study.stopping import Direction


class ScoreKind(NamedTuple):
    """What is known of a score before anything has run."""

    direction: Direction
    unit: str
    """`fraction` (0 to 1), `px`, `mm`, or any other."""
    label: str
    """As it is written for a person: `Dice`."""
    about: str = ""
    """What it computes, in one sentence for a person."""
    protocol: str = ""
    """How exactly: the one that stands for the metric where it is computed in several ways."""
    shown: bool = True
    """Whether a report has it wherever it was scored, not only where it is an objective."""

    @property
    def digits(self) -> int:
        """Decimals worth showing."""
        return 3 if self.unit == "fraction" else 2


class Selection(NamedTuple):
    """The score on val that chooses a training's best epoch."""

    metric: str
    class_name: str
    protocol: str
    direction: Direction


def scores(config: Any) -> dict[str, ScoreKind]:
    """The macro metrics that every epoch has on val, by name; the most telling one first."""
    offered = getattr(config, "scores", None)
    return {name: ScoreKind(*kind) for name, kind in offered().items()} if offered else {}


def scores_at_test(config: Any) -> dict[str, ScoreKind]:
    """The metrics that test alone has, by name."""
    offered = getattr(config, "scores_at_test", None)
    return {name: ScoreKind(*kind) for name, kind in offered().items()} if offered else {}


def selection(config: Any) -> Selection | None:
    """What chooses the best epoch; None where the configuration does not say."""
    offered = getattr(config, "selects", None)
    return Selection(*offered()) if offered else None


def headline(kinds: Mapping[str, ScoreKind]) -> dict[str, ScoreKind]:
    """The scores that stand for the others, by name: the first of each unit, two at most."""
    first: dict[str, str] = {}
    for name, kind in kinds.items():
        first.setdefault(kind.unit, name)
    return {name: kinds[name] for name in tuple(first.values())[:2]}


def margin_faults(margin: Mapping[str, float], compared: Mapping[str, ScoreKind]) -> list[str]:
    """One line for each largest difference that does not matter and can't be one.

    Args:
        margin: score -> the difference.
        compared: the scores that arms are compared in.
    """
    allowed = ", ".join(compared) or "nothing, since the baseline says no score"
    faults = [
        f"margin: arms are not compared in {name}, but in {allowed}"
        for name in margin
        if name not in compared
    ]
    for name, kind in compared.items():
        value = margin.get(name, 0.5)
        most = 1.0 if kind.unit == "fraction" else math.inf
        if not 0 < value < most:
            end = f" and below 1, since {kind.label} lies between 0 and 1" if most == 1 else ""
            faults.append(f"margin: {name} = {value}: give a finite number above 0{end}")
    return faults


def is_better(direction: Direction, value: float, than: float) -> bool:
    """Whether a value is better than another. Every number is better than NaN, which is better than
    nothing; equal values are not better. (A training chooses its best epoch by the same rule:
    `segcore.training.evaluation.better`.)"""
    if math.isnan(than):
        return not math.isnan(value)
    return value > than if direction == "maximize" else value < than
