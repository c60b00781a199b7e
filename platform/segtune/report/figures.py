"""Figures of an ablation, drawn from computed values.

Each figure is one panel: the page sets panels side by side where there is room. Names of arms,
trials, classes and images come from outside and pass through `plain` or `name`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from segtune.report.agreement import Agreement
from segtune.report.cost import PARTS, Cost, StepCosts
from segtune.report.curves import Curves, Mean
from segtune.report.heat import Heat
from segtune.report.measures import Measure
from segtune.report.paired import Comparison
from segtune.report.perclass import ClassScores
from segtune.report.shift import Shifts
from segtune.report.spread import Spread
from segtune.report.stats import Estimate
from segtune.report.style import (
    MUTED,
    PART_COLORS,
    SEQUENTIAL,
    Key,
    Look,
    Span,
    faded,
    figure,
    name,
    plain,
)
from segtune.report.text import count, interval, number

Looks = Mapping[str, Look]
Figure = Any
"""Plotly's, which has no types."""
_FEW_POINTS = 12
"""Up to here each point of a curve is marked."""
_PLACES = {1: (0.0,), 2: (0.13, -0.17), 3: (0.24, 0.0, -0.2)}
"""Heights of the intervals of one arm, above and below its row."""
_MANY_IMAGES = 120
"""From here on a box shows its outliers only."""


def arm_keys(
    arms: Iterable[str], looks: Looks, labels: Mapping[str, str] | None = None
) -> list[Key]:
    """The legend of some arms."""
    shown = labels or {}
    return [Key(a, shown.get(a, a), looks[a].color, looks[a].symbol) for a in dict.fromkeys(arms)]


def forest(comparison: Comparison, looks: Looks) -> Any:
    """Differences to the baseline: over both in bold, over seeds and over patients lighter."""
    measure, arms = comparison.measure, [d.arm for d in comparison.differences]
    row = {arm: len(arms) - 1 - i for i, arm in enumerate(arms)}
    traces = []
    for d in comparison.differences:
        look, y, patients = looks[d.arm], row[d.arm], d.over_patients
        both = f"{plain(d.arm)}: over seeds and patients, n={d.shown.n} of the fewer"
        seeds = f"{plain(d.arm)}: over {count(d.over_seeds.n, 'seed')}"
        marks = [(d.over_seeds, seeds, "circle-open")]
        if patients is not None:
            limits = Estimate(patients.mean, patients.low, patients.high, patients.patients)
            people, images = count(patients.patients, "patient"), count(patients.images, "image")
            marks.append((limits, f"{plain(d.arm)}: over {people}, {images}", "diamond-open"))
        if d.over_both is not None:
            marks.insert(0, (d.over_both, both, look.symbol))
        for (estimate, said, symbol), place in zip(marks, _PLACES[len(marks)], strict=True):
            strong = estimate is marks[0][0]
            marker = {"color": look.color if strong else faded(look.color, 0.65),
                      "symbol": symbol, "size": 11 if strong else 7}  # fmt: skip
            traces.append(_interval(estimate, y + place, marker, measure, said))
    better = "right is better" if measure.higher_is_better else "left is better"
    return figure(
        traces,
        height=116 + 56 * len(arms),
        span="half",
        keys=[
            Key("", "over seeds and patients", MUTED, "square"),
            Key("", "over seeds", MUTED, "circle-open"),
            Key("", "over patients", MUTED, "diamond-open"),
        ],
        xaxis={
            "title": {
                "text": f"{measure.label}: arm minus {name(comparison.baseline)}<br>{better}"
            },
            "zeroline": True,
            "zerolinewidth": 1.5,
            "nticks": 6,
        },
        yaxis=_named_rows(row),
    )


def _named_rows(row: Mapping[str, int]) -> dict[str, Any]:
    return {
        "tickvals": list(row.values()), "ticktext": [name(a) for a in row],
        "range": [-0.6, len(row) - 0.4], "ticklen": 0, "ticksuffix": " ", "showgrid": False,
    }  # fmt: skip


def _interval(
    estimate: Estimate, y: float, marker: Mapping[str, Any], measure: Measure, said: str
) -> dict[str, Any]:
    digits = measure.digits
    shown = f"{number(estimate.mean, digits, sign=True)} {interval(estimate, digits, sign=True)}"
    return {
        "type": "scatter", "x": [estimate.mean], "y": [y], "mode": "markers", "name": said,
        "error_x": _error(estimate, thickness=2, width=5), "marker": marker,
        "hovertemplate": f"{said}<br>{shown}<extra></extra>",
    }  # fmt: skip


def _error(estimate: Estimate, **look: Any) -> dict[str, Any] | None:
    if estimate.low is None or estimate.high is None:
        return None
    above, below = estimate.high - estimate.mean, estimate.mean - estimate.low
    return {"type": "data", "symmetric": False, "array": [above], "arrayminus": [below], **look}


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
               "range": _limits([e for m in means for e in m.y], measure)},
    )  # fmt: skip


