"""Score against cost: a point per arm or trial, and the Pareto front."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segtune.report.evidence.costs.measured import Cost, quantity
from segtune.report.evidence.estimate import Estimate
from segtune.report.evidence.search_results import SearchResults, pareto_front
from segtune.report.evidence.summary import Summary
from segtune.report.page.label_positions import text_positions
from segtune.report.page.look import (
    MUTED,
    OTHER,
    Figure,
    Key,
    Looks,
    faded,
    figure,
    log_ticks,
    name,
    packed,
    plain,
    span,
)
from segtune.report.page.page import Part
from segtune.report.page.text import interval, range_text
from segtune.results.study_rows import MACRO, StudyRows

AXES = ("peak", "state", "seconds", "trainable")
"""Costs that a score is drawn against, a panel each."""
_PANEL = (460.0, 250.0)
"""Width and height of a panel for placing names, pixels."""
_LOG_FROM = 20.0
"""An axis is logarithmic if the largest cost is so many times the smallest."""
FEW = 6
NO_ROOM = " Names that find no room are left out."
"""Said of more than a few."""


@dataclass(frozen=True)
class Point:
    """One arm or trial."""

    name: str
    x: Estimate
    y: Estimate
    note: str
    """What a reader sees when pointing at it."""


@dataclass(frozen=True)
class Panel:
    """One kind of cost against the score."""

    key: str
    points: tuple[Point, ...]
    front: tuple[bool, ...]
    """Whether a point is on the Pareto front: no other is as good in both and better in one."""


def tradeoff(
    scores: Mapping[str, Estimate],
    costs: Sequence[Cost],
    notes: Mapping[str, str],
    *,
    higher_is_better: bool = True,
) -> tuple[Panel, ...]:
    """One panel per kind of cost that was recorded for a scored arm or trial.

    The Pareto front is that of the means; by their intervals, a point near it may be as good.
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


def tradeoff_figure(
    panel: Panel, looks: Looks, named: Sequence[str], y_title: str, *, fraction: bool
) -> Figure:
    """Score against one cost; `named` arms or trials are labelled, the Pareto front is joined.

    Args:
        panel: the kind of cost.
        looks: by arm or trial; those without one are drawn in a pale colour.
        named: arms or trials to label.
        y_title: name of the score.
        fraction: whether the score lies between 0 and 1, so that the axis ends there.
    """
    points = panel.points
    x_range, log = _x_range(points)
    y_range = span([v for p in points for v in _ends(p.y)], 0.12)
    if fraction:
        y_range = [max(0.0, y_range[0]), min(1.0, y_range[1])]
    quiet = [p for p in points if p.name not in looks]
    own = [p for p in points if p.name in looks]
    traces: list[dict[str, Any]] = [_front(panel, log)]
    if quiet:
        traces.append(
            {"type": "scatter", "x": packed([p.x.mean for p in quiet]),
             "y": packed([p.y.mean for p in quiet]), "mode": "markers",
             "marker": {"color": faded(OTHER, 0.55), "size": 6},
             "text": [f"{plain(p.name)}<br>{plain(p.note)}" for p in quiet],
             "hovertemplate": "%{text}<br>%{x:.4g}, %{y:.4f}<extra></extra>"}
        )  # fmt: skip
    on_front = {p.name for p, best in zip(points, panel.front, strict=True) if best}
    positions = _label_positions(own, named, on_front, x_range, y_range, log)
    for p, position in zip(own, positions, strict=True):
        look = looks[p.name]
        shown = f"%{{x:.4g}} {interval(p.x, 2)}<br>%{{y:.4f}} {interval(p.y, 4)}"
        traces.append(
            {"type": "scatter", "x": [p.x.mean], "y": [p.y.mean], "error_x": _error(p.x),
             "error_y": _error(p.y), "mode": "markers+text", "name": plain(p.name),
             "legendgroup": p.name, "text": [name(p.name) if p.name in named and position else ""],
             "textposition": position or "top center", "textfont": {"size": 12},
             "marker": {"color": look.color, "symbol": look.symbol, "size": 10},
             "cliponaxis": False,
             "hovertemplate": f"{plain(p.name)}<br>{shown}<br>{plain(p.note)}<extra></extra>"}
        )  # fmt: skip
    return figure(
        traces,
        height=340,
        span="half",
        keys=[*(Key(p.name, p.name, looks[p.name].color, looks[p.name].symbol) for p in own),
              Key("front", "Pareto front of the means", MUTED, "circle-open")],
        xaxis={"title": {"text": quantity(panel.key).label + (", log scale" if log else "")},
               "type": "log" if log else "linear", "range": x_range, "nticks": 5,
               **(log_ticks(10 ** x_range[0], 10 ** x_range[1]) if log else {})},
        yaxis={"range": y_range, "title": {"text": y_title}},
    )  # fmt: skip


def _front(panel: Panel, log: bool) -> dict[str, Any]:
    """Rings around the front, joined by steps: points below and to the right are dominated."""
    both = zip(panel.points, panel.front, strict=True)
    on = sorted((p.x.mean, p.y.mean) for p, best in both if best and (p.x.mean > 0 or not log))
    return {
        "type": "scatter", "x": [x for x, _ in on], "y": [y for _, y in on], "legendgroup": "front",
        "mode": "lines+markers", "name": "Pareto front", "hoverinfo": "skip",
        "line": {"color": faded(MUTED, 0.45), "width": 4, "shape": "hv"},
        "marker": {"color": MUTED, "size": 16, "symbol": "circle-open", "line": {"width": 1.5}},
    }  # fmt: skip


