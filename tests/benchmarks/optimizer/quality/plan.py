"""Which runs there are, which come first, and at which rate an arm is judged.

A cell is an arm at a rank and an interval on a task. Each is tried at all rates of its task with
the tuning seeds; the rate of the least mean score is then judged with other seeds. So every arm has
the same budget, and none is judged on what it was tuned on.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from .arms import ARMS
from .tasks import TASKS

TUNING_SEEDS = (100, 101)
RANKS = (8, 2, 32)
"""The most telling first."""
GAP = 20
"""The interval at which arms are compared with each other."""
_PROJECTORS = ("svd", "srft", "gaussian", "random")
_PLAIN = tuple(f"{p}, {m}" for m in ("keep", "rotate") for p in _PROJECTORS)
_SWEPT = {
    5: ("plus", "plus, lazy", "srft, keep", "srft, rotate", "svd, keep", "svd, rotate"),
    1: ("plus", "plus, lazy", "srft, keep", "srft, rotate"),
    100: ("plus", "srft, keep", "srft, rotate", "svd, keep", "svd, rotate"),
}
"""Interval -> the arms that are tried at it beside `GAP`; an SVD at each step takes too long."""


@dataclass(frozen=True)
class Cell:
    """An arm on a task."""

    task: str
    arm: str
    rank: int | None
    gap: int | None


@dataclass(frozen=True)
class Run:
    """A training of a cell."""

    cell: Cell
    rate: float
    seed: int


Scores = Mapping[Run, float]
"""Of the runs that are finished; infinite where a training diverged."""


def cells(tasks: Iterable[str], ranks: Sequence[int]) -> list[Cell]:
    """All cells, the most important first."""
    others = tuple(name for name in ARMS if ARMS[name].low_rank and name not in _PLAIN)
    waves: list[tuple[int | None, int | None, Iterable[str]]] = [
        (None, None, (name for name in ARMS if not ARMS[name].low_rank)),
        *((rank, GAP, (*_PLAIN, "plus")) for rank in ranks[:1]),
        *((rank, GAP, others) for rank in ranks[:1]),
        *((rank, gap, arms) for rank in ranks[:1] for gap, arms in _SWEPT.items()),
        *((rank, GAP, (*_PLAIN, *others)) for rank in ranks[1:]),
        *((rank, gap, arms) for rank in ranks[1:] for gap, arms in _SWEPT.items()),
    ]
    ordered = [
        Cell(task, arm, rank, gap) for rank, gap, arms in waves for arm in arms for task in tasks
    ]
    return list(dict.fromkeys(ordered))


def tuning_runs(cell: Cell) -> list[Run]:
    """The runs that find a cell's rate."""
    rates = TASKS[cell.task].rates
    return [Run(cell, rate, seed) for seed in TUNING_SEEDS for rate in rates]


def tuned_rate(cell: Cell, scores: Scores) -> float | None:
    """The rate of the least mean score over the tuning seeds; None before all are there."""
    runs = tuning_runs(cell)
    if any(run not in scores for run in runs):
        return None
    rates = TASKS[cell.task].rates
    found = {r: fmean(scores[run] for run in runs if run.rate == r) for r in rates}
    return min(rates, key=lambda rate: (found[rate], rate))


def judging_runs(cell: Cell, scores: Scores, seeds: Sequence[int]) -> list[Run]:
    """The runs that a cell is judged by; none before its rate is known."""
    rate = tuned_rate(cell, scores)
    return [] if rate is None else [Run(cell, rate, seed) for seed in seeds]


def due_runs(ordered: Sequence[Cell], scores: Scores, seeds: Sequence[int]) -> Iterator[Run]:
    """What is left to do and can be done now, in order of importance."""
    for cell in ordered:
        for run in (*tuning_runs(cell), *judging_runs(cell, scores, seeds)):
            if run not in scores:
                yield run


def is_diverged(score: float) -> bool:
    """Whether a training ended without a usable score."""
    return not math.isfinite(score)
