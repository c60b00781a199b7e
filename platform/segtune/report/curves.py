"""How training went: score on val by epoch, step, second and image, loss by step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from segtune.report.cost import PARTS
from segtune.report.stats import Estimate, t_interval
from segtune.results.measures import Measure, choose, select
from segtune.results.study_rows import DIRTY, MACRO, StudyRows

MAX_POINTS = 200
"""Of a drawn loss curve."""
WINDOWS = 20
"""A loss is smoothed over one part in this many of its steps."""
Effort = Literal["step", "seconds", "images"]
EFFORTS: dict[Effort, str] = {
    "step": "optimizer step",
    "seconds": "seconds of training steps",
    "images": "training images seen",
}
"""What a learning curve is drawn against."""


@dataclass(frozen=True)
class Line:
    """One trial."""

    trial_id: str
    arm: str | None
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class Mean:
    """One arm: mean over its finished trials (over all that began, where none has finished)."""

    arm: str
    x: tuple[float, ...]
    y: tuple[Estimate, ...]
    n: int
    """Trials; each point is over all of them."""


@dataclass(frozen=True)
class Curves:
    """Lines of single trials and the arms' means."""

    lines: tuple[Line, ...]
    means: tuple[Mean, ...]


def val_curves(rows: StudyRows, role: str) -> tuple[Measure | None, Curves]:
    """The study's first objective on val, by epoch; of every trial that has a score."""
    measure, scores = _val(rows)
    return measure, _curves(rows, role, scores, "epoch", "value", smooth=False)


def learning_curves(rows: StudyRows) -> tuple[Measure | None, dict[Effort, tuple[Mean, ...]]]:
    """The arms' mean score on val against what it took to get there.

    Steps, seconds and images are sums over a trial's recorded steps up to the evaluation, and the
    mean of them over the arm's trials: evaluations and starting up are not in the seconds.
    """
    measure, scores = _val(rows)
    at = scores.merge(_efforts(rows.steps), on=["trial_id", "step"], how="left")
    found: dict[Effort, tuple[Mean, ...]] = {}
    for effort in EFFORTS:
        means = []
        for arm in rows.arms:
            trials = _averaged(rows, arm)
            of_arm = at[at["trial_id"].isin(trials) & at["value"].notna() & at[effort].notna()]
            grouped = of_arm.groupby("epoch")
            whole = [e for _, e in grouped if e["trial_id"].nunique() == len(trials)]
            estimates = [t_interval(e["value"].tolist()) for e in whole]
            if whole:
                x = tuple(float(e[effort].mean()) for e in whole)
                y = tuple(e for e in estimates if e is not None)
                means.append(Mean(arm, x, y, len(trials)))
        if means:
            found[effort] = tuple(means)
    return measure, found


def loss_curves(rows: StudyRows, role: str) -> Curves:
    """Training loss by step: a centred running mean, thinned to what can be drawn."""
    return _curves(rows, role, rows.steps.sort_values("step"), "step", "loss", smooth=True)


def smoothing_window(steps: int) -> int:
    """Steps that one point of a loss curve is the mean of."""
    return max(1, steps // WINDOWS)


def _val(rows: StudyRows) -> tuple[Measure | None, pd.DataFrame]:
    measure = choose(rows, rows.selects.metric, "val")
    if measure is None:
        return None, rows.scores.iloc[:0]
    scores = select(rows.scores, measure, "val")
    return measure, scores[scores["class_name"] == MACRO].sort_values("epoch")


def _efforts(steps: pd.DataFrame) -> pd.DataFrame:
    """Seconds and images up to each step of each trial."""
    ordered = steps.sort_values(["trial_id", "step"])
    seconds = ordered[[f"seconds_{p}" for p in PARTS]].sum(axis=1)
    per_step = ordered[["trial_id", "step"]].assign(
        seconds=seconds, images=ordered["images_per_second"] * seconds
    )
    per_step[["seconds", "images"]] = per_step.groupby("trial_id")[["seconds", "images"]].cumsum()
    return per_step


def _averaged(rows: StudyRows, arm: str) -> list[str]:
    """A trial that stopped early would end the mean of all."""
    trials = rows.of("arm", arm=arm)
    finished = trials[trials["status"] == "finished"]
    clean = trials[trials["status"] != DIRTY]
    begun = clean[clean["trial_id"].isin(rows.scores["trial_id"])]
    return [str(t) for t in (finished if len(finished) else begun)["trial_id"]]


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
    return Curves(tuple(lines), _means(rows, lines))


def _thin(series: "pd.Series[float]") -> "pd.Series[float]":
    smooth = series.rolling(smoothing_window(len(series)), center=True, min_periods=1).mean()
    return smooth.iloc[:: max(1, -(-len(smooth) // MAX_POINTS))]


def _means(rows: StudyRows, lines: Sequence[Line]) -> tuple[Mean, ...]:
    means = []
    for arm in rows.arms:
        trials = _averaged(rows, arm)
        of_arm = [pd.Series(line.y, index=line.x) for line in lines if line.trial_id in trials]
        if not of_arm:
            continue
        both = pd.concat(of_arm, axis=1, join="inner").sort_index()
        estimates = [t_interval(row) for row in both.to_numpy().tolist()]
        x = tuple(float(i) for i in both.index)
        y = tuple(e for e in estimates if e is not None)
        means.append(Mean(arm, x, y, n=len(of_arm)))
    return tuple(means)


def _points(series: "pd.Series[float]") -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(float(x) for x in series.index), tuple(float(y) for y in series)
