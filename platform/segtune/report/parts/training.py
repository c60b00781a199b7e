"""How training went: scores on val against what it took to get there, and the training loss."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from segtune.report.evidence.estimate import Estimate
from segtune.report.evidence.stats import t_interval
from segtune.report.page.look import (
    MUTED,
    Figure,
    Look,
    Looks,
    Span,
    arm_keys,
    faded,
    figure,
    limits,
    plain,
)
from segtune.report.page.page import Part
from segtune.report.page.text import interval, listing, number
from segtune.results.measures import Measure, select
from segtune.results.study_rows import DIRTY, MACRO, StudyRows
from segtune.results.study_scores import StudyScores
from segtune.study.costs import PARTS

MAX_POINTS = 200
"""Most points of a drawn loss curve."""
WINDOWS = 20
"""A running mean of a loss is over its steps divided by this number."""
_FEW_POINTS = 12
"""A curve of at most so many points has a symbol at each point."""
Effort = Literal["step", "seconds", "images"]
EFFORTS: dict[Effort, str] = {
    "step": "optimizer step",
    "seconds": "seconds of training steps",
    "images": "training images seen",
}
"""What a learning curve is drawn against."""


@dataclass(frozen=True)
class Line:
    """The curve of one trial."""

    trial_id: str
    arm: str | None
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class MeanCurve:
    """The mean of an arm's finished trials, or where none has finished, of all that began."""

    arm: str
    x: tuple[float, ...]
    y: tuple[Estimate, ...]
    n: int
    """Trials; each point is over all of them."""


@dataclass(frozen=True)
class Curves:
    """The curves of single trials and the arms' means."""

    lines: tuple[Line, ...]
    means: tuple[MeanCurve, ...]


def val_curves(study: StudyScores, role: str) -> tuple[Measure | None, Curves]:
    """The study's first objective on val, by epoch; of every trial that has a score."""
    measure, scores = _val(study)
    return measure, _curves(study.rows, role, scores, "epoch", "value", smooth=False)


def learning_curves(
    study: StudyScores,
) -> tuple[Measure | None, dict[Effort, tuple[MeanCurve, ...]]]:
    """The arms' mean score on val against steps, seconds and images.

    Seconds and images are sums over a trial's recorded steps up to the evaluation, averaged over
    the arm's trials. The seconds of evaluations and of starting up are not included.
    """
    rows = study.rows
    measure, scores = _val(study)
    at = scores.merge(_efforts(rows.steps), on=["trial_id", "step"], how="left")
    found: dict[Effort, tuple[MeanCurve, ...]] = {}
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
                means.append(MeanCurve(arm, x, y, len(trials)))
        if means:
            found[effort] = tuple(means)
    return measure, found


def loss_curves(rows: StudyRows, role: str) -> Curves:
    """Training loss by step: a centred running mean, thinned to what can be drawn."""
    return _curves(rows, role, rows.steps.sort_values("step"), "step", "loss", smooth=True)


