"""Score against cost, drawn from computed values."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from segtune.report.cost import quantity
from segtune.report.labels import text_positions
from segtune.report.stats import Estimate
from segtune.report.style import (
    MUTED,
    OTHER,
    Key,
    Look,
    faded,
    figure,
    log_ticks,
    name,
    packed,
    plain,
    span,
)
from segtune.report.text import interval
from segtune.report.tradeoff import Panel, Point

_PANEL = (480.0, 300.0)
"""Width and height of a panel for placing names, pixels."""
_LOG_FROM = 20.0
"""Ratio of largest to smallest cost from which an axis is logarithmic."""


def tradeoff_figure(
    panel: Panel, looks: Mapping[str, Look], named: Sequence[str], y_title: str, *, fraction: bool
) -> Any:
    """Score against one cost; `named` arms or trials are labelled, the Pareto front is joined.

    Args:
        panel: the kind of cost.
        looks: by arm or trial; those without one are drawn in a quiet colour.
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
    for p, place in zip(own, _places(own, named, x_range, y_range, log), strict=True):
        look = looks[p.name]
        shown = f"%{{x:.4g}} {interval(p.x, 2)}<br>%{{y:.4f}} {interval(p.y, 4)}"
        traces.append(
            {"type": "scatter", "x": [p.x.mean], "y": [p.y.mean], "error_x": _error(p.x),
             "error_y": _error(p.y), "mode": "markers+text", "name": plain(p.name),
             "legendgroup": p.name, "text": [name(p.name) if p.name in named else ""],
             "textposition": place, "textfont": {"size": 12},
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
    """Rings around the front, joined by steps: what is below and right of them is beaten."""
    both = zip(panel.points, panel.front, strict=True)
    on = sorted((p.x.mean, p.y.mean) for p, best in both if best and (p.x.mean > 0 or not log))
    return {
        "type": "scatter", "x": [x for x, _ in on], "y": [y for _, y in on], "legendgroup": "front",
        "mode": "lines+markers", "name": "Pareto front", "hoverinfo": "skip",
        "line": {"color": faded(MUTED, 0.45), "width": 4, "shape": "hv"},
        "marker": {"color": MUTED, "size": 19, "symbol": "circle-open", "line": {"width": 1.5}},
    }  # fmt: skip


def _places(
    points: Sequence[Point],
    named: Sequence[str],
    x_range: Sequence[float],
    y_range: Sequence[float],
    log: bool,
) -> list[str]:
    at = [(_part(p.x.mean, x_range, log), _part(p.y.mean, y_range)) for p in points]
    bars = [
        (_part(a, x_range, log), _part(b, y_range), _part(c, x_range, log), _part(d, y_range))
        for p in points
        for a, b, c, d in (
            (p.x.mean, p.y.low, p.x.mean, p.y.high),
            (p.x.low, p.y.mean, p.x.high, p.y.mean),
        )
        if a is not None and b is not None and c is not None and d is not None
    ]
    return text_positions(at, [name(p.name) if p.name in named else "" for p in points],
                          _PANEL, bars)  # fmt: skip


def _part(value: float, limits: Sequence[float], log: bool = False) -> float:
    """Where a value lies on an axis, from 0 to 1; its ends for what lies beyond them."""
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
