"""Figures of a search, and of score against cost, drawn from computed values."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from segtune.report.cost import quantity
from segtune.report.curves import Curves, Line
from segtune.report.importance import Importance
from segtune.report.labels import text_positions
from segtune.report.measures import Measure
from segtune.report.search import SearchRows, SearchTrial
from segtune.report.stats import Estimate
from segtune.report.style import MUTED, Look, faded, figure, log_ticks
from segtune.report.text import setting
from segtune.report.tradeoff import Panel, Point

FRONT, OTHER, STOPPED = "#d55e00", "#7f9db9", "#b5b5b5"
_PANEL, _WIDE_PANEL = (330.0, 290.0), (1040.0, 260.0)
"""Width and height of one of three panels side by side, and of one alone; pixels."""
_MANY_NAMES, _LONG_NAME = 6, 16
"""From more or longer names than these on, panels stand below one another."""
_HALO = ", ".join(f"{x}px {y}px 2px white" for x in (-1, 1) for y in (-1, 1))
"""Keeps labels readable over lines."""
_SLICE, _GAP = 190, 64
"""Height of one slice and what is between two rows of them, pixels."""
_FEW_VALUES = 8
"""Up to here each value of an integer setting is written."""
_LOG_FROM = 20.0
"""Ratio of largest to smallest cost from which an axis is logarithmic."""


def tradeoff_figure(
    panels: Sequence[Panel],
    looks: Mapping[str, Look],
    named: Sequence[str],
    y_title: str,
    *,
    fraction: bool,
) -> Any:
    """Score against each cost, side by side; `named` arms or trials are labelled.

    Args:
        panels: the kinds of cost.
        looks: by arm or trial; those without one are drawn in a quiet colour.
        named: arms or trials to label.
        y_title: name of the score.
        fraction: whether the score lies between 0 and 1, so that the axis ends there.
    """
    traces, layout = [], {}
    # Long or many names get the whole width of the page.
    wide = len(named) > _MANY_NAMES or max(map(len, named), default=0) > _LONG_NAME
    size = _WIDE_PANEL if wide else _PANEL
    rows = len(panels) if wide else 1
    inner = rows * (size[1] + _GAP) - _GAP
    for k, panel in enumerate(panels):
        axis = str(k + 1) if k else ""
        x_range, log = _x_range(panel.points)
        y_range = _span([v for p in panel.points for v in _ends(p.y)], 0.12)
        if fraction:
            y_range = [max(0.0, y_range[0]), min(1.0, y_range[1])]
        at = [(_part(p.x.mean, x_range, log), _part(p.y.mean, y_range)) for p in panel.points]
        bars = [
            (_part(a, x_range, log), _part(b, y_range), _part(c, x_range, log), _part(d, y_range))
            for p in panel.points
            for a, b, c, d in (
                (p.x.mean, p.y.low, p.x.mean, p.y.high),
                (p.x.low, p.y.mean, p.x.high, p.y.mean),
            )
            if None not in (a, b, c, d)
        ]
        texts = [p.name if p.name in named else "" for p in panel.points]
        for p, text, place in zip(
            panel.points, texts, text_positions(at, texts, size, bars), strict=True
        ):
            look = looks.get(p.name, Look(OTHER, "circle"))
            traces.append(
                go.Scatter(
                    x=[p.x.mean], y=[p.y.mean], error_x=_error(p.x), error_y=_error(p.y),
                    mode="markers+text", text=[text], textposition=place, xaxis=f"x{axis}",
                    yaxis=f"y{axis}",
                    marker={"color": look.color, "symbol": look.symbol, "size": 10},
                    textfont={"color": look.color, "size": 12, "shadow": _HALO}, cliponaxis=False,
                    hovertemplate=f"{p.name}<br>%{{x:.4g}}, %{{y:.4f}}<br>{p.note}<extra></extra>",
                )
            )  # fmt: skip
        layout[f"xaxis{axis}"] = {
            "title": {"text": quantity(panel.key).label + (", log scale" if log else "")},
            "domain": [0, 1] if wide else _beside(k, len(panels)), "anchor": f"y{axis}",
            "type": "log" if log else "linear", "range": x_range, "nticks": 5,
            **(log_ticks(10 ** x_range[0], 10 ** x_range[1]) if log else {}),
        }  # fmt: skip
        layout[f"yaxis{axis}"] = {
            "anchor": f"x{axis}", "range": y_range, "showticklabels": wide or k == 0,
            "title": {"text": y_title if wide or k == 0 else ""},
            "domain": _below(k, size[1], inner) if wide else [0, 1],
        }  # fmt: skip
    return figure(traces, height=82 + int(inner), showlegend=False, **layout)


def _beside(k: int, panels: int) -> list[float]:
    """The k-th of panels side by side, as a part of the width."""
    return [k / panels + 0.015 * bool(k), (k + 1) / panels - 0.015]


def _below(row: int, height: float, inner: float) -> list[float]:
    """A row of panels of a height, as a part of the figure's inner height."""
    top = 1 - row * (height + _GAP) / inner
    return [max(0.0, top - height / inner), top]