def smoothing_window(steps: int) -> int:
    """Steps over which one point of a loss curve is a running mean."""
    return max(1, steps // WINDOWS)


def _val(study: StudyScores) -> tuple[Measure | None, pd.DataFrame]:
    rows, measure = study.rows, study.measure(study.rows.first_score.metric, "val")
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
    """The trials whose mean is drawn: none that stopped early, which would cut it short."""
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


def _means(rows: StudyRows, lines: Sequence[Line]) -> tuple[MeanCurve, ...]:
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
        means.append(MeanCurve(arm, x, y, n=len(of_arm)))
    return tuple(means)


def _points(series: "pd.Series[float]") -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(float(x) for x in series.index), tuple(float(y) for y in series)


def learning_figure(
    means: Sequence[MeanCurve], looks: Looks, x_title: str, measure: Measure, span: Span
) -> Figure:
    """The mean of each arm with the band of its 95 % t interval over seeds."""
    keys = arm_keys((m.arm for m in means), looks, {m.arm: f"{m.arm} (n={m.n})" for m in means})
    return figure(
        [t for m in means for t in _band(m, looks[m.arm], measure.digits)],
        height=380 if span == "full" else 320,
        span=span,
        keys=keys,
        xaxis={"title": {"text": x_title}, "rangemode": "tozero", "nticks": 7},
        yaxis={"title": {"text": f"{measure.heading} on val, macro"},
               "range": limits([e for m in means for e in m.y], measure)},
    )  # fmt: skip


def _band(mean: MeanCurve, look: Look, digits: int) -> list[dict[str, Any]]:
    y = [e.mean for e in mean.y]
    shown = [f"{number(e.mean, digits)} {interval(e, digits)}" for e in mean.y]
    line = {
        "type": "scatter", "x": mean.x, "y": y, "name": plain(mean.arm), "legendgroup": mean.arm,
        "mode": "lines+markers" if len(mean.x) <= _FEW_POINTS else "lines",
        "line": {"color": look.color, "width": 2.5, "dash": look.dash},
        "marker": {"symbol": look.symbol, "size": 7}, "text": shown,
        "hovertemplate": f"{plain(mean.arm)}, n={mean.n}<br>at %{{x:.4g}}: %{{text}}"
                         "<extra></extra>",
    }  # fmt: skip
    if mean.n < 2:
        return [line]
    low = [e.mean if e.low is None else e.low for e in mean.y]
    high = [e.mean if e.high is None else e.high for e in mean.y]
    band = {
        "type": "scatter", "x": [*mean.x, *reversed(mean.x)], "y": [*high, *reversed(low)],
        "fill": "toself", "fillcolor": faded(look.color, 0.13), "line": {"width": 0},
        "mode": "lines", "hoverinfo": "skip", "legendgroup": mean.arm, "showlegend": False,
    }  # fmt: skip
    return [band, line]


def loss_figure(curves: Curves, looks: Looks) -> Figure:
    """One thin line per trial and a thick one for the mean of each arm."""
    traces: list[dict[str, Any]] = []
    for line in curves.lines:
        color = MUTED if line.arm is None else looks[line.arm].color
        traces.append(
            {"type": "scatter", "x": line.x, "y": line.y, "mode": "lines", "showlegend": False,
             "legendgroup": line.arm, "line": {"color": faded(color, 0.35), "width": 1},
             "hovertemplate": f"{plain(line.trial_id)}<br>%{{x:.0f}}: %{{y:.4g}}<extra></extra>"}
        )  # fmt: skip
    for mean in curves.means:
        look = looks[mean.arm]
        traces.append(
            {"type": "scatter", "x": mean.x, "y": [e.mean for e in mean.y], "mode": "lines",
             "name": plain(mean.arm), "legendgroup": mean.arm,
             "line": {"color": look.color, "width": 2.5, "dash": look.dash},
             "hovertemplate": f"{plain(mean.arm)}, mean of {mean.n}<br>%{{x:.0f}}: %{{y:.4g}}"
                              "<extra></extra>"}
        )  # fmt: skip
    keys = arm_keys((m.arm for m in curves.means), looks)
    return figure(
        traces,
        height=340,
        keys=keys,
        xaxis={"title": {"text": "optimizer step"}, "rangemode": "tozero"},
        yaxis={"title": {"text": "training loss"}},
    )


def training_part(study: StudyScores, looks: Looks) -> Part:
    """Learning curves against steps, seconds and images, and the training loss."""
    rows = study.rows
    missing: list[str] = []
    measure, learning = learning_curves(study)
    drawn = [
        (
            learning_figure(
                means, looks, EFFORTS[effort], measure, "full" if effort == "step" else "half"
            ),
            f"{measure.label} on val against {EFFORTS[effort]}",
        )
        for effort, means in learning.items()
        if measure is not None
    ]
    if not drawn:
        missing.append("no score on val yet")
    loss = loss_curves(rows, "arm")
    if loss.lines:
        drawn.append((loss_figure(loss, looks), "Training loss by step"))
    else:
        missing.append("no step recorded yet")
    steps = rows.steps.groupby("trial_id").size()
    window = smoothing_window(int(steps.max())) if len(steps) else 1
    caption = (
        "On val: mean over an arm's finished trials, where all of them have a value, with the band "
        "of its 95 % t interval over seeds (n=1: no band; with two seeds a band is wide and may "
        "leave the figure). Seconds are those of training steps. Loss: thin lines are single "
        "trials, running and failed ones too; losses compare only where arms share one"
        f"{f'; running means over {window} steps' if window > 1 else ''}."
    )
    return Part(
        "Training",
        caption if drawn else "",
        figures=tuple(drawn),
        missing=f"Missing: {listing(missing)}." if missing else "",
    )
