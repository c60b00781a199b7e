"""Figures of a search, drawn from computed values.

Marks without a name of their own share one trace: a thousand trials are a thousand points, not a
thousand traces.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from segtune.report.curves import Curves
from segtune.report.importance import Importance
from segtune.report.search import SearchRows, SearchTrial
from segtune.report.style import (
    COLORS,
    FRONT,
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
from segtune.report.text import setting
from segtune.results.measures import Measure

_ENDS = (
    ("not finished", MUTED, "x"),
    ("stopped early", MUTED, "circle-open"),
    ("beyond a limit", MUTED, "square-open"),
    ("finished", OTHER, "circle"),
)
"""How a trial ended, and its mark; what is drawn last lies on top."""
_FEW_VALUES = 8
"""Up to here each value of an integer setting is written."""
_MANY_LINES, _THIN_TO = 60, 40
"""From more trials than these on, lines of all but the best have so many points at most."""
_MANY_NAMES = 12
"""Of a front with more trials than these, only the marks are drawn."""


def history_figure(search: SearchRows, objective: int) -> Any:
    """The objective by trial, and the best so far."""
    maximize = search.objectives[objective].maximize
    better = "higher" if maximize else "lower"
    scored = [(t, v) for t in search.trials if (v := t.values[objective]) is not None]
    done = [(t, v) for t, v in scored if t.status == "finished" and t.allowed]
    traces, keys = [], []
    for label_, color, symbol in _ENDS:
        group = [(t, v) for t, v in scored if _end(t) == label_]
        if group:
            keys.append(Key(label_, label_, color, symbol))
            traces.append(
                {"type": "scatter", "x": [t.number for t, _ in group],
                 "y": packed([v for _, v in group]), "mode": "markers", "name": label_,
                 "legendgroup": label_,
                 "marker": {"color": faded(color, 0.65), "symbol": symbol, "size": 7},
                 "text": [hover(t) for t, _ in group],
                 "hovertemplate": "%{text}<br>%{y:.4f}<extra></extra>"}
            )  # fmt: skip
    best: list[float] = []
    for _, v in done:
        best.append(v if not best else max(best[-1], v) if maximize else min(best[-1], v))
    traces.append(
        {"type": "scatter", "x": [t.number for t, _ in done], "y": packed(best), "mode": "lines",
         "line": {"color": FRONT, "width": 2.5, "shape": "hv"}, "name": "best so far",
         "legendgroup": "best", "hovertemplate": "best up to t%{x}: %{y:.4f}<extra></extra>"}
    )  # fmt: skip
    return figure(
        traces,
        height=330,
        span="half",
        keys=[*keys, Key("best", "best so far", FRONT, "line")],
        xaxis={"title": {"text": "trial"}, "tickformat": "d"},
        yaxis={"title": {"text": f"{search.axes[objective]} ({better} is better)"}},
    )


def _end(trial: SearchTrial) -> str:
    if trial.status == "pruned":
        return "stopped early"
    if trial.status != "finished":
        return "not finished"
    return "finished" if trial.allowed else "beyond a limit"


def pareto_figure(search: SearchRows) -> Any:
    """The first two objectives of every scored trial; the front is joined by a line."""
    scored = [t for t in search.trials if None not in t.values[:2]]
    groups = [
        (end, color, symbol, [t for t in scored if _end(t) == end and not t.on_front])
        for end, color, symbol in _ENDS
    ]
    groups.append(("on the Pareto front", FRONT, "diamond", [t for t in scored if t.on_front]))
    traces, keys = [], []
    for label, color, symbol, trials in groups:
        front = label == groups[-1][0]
        ordered = sorted(trials, key=lambda t: t.values[0] or 0.0)
        if not ordered:
            continue
        written = front and len(ordered) <= _MANY_NAMES
        keys.append(Key(label, f"{label} (n={len(ordered)})", color, symbol))
        traces.append(
            {"type": "scatter", "x": packed([t.values[0] or 0.0 for t in ordered]),
             "y": packed([t.values[1] or 0.0 for t in ordered]), "name": label,
             "legendgroup": label,
             "mode": ("lines+markers" if front else "markers") + ("+text" if written else ""),
             "text": [f"t{t.number}" for t in ordered] if written else None,
             "textposition": "top center",
             "line": {"color": faded(color, 0.5), "width": 1},
             "marker": {"color": color if front else faded(color, 0.6), "symbol": symbol,
                        "size": 10 if front else 7},
             "customdata": [hover(t) for t in ordered],
             "hovertemplate": "%{customdata}<br>%{x:.4f}, %{y:.4g}<extra></extra>"}
        )  # fmt: skip
    x, y = search.axes[:2]
    return figure(
        traces,
        height=420,
        keys=keys,
        xaxis={"title": {"text": x}},
        yaxis={"title": {"text": y}},
    )


def slice_figure(search: SearchRows, field: str) -> Any:
    """The first objective against one searched setting; darker is later."""
    trials = [t for t in search.trials if t.status == "finished" and t.values[0] is not None]
    last = max((t.number for t in trials), default=1)
    there = [t for t in trials if field in t.params]
    categorical = isinstance(search.space[field], CategoricalDistribution)
    trace = {
        "type": "scatter", "mode": "markers",
        "x": [setting(t.params[field]) if categorical else t.params[field] for t in there],
        "y": packed([t.values[0] or 0.0 for t in there]),
        "marker": {"size": 7, "color": [t.number for t in there], "cmin": 0, "cmax": last,
                   "colorscale": [[0, "#9cc7ee"], [1, "#3a2f9e"]],
                   "line": {"width": 0.5, "color": MUTED}},
        "customdata": [hover(t) for t in there], "hovertemplate": "%{customdata}<extra></extra>",
    }  # fmt: skip
    return figure(
        [trace],
        height=250,
        span="third",
        xaxis={"title": {"text": plain(field, 40)}, "nticks": 5, **_axis_type(search, field)},
        yaxis={"title": {"text": search.labels[0]}},
    )


def _axis_type(search: SearchRows, field: str) -> dict[str, Any]:
    distribution = search.space[field]
    if isinstance(distribution, CategoricalDistribution):
        names = [setting(c) for c in distribution.choices]
        ends = [-0.5, len(names) - 0.5]
        texts = {"tickvals": names, "ticktext": [name(n) for n in names]}
        return {"type": "category", "categoryarray": names, "range": ends, **texts}
    if not isinstance(distribution, FloatDistribution | IntDistribution):
        return {}
    low, high = float(distribution.low), float(distribution.high)
    if distribution.log:
        ends = span([math.log10(low), math.log10(high)], 0.06)
        return {"type": "log", "range": ends, **log_ticks(10 ** ends[0], 10 ** ends[1])}
    ticks = {}
    if isinstance(distribution, IntDistribution):
        drawn = range(distribution.low, distribution.high + 1, distribution.step)
        ticks = {"tickvals": list(drawn)} if len(drawn) <= _FEW_VALUES else {}
    return {"range": span([low, high], 0.06), **ticks}


def importance_figure(importances: Sequence[Importance], label: str) -> Any:
    """Share of each setting in one objective, a bar per way to compute it."""
    order = [field for field, _ in importances[0].shares]
    colors = dict(zip((i.method for i in importances), (COLORS[0], COLORS[1]), strict=False))
    traces = []
    for importance in importances:
        share = dict(importance.shares)
        traces.append(
            {"type": "bar", "x": [share.get(f, 0.0) for f in order],
             "y": [plain(f, 40) for f in order], "orientation": "h", "name": importance.method,
             "legendgroup": importance.method, "marker": {"color": colors[importance.method]},
             "hovertemplate": f"%{{y}}: %{{x:.2f}}<br>{importance.method}, n={importance.n} trials"
                              "<extra></extra>"}
        )  # fmt: skip
    return figure(
        traces,
        height=96 + 40 * len(order),
        span="half",
        keys=[Key(method, method, color) for method, color in colors.items()],
        barmode="group",
        xaxis={"title": {"text": f"share of importance for {label}"}, "rangemode": "tozero"},
        yaxis={"autorange": "reversed", "ticklen": 0, "ticksuffix": " ", "showgrid": False},
    )


def search_curves(curves: Curves, best: Mapping[str, Look], measure: Measure) -> Any:
    """Score on val by epoch, the best trials in colour over the others in grey."""
    others = [line for line in curves.lines if line.trial_id not in best]
    of_best = {line.trial_id: line for line in curves.lines if line.trial_id in best}
    many = len(others) > _MANY_LINES
    x: list[float] = []
    y: list[float] = []
    texts: list[str] = []
    for line in others:
        step = max(1, -(-len(line.x) // _THIN_TO)) if many else 1
        x += [*line.x[::step], math.nan]
        y += [*line.y[::step], math.nan]
        texts += [] if many else [plain(line.trial_id)] * (len(line.x) + 1)
    hover: dict[str, Any] = (
        {"hoverinfo": "skip"}
        if many
        else {"text": texts, "hovertemplate": "%{text}<br>%{x:.0f}: %{y:.4g}<extra></extra>"}
    )
    traces: list[dict[str, Any]] = [
        {"type": "scatter", "x": packed(x), "y": packed(y), "mode": "lines", "name": "other trials",
         "line": {"color": faded(MUTED, 0.2 if many else 0.4), "width": 1}, **hover}
    ]  # fmt: skip
    for trial in reversed(list(best)):
        if trial in of_best:
            line, look = of_best[trial], best[trial]
            traces.append(
                {"type": "scatter", "x": line.x, "y": line.y, "mode": "lines", "legendgroup": trial,
                 "name": plain(trial), "line": {"color": look.color, "width": 2.4},
                 "hovertemplate": f"{plain(trial)} (n=1)<br>%{{x:.0f}}: %{{y:.4g}}<extra></extra>"}
            )  # fmt: skip
    return figure(
        traces,
        height=360,
        keys=[Key(t, t, best[t].color, "line") for t in best if t in of_best],
        xaxis={"title": {"text": "epoch"}, "tickformat": "d", "rangemode": "tozero"},
        yaxis={"title": {"text": f"{measure.label} on val, macro"}},
    )


def hover(trial: SearchTrial) -> str:
    drawn = (f"{plain(f)}={plain(setting(v))}" for f, v in trial.params.items())
    return "<br>".join([f"t{trial.number} ({plain(trial.status)}), n=1", *drawn])
