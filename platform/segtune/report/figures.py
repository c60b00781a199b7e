"""Figures of scores: by class, by image, by rank and refresh interval.

Each figure is one panel: the page sets panels side by side where there is room.
"""

from collections.abc import Sequence
from typing import Any

from segtune.report.agreement import Agreement
from segtune.report.heat import Heat
from segtune.report.marks import Looks, arm_keys, error_bar, limits
from segtune.report.perclass import ClassScores
from segtune.report.spread import Spread
from segtune.report.style import MUTED, SEQUENTIAL, Look, faded, figure, name, plain
from segtune.report.text import interval, number
from segtune.results.measures import Measure

_MANY_IMAGES = 120
"""From here on a box shows its outliers only."""


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
             "legendgroup": s.arm, "error_y": error_bar(s.estimate, thickness=1.5, width=3),
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
               "range": limits([s.estimate for s in found.scores if s.estimate], found.measure)},
    )  # fmt: skip


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


def agreement_figure(found: Agreement, look: Look, measure: Measure) -> Any:
    """One mark per image: the baseline's value across, the arm's upwards, equality as a line."""
    ends = [min(*found.of_baseline, *found.of_arm), max(*found.of_baseline, *found.of_arm)]
    room = 0.04 * (ends[1] - ends[0]) or 0.05
    both_axes = [ends[0] - room, ends[1] + room]
    digits = measure.digits
    traces = [
        {"type": "scatter", "x": both_axes, "y": both_axes, "mode": "lines", "hoverinfo": "skip",
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
        xaxis={"title": {"text": name(found.baseline)}, "range": both_axes, "nticks": 6},
        yaxis={"title": {"text": name(found.arm)}, "range": both_axes, "nticks": 6},
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