def _limits(estimates: Sequence[Estimate], measure: Measure) -> list[float]:
    """An axis for all means, and for intervals as far as the metric goes.

    With two seeds a t interval may be a hundred times as wide as what the arms differ by.
    """
    means = [e.mean for e in estimates]
    ends = [v for e in estimates for v in (e.low, e.high) if v is not None]
    room = 0.6 * (max(means) - min(means)) or 0.1
    low = max(min(means) - room, min([*means, *ends]))
    high = min(max(means) + room, max([*means, *ends]))
    extra = 0.05 * (high - low) or 0.05
    return [max(0.0, low - extra), min(1.0, high + extra) if measure.is_fraction else high + extra]


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


def class_figure(found: ClassScores, looks: Looks) -> Any:
    """A mark per class and arm with its 95 % t interval over seeds."""
    classes = list(dict.fromkeys(s.class_name for s in found.scores))
    arms = list(dict.fromkeys(s.arm for s in found.scores))
    step = 0.72 / max(1, len(arms))
    traces, digits = [], found.measure.digits
    for s in found.scores:
        if s.estimate is None:
            continue
        look, offset = looks[s.arm], (arms.index(s.arm) - (len(arms) - 1) / 2) * step
        shown = f"{number(s.estimate.mean, digits)} {interval(s.estimate, digits)}"
        traces.append(
            {"type": "scatter", "x": [classes.index(s.class_name) + offset],
             "y": [s.estimate.mean], "mode": "markers", "name": plain(s.arm),
             "legendgroup": s.arm, "error_y": _error(s.estimate, thickness=1.5, width=3),
             "marker": {"color": look.color, "symbol": look.symbol, "size": 9},
             "hovertemplate": f"{plain(s.arm)}, {plain(s.class_name)}<br>{shown}, "
                              f"n={s.estimate.n}<extra></extra>"}
        )  # fmt: skip
    better = "higher" if found.measure.higher_is_better else "lower"
    return figure(
        traces,
        height=360,
        span="half",
        keys=arm_keys((s.arm for s in found.scores if s.estimate is not None), looks),
        xaxis={"tickvals": list(range(len(classes))), "ticktext": [name(c) for c in classes],
               "range": [-0.5, len(classes) - 0.5], "ticks": "", "showgrid": False},
        yaxis={"title": {"text": f"{found.measure.label} on test ({better} is better)"},
               "range": _limits([s.estimate for s in found.scores if s.estimate], found.measure)},
    )  # fmt: skip


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
        yaxis={"title": {"text": "seconds of optimizer and refresh"}, "rangemode": "tozero"},
    )


def heat_figure(heat: Heat) -> Any:
    """Mean score by rank and refresh interval, with the number of trials in each cell."""
    digits = heat.measure.digits
    texts = [
        ["" if m is None else f"{number(m, digits)}<br>n={n}" for m, n in zip(row, ns, strict=True)]
        for row, ns in zip(heat.mean, heat.n, strict=True)
    ]
    traces = [
        {"type": "heatmap", "x": list(heat.ranks), "y": list(heat.intervals), "z": heat.mean,
         "text": texts, "texttemplate": "%{text}", "xgap": 2, "ygap": 2,
         "colorscale": SEQUENTIAL, "reversescale": not heat.measure.higher_is_better,
         "colorbar": {"thickness": 10, "outlinewidth": 0},
         "hovertemplate": "rank %{x}, refreshed every %{y} steps<br>%{text}<extra></extra>"}
    ]  # fmt: skip
    return figure(
        traces,
        height=150 + 46 * len(heat.intervals),
        span="half" if len(heat.ranks) <= 5 else "full",
        xaxis={"title": {"text": "rank"}, "type": "category", "showgrid": False, "ticklen": 0},
        yaxis={"title": {"text": "steps between refreshes"}, "type": "category",
               "showgrid": False, "ticklen": 0, "ticksuffix": " "},
    )  # fmt: skip


def domain_figure(shifts: Shifts, looks: Looks) -> Any:
    """From home (open) to away (filled), one row per arm."""
    measure, arms = shifts.measure, [d.arm for d in shifts.domains]
    row = {arm: len(arms) - 1 - i for i, arm in enumerate(arms)}
    traces: list[dict[str, Any]] = []
    digits = measure.digits
    for d in shifts.domains:
        look, above, below = looks[d.arm], row[d.arm] + 0.12, row[d.arm] - 0.12
        change = (
            f"{number(d.change.mean, digits, sign=True)} {interval(d.change, digits, sign=True)}"
        )
        traces.append(
            {"type": "scatter", "mode": "lines",
             "x": [d.home.mean, d.away.mean], "y": [above, below],
             "line": {"color": faded(look.color, 0.5), "width": 2}, "hoverinfo": "skip"}
        )  # fmt: skip
        for where, e, symbol, y in (
            ("test", d.home, "circle-open", above),
            ("external", d.away, "circle", below),
        ):
            shown = f"{where}: {number(e.mean, digits)} {interval(e, digits)}, n={e.n}"
            traces.append(
                {"type": "scatter", "x": [e.mean], "y": [y], "mode": "markers", "name": where,
                 "error_x": _error(e, thickness=1.2, width=4),
                 "marker": {"color": look.color, "symbol": symbol, "size": 10,
                            "line": {"width": 2}},
                 "hovertemplate": f"{plain(d.arm)}<br>{shown}<br>external minus test: {change}"
                                  "<extra></extra>"}
            )  # fmt: skip
    return figure(
        traces,
        height=96 + 40 * len(arms),
        span="half",
        keys=[Key("", "test", MUTED, "circle-open"), Key("", "external", MUTED, "circle")],
        xaxis={"title": {"text": f"{measure.label}, macro"}, "nticks": 6},
        yaxis=_named_rows(row),
    )


