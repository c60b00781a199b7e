"""How training went: score on val by epoch, loss by step."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from segtune.report.load import MACRO, StudyRows
from segtune.report.measures import Measure, choose, select

MAX_POINTS = 200
"""Of a drawn loss curve."""
WINDOWS = 20
"""A loss is smoothed over one part in this many of its steps."""


@dataclass(frozen=True)
class Line:
    """One trial."""

    trial_id: str
    arm: str | None
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class Mean:
    """One arm: mean over its trials, where all of them have a value."""

    arm: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    n: int
    """Trials."""


@dataclass(frozen=True)
class Curves:
    """Lines of single trials and the arms' means."""

    lines: tuple[Line, ...]
    means: tuple[Mean, ...]


def val_curves(rows: StudyRows, role: str) -> tuple[Measure | None, Curves]:
    """The study's first objective on val, by epoch; of every trial that has a score."""
    measure = choose(rows, rows.objectives[0].metric, "val")
    if measure is None:
        return None, Curves((), ())
    scores = select(rows.scores, measure, "val")
    scores = scores[scores["class_name"] == MACRO].sort_values("epoch")
    return measure, _curves(rows, role, scores, "epoch", "value", smooth=False)


def loss_curves(rows: StudyRows, role: str) -> Curves:
    """Training loss by step: a centred running mean, thinned to what can be drawn."""
    return _curves(rows, role, rows.steps.sort_values("step"), "step", "loss", smooth=True)


def smoothing_window(steps: int) -> int:
    """Steps that one point of a loss curve is the mean of."""
    return max(1, steps // WINDOWS)


def _curves(
    rows: StudyRows, role: str, frame: pd.DataFrame, x: str, y: str, *, smooth: bool
) -> Curves:
    frame = frame[frame[y].notna()]
    of_trial = {str(t): one.set_index(x)[y] for t, one in frame.groupby("trial_id")}
    lines: list[Line] = []
    for trial, arm in zip(rows.of(role)["trial_id"], rows.of(role)["arm"], strict=True):
        if trial in of_trial:
            series = _thin(of_trial[trial]) if smooth else of_trial[trial]
            name = None if pd.isna(arm) else str(arm)
            lines.append(Line(str(trial), name, *_points(series)))
    return Curves(tuple(lines), _means(lines, rows.arms))


def _thin(series: "pd.Series[float]") -> "pd.Series[float]":
    smooth = series.rolling(smoothing_window(len(series)), center=True, min_periods=1).mean()
    return smooth.iloc[:: max(1, -(-len(smooth) // MAX_POINTS))]


def _means(lines: Sequence[Line], arms: Sequence[str]) -> tuple[Mean, ...]:
    means = []
    for arm in arms:
        of_arm = [pd.Series(line.y, index=line.x) for line in lines if line.arm == arm]
        if not of_arm:
            continue
        mean = pd.concat(of_arm, axis=1, join="inner").sort_index().mean(axis=1)
        means.append(Mean(arm, *_points(mean), n=len(of_arm)))
    return tuple(means)


def _points(series: "pd.Series[float]") -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(float(x) for x in series.index), tuple(float(y) for y in series)
