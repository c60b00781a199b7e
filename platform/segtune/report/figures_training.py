"""Figures of training: learning curves, losses, and where a step's seconds go."""

import math
from collections.abc import Sequence
from typing import Any

from segtune.report.cost import PARTS, Cost, StepCosts
from segtune.report.curves import Curves, Mean
from segtune.report.marks import Looks, arm_keys, limits
from segtune.report.style import MUTED, PART_COLORS, Key, Look, Span, faded, figure, name, plain
from segtune.report.text import interval, number
from segtune.results.measures import Measure

_FEW_POINTS = 12
"""Up to here each point of a curve is marked."""


def learning_figure(
    means: Sequence[Mean], looks: Looks, x_title: str, measure: Measure, span: Span
) -> Any:
    """The mean of each arm with the band of its 95 % t interval over seeds."""
    keys = arm_keys((m.arm for m in means), looks, {m.arm: f"{m.arm} (n={m.n})" for m in means})
    return figure(
        [t for m in means for t in _band(m, looks[m.arm], measure.digits)],
        height=380 if span == "full" else 320,
        span=span,
        keys=keys,
        xaxis={"title": {"text": x_title}, "rangemode": "tozero", "nticks": 7},
        yaxis={"title": {"text": f"{measure.label} on val, macro"},
               "range": limits([e for m in means for e in m.y], measure)},
    )  # fmt: skip


def _band(mean: Mean, look: Look, digits: int) -> list[dict[str, Any]]:
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


def loss_figure(curves: Curves, looks: Looks) -> Any:
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


def time_figure(costs: Sequence[Cost]) -> Any:
    """Mean seconds per step, stacked by part; arms from top to bottom."""
    traces = []
    for part in PARTS:
        there = [c.parts.get(part) for c in costs]
        digits = 4
        traces.append(
            {"type": "bar", "x": [math.nan if e is None else e.mean for e in there],
             "y": [name(c.name) for c in costs], "orientation": "h", "name": part,
             "legendgroup": part, "marker": {"color": PART_COLORS[part]},
             "text": ["" if e is None else f"{number(e.mean, digits)} s {interval(e, digits)}, "
                      f"n={e.n}" for e in there], "textposition": "none",
             "hovertemplate": f"%{{y}}, {part}<br>%{{text}}<extra></extra>"}
        )  # fmt: skip
    return figure(
        traces,
        height=84 + 34 * len(costs),
        keys=[Key(p, p, PART_COLORS[p]) for p in PARTS],
        barmode="stack",
        bargap=0.35,
        xaxis={"title": {"text": "mean seconds per step"}},
        yaxis={"autorange": "reversed", "ticklen": 0, "ticksuffix": " ", "showgrid": False},
    )


def update_figure(costs: Sequence[StepCosts], looks: Looks) -> Any:
    """Seconds of each update: refreshes of the basis stand out."""
    traces = [
        {"type": "scatter", "x": c.steps, "y": c.seconds, "mode": "lines", "name": plain(c.arm),
         "legendgroup": c.arm, "line": {"color": looks[c.arm].color, "width": 1.5,
                                              "dash": looks[c.arm].dash},
         "hovertemplate": f"{plain(c.trial_id)}, one trial (n=1)<br>step %{{x}}: %{{y:.4f}} s"
                          "<extra></extra>"}
        for c in costs
    ]  # fmt: skip
    return figure(
        traces,
        height=320,
        keys=arm_keys((c.arm for c in costs), looks),
        xaxis={"title": {"text": "optimizer step"}, "rangemode": "tozero"},
        yaxis={"title": {"text": "seconds of an update"}, "rangemode": "tozero"},
    )