def _part(value: float | None, limits: Sequence[float], log: bool = False) -> float:
    """Where a value lies on an axis, from 0 to 1; its ends for what lies beyond them."""
    assert value is not None
    if log:
        value = math.log10(value) if value > 0 else limits[0]
    return min(1.0, max(0.0, (value - limits[0]) / (limits[1] - limits[0])))


def _x_range(points: Sequence[Point]) -> tuple[list[float], bool]:
    """Limits with room for labels, in decades on a logarithmic axis."""
    means = [p.x.mean for p in points]
    log = min(means) > 0 and max(means) / min(means) > _LOG_FROM
    if log:
        return _span([math.log10(m) for m in means], 0.25), True
    low, high = _span([v for p in points for v in _ends(p.x)], 0.22)
    return [max(0.0, low), high], False


def _span(numbers: Sequence[float], room: float) -> list[float]:
    low, high = min(numbers), max(numbers)
    extra = room * (high - low) or 0.1 * abs(high) or 1.0
    return [low - extra, high + extra]


def _ends(estimate: Estimate) -> tuple[float, ...]:
    return tuple(v for v in (estimate.mean, estimate.low, estimate.high) if v is not None)


def _error(estimate: Estimate) -> dict[str, Any] | None:
    if estimate.high is None:
        return None
    return {"type": "data", "array": [estimate.high - estimate.mean], "thickness": 1, "width": 3}


def pareto_figure(search: SearchRows, labels: Sequence[str]) -> Any:
    """The first two objectives of every scored trial; the front is joined by a line."""
    scored = [t for t in search.trials if None not in t.values[:2]]
    finished = [t for t in scored if t.status == "finished"]
    groups = (
        ("not finished", STOPPED, "x", [t for t in scored if t.status != "finished"]),
        ("finished", OTHER, "circle", [t for t in finished if not t.on_front]),
        ("on the Pareto front", FRONT, "circle", [t for t in scored if t.on_front]),
    )  # fmt: skip
    traces = []
    for name, color, symbol, trials in groups:
        front = name == groups[-1][0]
        ordered = sorted(trials, key=lambda t: t.values[0] or 0.0)
        if ordered:
            traces.append(
                go.Scatter(
                    x=[t.values[0] for t in ordered], y=[t.values[1] for t in ordered],
                    mode="lines+markers+text" if front else "markers",
                    name=f"{name} (n={len(ordered)})",
                    text=[f"t{t.number}" for t in ordered], textposition="top center",
                    line={"color": faded(color, 0.5), "width": 1, "shape": "linear"},
                    marker={"color": color, "size": 10 if front else 8, "symbol": symbol},
                    customdata=[_hover(t) for t in ordered],
                    hovertemplate="%{customdata}<br>%{x:.4f}, %{y:.4g}<extra></extra>",
                )
            )  # fmt: skip
    x, y = labels[0], labels[1]
    return figure(traces, height=430, xaxis={"title": {"text": x}}, yaxis={"title": {"text": y}})


