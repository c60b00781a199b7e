"""Figures of an ablation, drawn from computed values."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from segtune.report.cost import PARTS, Cost
from segtune.report.curves import Curves
from segtune.report.measures import Measure
from segtune.report.paired import Comparison
from segtune.report.spread import Spread
from segtune.report.stats import Estimate
from segtune.report.style import MUTED, PART_COLORS, Look, faded, figure
from segtune.report.text import interval, number

Looks = Mapping[str, Look]
_FEW_POINTS = 12
"""Up to here each point of a curve is marked."""
_MANY_IMAGES = 120
"""From here on a box shows its outliers only."""


def forest(comparisons: Sequence[Comparison], looks: Looks) -> Any:
    """Differences to the baseline: intervals over seeds and, lighter, over patients."""
    arms = list(dict.fromkeys(d.arm for c in comparisons for d in c.differences))
    row = {arm: len(arms) - 1 - i for i, arm in enumerate(arms)}
    traces, layout = [], {}
    width = 1 / len(comparisons)
    for k, comparison in enumerate(comparisons):
        axis, measure = str(k + 1) if k else "", comparison.measure
        for d in comparison.differences:
            color, y = looks[d.arm].color, row[d.arm]
            traces.append(
                _interval_trace(d.over_seeds, y + 0.13, color, looks[d.arm].symbol, measure, axis,
                                f"{d.arm}: over {d.over_seeds.n} seeds")
            )  # fmt: skip
            if d.over_patients is not None:
                p = d.over_patients
                traces.append(
                    _interval_trace(Estimate(p.mean, p.low, p.high, p.patients), y - 0.17,
                                    faded(color, 0.55), "diamond-open", measure, axis,
                                    f"{d.arm}: over {p.patients} patients, {p.images} images")
                )  # fmt: skip
        better = "right is better" if measure.higher_is_better else "left is better"
        layout[f"xaxis{axis}"] = {
            "title": {"text": f"{measure.label}, arm minus {comparison.baseline} ({better})"},
            "domain": [k * width + 0.02 * bool(k), (k + 1) * width - 0.02],
            "anchor": f"y{axis}", "zeroline": True, "zerolinecolor": "#555", "zerolinewidth": 1.5,
        }  # fmt: skip
        layout[f"yaxis{axis}"] = {
            "tickvals": list(row.values()), "ticktext": list(row), "range": [-0.6, len(row) - 0.4],
            "showticklabels": k == 0, "anchor": f"x{axis}", "ticklen": 0,
        }  # fmt: skip
    return figure(traces, height=130 + 52 * len(arms), showlegend=False, **layout)


def _interval_trace(
    estimate: Estimate, y: float, color: str, symbol: str, measure: Measure, axis: str, name: str
) -> Any:
    low, high = estimate.low, estimate.high
    error = None
    if low is not None and high is not None:
        error = {"type": "data", "symmetric": False, "array": [high - estimate.mean],
                 "arrayminus": [estimate.mean - low], "thickness": 2, "width": 5}  # fmt: skip
    digits = measure.digits
    shown = f"{number(estimate.mean, digits, sign=True)} {interval(estimate, digits, sign=True)}"
    return go.Scatter(
        x=[estimate.mean], y=[y], error_x=error, mode="markers", name=name,
        xaxis=f"x{axis}", yaxis=f"y{axis}", marker={"color": color, "symbol": symbol, "size": 10},
        hovertemplate=f"{name}<br>{shown}<extra></extra>",
    )  # fmt: skip


def curve_figure(curves: Curves, looks: Looks, x_title: str, y_title: str) -> Any:
    """One thin line per seed and a thick one for the mean of each arm."""
    traces = []
    for line in curves.lines:
        color = MUTED if line.arm is None else looks[line.arm].color
        traces.append(
            go.Scatter(x=line.x, y=line.y, mode="lines", showlegend=False, legendgroup=line.arm,
                       line={"color": faded(color, 0.35), "width": 1}, name=line.trial_id,
                       hovertemplate=f"{line.trial_id}<br>%{{x:.0f}}: %{{y:.4g}}<extra></extra>")
        )  # fmt: skip
    for mean in curves.means:
        look = looks[mean.arm]
        mode = "lines+markers" if max(_all_x(curves)) <= _FEW_POINTS else "lines"
        traces.append(
            go.Scatter(x=mean.x, y=mean.y, mode=mode, name=f"{mean.arm} (n={mean.n})",
                       legendgroup=mean.arm, line={"color": look.color, "width": 2.5},
                       marker={"symbol": look.symbol, "size": 6},
                       hovertemplate=f"{mean.arm}, mean of {mean.n}<br>%{{x:.0f}}: %{{y:.4g}}"
                                     "<extra></extra>")
        )  # fmt: skip
    ticks = {"tickformat": "d", "dtick": 1} if max(_all_x(curves), default=0) <= _FEW_POINTS else {}
    return figure(
        traces,
        height=400,
        xaxis={"title": {"text": x_title}, **ticks},
        yaxis={"title": {"text": y_title}},
    )


def _all_x(curves: Curves) -> list[float]:
    return [x for line in curves.lines for x in line.x]


def time_figure(costs: Sequence[Cost]) -> Any:
    """Mean seconds per step, stacked by part; arms from top to bottom."""
    names = [c.name for c in costs]
    traces = []
    for part in PARTS:
        seconds = [c.parts[part].mean if part in c.parts else math.nan for c in costs]
        traces.append(
            go.Bar(x=seconds, y=names, orientation="h", name=part,
                   marker={"color": PART_COLORS[part]},
                   hovertemplate=f"%{{y}}, {part}<br>%{{x:.4f}} s<extra></extra>")
        )  # fmt: skip
    return figure(
        traces,
        height=110 + 34 * len(names),
        barmode="stack",
        bargap=0.35,
        xaxis={"title": {"text": "mean seconds per step"}},
        yaxis={"autorange": "reversed", "ticklen": 0, "ticksuffix": " "},
        legend={"traceorder": "normal"},
    )


def spread_figure(spreads: Sequence[Spread], looks: Looks, measure: Measure) -> Any:
    """Boxes per class and arm over images, with a point per image where they are few."""
    traces = []
    for arm in dict.fromkeys(s.arm for s in spreads):
        of_arm = [s for s in spreads if s.arm == arm]
        many = max(len(s.values) for s in of_arm) > _MANY_IMAGES
        traces.append(
            go.Box(
                x=[s.class_name for s in of_arm for _ in s.values],
                y=[v for s in of_arm for v in s.values],
                text=[sample for s in of_arm for sample in s.sample_ids],
                name=arm, boxpoints="outliers" if many else "all", jitter=0.5, pointpos=0,
                marker={"color": looks[arm].color, "size": 4, "opacity": 0.55},
                line={"color": looks[arm].color, "width": 1.5},
                fillcolor=faded(looks[arm].color, 0.12),
                hovertemplate=f"{arm}<br>%{{text}}: %{{y:.3f}}<extra></extra>", hoveron="points",
            )
        )  # fmt: skip
    return figure(
        traces,
        height=420,
        boxmode="group",
        boxgap=0.2,
        boxgroupgap=0.15,
        xaxis={"ticks": ""},
        yaxis={"title": {"text": f"{measure.label} of one test image"}},
    )