def size_figure(shifts: Shifts, looks: Looks) -> Any:
    """Score by the size of the masks compared."""
    digits = shifts.measure.digits
    traces = [
        {"type": "scatter", "x": s.sizes, "y": [e.mean for e in s.scores],
         "mode": "lines+markers", "name": plain(s.arm), "legendgroup": s.arm,
         "line": {"color": looks[s.arm].color, "dash": looks[s.arm].dash, "width": 2},
         "marker": {"symbol": looks[s.arm].symbol, "size": 8},
         "error_y": {"type": "data", "symmetric": False, "thickness": 1, "width": 3,
                     "array": [0 if e.high is None else e.high - e.mean for e in s.scores],
                     "arrayminus": [0 if e.low is None else e.mean - e.low for e in s.scores]},
         "text": [f"{number(e.mean, digits)} {interval(e, digits)}, n={e.n}" for e in s.scores],
         "hovertemplate": f"{plain(s.arm)} at %{{x}} px<br>%{{text}}<extra></extra>"}
        for s in shifts.sizes
    ]  # fmt: skip
    sizes = sorted({size for s in shifts.sizes for size in s.sizes})
    return figure(
        traces,
        height=340,
        span="half",
        keys=arm_keys((s.arm for s in shifts.sizes), looks),
        xaxis={"title": {"text": "side of the masks (px)"}, "tickvals": sizes},
        yaxis={"title": {"text": f"{shifts.measure.label} on test, macro"}},
    )


def agreement_figure(found: Agreement, look: Look, measure: Measure) -> Any:
    """One mark per image: the baseline's value across, the arm's upwards, equality as a line."""
    ends = [min(*found.of_baseline, *found.of_arm), max(*found.of_baseline, *found.of_arm)]
    room = 0.04 * (ends[1] - ends[0]) or 0.05
    limits = [ends[0] - room, ends[1] + room]
    digits = measure.digits
    traces = [
        {"type": "scatter", "x": limits, "y": limits, "mode": "lines", "hoverinfo": "skip",
         "line": {"color": MUTED, "width": 1, "dash": "dot"}, "showlegend": False},
        {"type": "scatter", "x": found.of_baseline, "y": found.of_arm, "mode": "markers",
         "name": plain(found.arm), "marker": {"color": faded(look.color, 0.7), "size": 7,
                                              "symbol": look.symbol},
         "text": [f"{plain(s)} (patient {plain(p)})<br>{plain(found.baseline)} "
                  f"{number(b, digits)}, {plain(found.arm)} {number(a, digits)}"
                  for s, p, b, a in zip(found.sample_ids, found.patient_ids, found.of_baseline,
                                        found.of_arm, strict=True)],
         "hovertemplate": "%{text}<extra></extra>"},
    ]  # fmt: skip
    return figure(
        traces,
        height=330,
        span="third",
        xaxis={"title": {"text": name(found.baseline)}, "range": limits, "nticks": 6},
        yaxis={"title": {"text": name(found.arm)}, "range": limits, "nticks": 6},
    )


def spread_figure(spreads: Sequence[Spread], looks: Looks, measure: Measure) -> Any:
    """Boxes per class and arm over images, with a point per image where they are few."""
    traces = []
    arms = list(dict.fromkeys(s.arm for s in spreads))
    for arm in arms:
        of_arm = [s for s in spreads if s.arm == arm]
        many = max(len(s.values) for s in of_arm) > _MANY_IMAGES
        traces.append(
            {"type": "box", "x": [name(s.class_name) for s in of_arm for _ in s.values],
             "y": [v for s in of_arm for v in s.values],
             "text": [plain(sample) for s in of_arm for sample in s.sample_ids],
             "name": plain(arm), "legendgroup": arm, "alignmentgroup": "arms", "offsetgroup": arm,
             "boxpoints": "outliers" if many else "all", "jitter": 0.5, "pointpos": 0,
             "marker": {"color": looks[arm].color, "size": 4, "opacity": 0.55},
             "line": {"color": looks[arm].color, "width": 1.5},
             "fillcolor": faded(looks[arm].color, 0.12), "hoveron": "points",
             "hovertemplate": f"{plain(arm)}<br>%{{text}}: %{{y:.3f}}<extra></extra>"}
        )  # fmt: skip
    return figure(
        traces,
        height=420,
        keys=arm_keys(arms, looks),
        boxmode="group",
        boxgap=0.2,
        boxgroupgap=0.15,
        xaxis={"ticks": "", "showgrid": False},
        yaxis={"title": {"text": f"{measure.label} of one test image"}},
    )