def slice_figure(search: SearchRows, label: str) -> Any:
    """The first objective against each searched setting."""
    fields = list(search.space)
    columns = 2 if len(fields) in (2, 4) else min(3, len(fields))
    inner = (_SLICE + _GAP) * -(-len(fields) // columns) - _GAP
    trials = [t for t in search.trials if t.status == "finished" and t.values[0] is not None]
    last = max((t.number for t in trials), default=1)
    traces, layout = [], {}
    for k, field in enumerate(fields):
        axis = str(k + 1) if k else ""
        row, column = divmod(k, columns)
        there = [t for t in trials if field in t.params]
        categorical = isinstance(search.space[field], CategoricalDistribution)
        traces.append(
            go.Scatter(
                x=[setting(t.params[field]) if categorical else t.params[field] for t in there],
                y=[t.values[0] for t in there], mode="markers", xaxis=f"x{axis}", yaxis=f"y{axis}",
                marker={"size": 9, "color": [t.number for t in there], "cmin": 0, "cmax": last,
                        "colorscale": [[0, "#c6dbef"], [1, "#08306b"]], "showscale": k == 0,
                        "line": {"width": 0.5, "color": "white"},
                        "colorbar": {"title": {"text": "trial", "font": {"size": 12}}, "x": 1.01,
                                     "thickness": 10, "lenmode": "pixels", "len": 170, "y": 1,
                                     "yanchor": "top"}},
                customdata=[_hover(t) for t in there], hovertemplate="%{customdata}<extra></extra>",
            )
        )  # fmt: skip
        width = 1 / columns
        layout[f"xaxis{axis}"] = {
            "title": {"text": field}, "anchor": f"y{axis}", "nticks": 5,
            "domain": [column * width + 0.02 * bool(column), (column + 1) * width - 0.02],
            **_axis_type(search, field),
        }  # fmt: skip
        layout[f"yaxis{axis}"] = {
            "anchor": f"x{axis}", "domain": _below(row, _SLICE, inner),
            "showticklabels": column == 0, "title": {"text": label if column == 0 else ""},
            "matches": "y" if k else None,
        }  # fmt: skip
    return figure(traces, height=82 + inner, showlegend=False, **layout)


def _axis_type(search: SearchRows, field: str) -> dict[str, Any]:
    distribution = search.space[field]
    if isinstance(distribution, CategoricalDistribution):
        names = [setting(c) for c in distribution.choices]
        ends = [-0.5, len(names) - 0.5]
        return {"type": "category", "categoryarray": names, "range": ends}
    if not isinstance(distribution, FloatDistribution | IntDistribution):
        return {}
    low, high = float(distribution.low), float(distribution.high)
    if distribution.log:
        ends = _span([math.log10(low), math.log10(high)], 0.06)
        return {"type": "log", "range": ends, **log_ticks(10 ** ends[0], 10 ** ends[1])}
    ticks = {}
    if isinstance(distribution, IntDistribution):
        drawn = range(distribution.low, distribution.high + 1, distribution.step)
        ticks = {"tickvals": list(drawn)} if len(drawn) <= _FEW_VALUES else {}
    return {"range": _span([low, high], 0.06), **ticks}


def importance_figure(importances: Sequence[Importance], labels: Mapping[str, str]) -> Any:
    """Share of each setting, one bar per objective."""
    order = [field for field, _ in importances[0].shares]
    traces = []
    for importance, color in zip(importances, ("#0072b2", "#e08a3c", "#009e73"), strict=False):
        share = dict(importance.shares)
        traces.append(
            go.Bar(x=[share.get(f, 0.0) for f in order], y=order, orientation="h",
                   name=labels.get(importance.metric, importance.metric), marker={"color": color},
                   hovertemplate="%{y}: %{x:.2f}<extra></extra>")
        )  # fmt: skip
    return figure(
        traces,
        height=110 + 46 * len(order),
        barmode="group",
        xaxis={"title": {"text": "share of importance"}, "rangemode": "tozero"},
        yaxis={"autorange": "reversed", "ticklen": 0, "ticksuffix": " "},
        legend={"traceorder": "normal"},
    )


def search_curves(curves: Curves, best: Mapping[str, Look], measure: Measure) -> Any:
    """Score on val by epoch, the best trials in colour over the others in grey."""
    traces = []
    order = list(best)  # the best first in the legend; the others below all of them

    def rank(line: Line) -> int:
        return order.index(line.trial_id) if line.trial_id in best else -1

    for line in sorted(curves.lines, key=rank):
        look = best.get(line.trial_id)
        traces.append(
            go.Scatter(
                x=line.x, y=line.y, mode="lines", name=line.trial_id, showlegend=look is not None,
                line={"color": look.color, "width": 2.2} if look
                else {"color": faded(MUTED, 0.35), "width": 1},
                hovertemplate=f"{line.trial_id}<br>%{{x:.0f}}: %{{y:.4g}}<extra></extra>",
            )
        )  # fmt: skip
    return figure(
        traces,
        height=380,
        xaxis={"title": {"text": "epoch"}, "tickformat": "d"},
        yaxis={"title": {"text": f"{measure.label} on val, macro"}},
    )


def _hover(trial: SearchTrial) -> str:
    return "<br>".join(
        [
            f"t{trial.number} ({trial.status})",
            *(f"{f}={setting(v)}" for f, v in trial.params.items()),
        ]
    )