def _label_positions(
    points: Sequence[Point],
    named: Sequence[str],
    on_front: Collection[str],
    x_range: Sequence[float],
    y_range: Sequence[float],
    log: bool,
) -> list[str]:
    at = [(_fraction(p.x.mean, x_range, log), _fraction(p.y.mean, y_range)) for p in points]
    bars = [
        (
            _fraction(a, x_range, log),
            _fraction(b, y_range),
            _fraction(c, x_range, log),
            _fraction(d, y_range),
        )
        for p in points
        for a, b, c, d in (
            (p.x.mean, p.y.low, p.x.mean, p.y.high),
            (p.x.low, p.y.mean, p.x.high, p.y.mean),
        )
        if a is not None and b is not None and c is not None and d is not None
    ]
    texts = [name(p.name) if p.name in named else "" for p in points]
    return text_positions(at, texts, _PANEL, bars, [p.name in on_front for p in points])


def _fraction(value: float, limits: Sequence[float], log: bool = False) -> float:
    """Where a value lies on an axis, from 0 to 1, cut off at its ends."""
    if log:
        value = math.log10(value) if value > 0 else limits[0]
    return min(1.0, max(0.0, (value - limits[0]) / (limits[1] - limits[0])))


def _x_range(points: Sequence[Point]) -> tuple[list[float], bool]:
    """Limits with room for labels, in decades on a logarithmic axis."""
    means = [p.x.mean for p in points]
    log = min(means) > 0 and max(means) / min(means) > _LOG_FROM
    if log:
        return span([math.log10(m) for m in means], 0.25), True
    low, high = span([v for p in points for v in _ends(p.x)], 0.22)
    return [max(0.0, low), high], False


def _ends(estimate: Estimate) -> tuple[float, ...]:
    return tuple(v for v in (estimate.mean, estimate.low, estimate.high) if v is not None)


def _error(estimate: Estimate) -> dict[str, Any] | None:
    if estimate.high is None:
        return None
    return {"type": "data", "array": [estimate.high - estimate.mean], "thickness": 1, "width": 3}


def arms_tradeoff_part(
    rows: StudyRows, summary: Summary, costs: Sequence[Cost], looks: Looks
) -> Part:
    """The arms of an ablation: the first score of the summary against each cost."""
    title = "Score against cost"
    column = next((c for c in summary.columns if c.class_name == MACRO), None)
    if column is None:
        return Part(title, missing="Needs tested trials with recorded steps.")
    key, measure = column.key, column.measure
    scores = {a.arm: a.values[key] for a in summary.arms if key in a.values}
    notes = {
        c.name: f"n={c.n} seeds" + (", baseline" if c.name == rows.baseline else "") for c in costs
    }
    found = tradeoff(scores, costs, notes, higher_is_better=measure.higher_is_better)
    if not found:
        return Part(title, missing="Needs tested trials with recorded steps.")
    n = range_text([c.n for c in costs], "seed")
    y_title = f"{column.label} on test, macro"
    return Part(
        title,
        "One mark per arm: mean over seeds, bars are 95 % t intervals over seeds. "
        f"{'Up' if measure.higher_is_better else 'Down'} and to the "
        f"left is better; no arm beats one on the Pareto front in both means. Per arm {n}."
        f"{NO_ROOM if len(rows.arms) > FEW else ''}",
        figures=_figures(found, looks, rows.arms, y_title, fraction=measure.is_fraction),
    )


def search_tradeoff_part(
    search: SearchResults, costs: Mapping[str, Cost], looks: Looks, *, tested: bool
) -> Part:
    """The trials of a search: the first objective against each cost.

    Args:
        search: all its trials.
        costs: of the finished trials.
        looks: of the trials to name, by `t5`.
        tested: whether finalists are among those.
    """
    title = "Score against cost"
    names = {t.trial_id: f"t{t.number}" for t in search.trials}
    scored = [t for t in search.trials if t.status == "finished" and t.values[0] is not None]
    scores = {names[t.trial_id]: Estimate(t.values[0] or 0.0, None, None, 1) for t in scored}
    notes = {names[t.trial_id]: t.text for t in scored}
    renamed = [Cost(names[k], False, c.n, c.values, c.parts) for k, c in costs.items()]
    up, measure = search.objectives[0].maximize, search.measures[0]
    panels = tradeoff(scores, renamed, notes, higher_is_better=up)
    if not panels:
        return Part(title, missing="Needs finished trials with recorded steps.")
    best = [name for name in looks if name in scores]
    y_title = search.axes[0] + (", macro" if measure is not None else "")
    fraction = measure is not None and measure.is_fraction
    return Part(
        title,
        f"One mark per finished trial (n={len(scored)}); the {len(best)} best"
        f"{' and the finalists' if tested else ''} are named "
        f"and coloured. {'Up' if up else 'Down'} and to the left is better.",
        figures=_figures(panels, looks, best, y_title, fraction=fraction),
    )


def _figures(
    panels: Sequence[Panel], looks: Looks, named: Sequence[str], y_title: str, *, fraction: bool
) -> tuple[tuple[Figure, str], ...]:
    return tuple(
        (tradeoff_figure(p, looks, named, y_title, fraction=fraction), f"{y_title} against {p.key}")
        for p in panels
    )
