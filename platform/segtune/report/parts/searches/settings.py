"""The settings of a search: all of them at once in parallel coordinates, then one by one."""

import math
from dataclasses import dataclass
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from segtune.report.evidence.search_results import SearchResults, SearchTrial
from segtune.report.page.look import (
    FRONT,
    MUTED,
    OTHER,
    Figure,
    Key,
    faded,
    figure,
    log_ticks,
    name,
    packed,
    plain,
    span,
)
from segtune.report.page.page import Part
from segtune.report.page.text import setting
from segtune.report.parts.searches.best_trials import trial_hover

_MANY_LINES = 60
"""With more lines than these, pointing at a line does not say what was drawn."""
_FEW_VALUES = 8
"""An integer setting with at most so many values has a tick at each."""
_QUARTERS = (
    ("worst quarter", "#b9c4d0"), ("third", "#8fb3d9"), ("second", OTHER), ("best quarter", FRONT),
)  # fmt: skip
"""Labels and colours; what is drawn last lies on top."""


@dataclass(frozen=True)
class ParallelLine:
    """One finished trial in parallel coordinates."""

    trial: SearchTrial
    heights: tuple[float | None, ...]
    """From 0 to 1 on the axis of each setting, and on that of the objective; None where the trial
    does not have a setting."""


@dataclass(frozen=True)
class ParallelCoordinates:
    """All finished trials of a search over all its settings."""

    fields: tuple[str, ...]
    quarters: tuple[tuple[ParallelLine, ...], ...]
    """Four, from the worst trials to the best."""
    ends: tuple[tuple[str, str], ...]
    """What is written at the lower and the upper end of each axis."""


def parallel_coordinates(search: SearchResults) -> ParallelCoordinates:
    """The finished trials by the first objective; at least one has a value."""
    sign = 1 if search.objectives[0].maximize else -1
    done = [(t, v) for t in search.trials if t.status == "finished"
            if (v := t.values[0]) is not None]  # fmt: skip
    done.sort(key=lambda pair: sign * pair[1])
    low, high = done[0][1], done[-1][1]
    lines = [
        ParallelLine(
            t,
            (
                *(_height(d, t.params[f]) if f in t.params else None
                  for f, d in search.space.items()),
                0.5 if low == high else (v - low) / (high - low),
            ),
        )
        for t, v in done
    ]  # fmt: skip
    quarters = [lines[i * len(lines) // 4 : (i + 1) * len(lines) // 4] for i in range(4)]
    ends = [*(_ends(d) for d in search.space.values()), (f"{low:.3g}", f"{high:.3g}")]
    return ParallelCoordinates(tuple(search.space), tuple(map(tuple, quarters)), tuple(ends))


def parallel_figure(found: ParallelCoordinates, label: str) -> Figure:
    """One line per finished trial over all settings, coloured by quarter of the first objective.

    Lines of the best quarter lie on top. A trial without a setting (a method that has none) has a
    gap there.
    """
    axes = len(found.fields) + 1
    few = sum(map(len, found.quarters)) <= _MANY_LINES
    traces, keys = [], list[Key]()
    for k, (quarter, (group, color)) in enumerate(zip(found.quarters, _QUARTERS, strict=True)):
        if not quarter:
            continue
        x: list[float | None] = []
        y: list[float | None] = []
        texts: list[str] = []
        for line in quarter:
            x += [*range(axes), None]
            y += [*line.heights, None]
            texts += [trial_hover(line.trial)] * axes + [""] if few else []
        traces.append(
            {"type": "scatter", "x": x, "y": packed([math.nan if v is None else v for v in y]),
             "mode": "lines", "name": group, "legendgroup": group,
             "line": {"color": faded(color, 0.85 if k == 3 else 0.5),
                      "width": 1.6 if k == 3 else 1},
             **({"text": texts, "hovertemplate": "%{text}<extra></extra>"} if texts
                else {"hoverinfo": "skip"})}
        )  # fmt: skip
        keys.insert(0, Key(group, f"{group} (n={len(quarter)})", color, "line"))
    notes = [
        {"x": i, "y": y, "text": plain(end, 12), "showarrow": False, "yshift": shift,
         "font": {"size": 11}}
        for i, pair in enumerate(found.ends)
        for end, y, shift in zip(pair, (0, 1), (-10, 10), strict=True)
    ]  # fmt: skip
    return figure(
        traces,
        height=400,
        keys=keys,
        annotations=notes,
        xaxis={"tickvals": list(range(axes)), "tickfont": {"size": 11}, "ticks": "",
               "ticktext": [*(_two_lines(f) for f in found.fields), f"<b>{label}</b>"],
               "range": [-0.3, axes - 0.7], "gridwidth": 1.5},
        yaxis={"visible": False, "range": [-0.12, 1.1]},
    )  # fmt: skip


def _two_lines(field: str) -> str:
    """A dotted field on two lines, broken before its last part."""
    head, dot, last = field.rpartition(".")
    return f"{plain(head, 22)}{dot}<br>{plain(last, 22)}" if dot else plain(field, 22)


def _height(distribution: BaseDistribution, value: Any) -> float | None:
    """Where a value lies on its axis, from 0 to 1."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices.index(value) / max(1, len(distribution.choices) - 1)
    if not isinstance(distribution, FloatDistribution | IntDistribution):
        return None
    low, high = float(distribution.low), float(distribution.high)
    if low == high:
        return 0.5
    if distribution.log:
        return math.log(value / low) / math.log(high / low)
    return float((value - low) / (high - low))


def _ends(distribution: BaseDistribution) -> tuple[str, str]:
    if isinstance(distribution, CategoricalDistribution):
        return setting(distribution.choices[0]), setting(distribution.choices[-1])
    if isinstance(distribution, FloatDistribution | IntDistribution):
        return setting(distribution.low), setting(distribution.high)
    return "", ""


def slice_figure(search: SearchResults, field: str) -> Figure:
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
        "customdata": [trial_hover(t) for t in there],
        "hovertemplate": "%{customdata}<extra></extra>",
    }  # fmt: skip
    return figure(
        [trace],
        height=250,
        span="third",
        xaxis={"title": {"text": plain(field, 40)}, "nticks": 5, **_axis_type(search, field)},
        yaxis={"title": {"text": search.labels[0]}},
    )


def _axis_type(search: SearchResults, field: str) -> dict[str, Any]:
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


def parallel_part(search: SearchResults) -> Part:
    """All settings at once."""
    title = "All settings at once"
    if not search.space or not search.best(1):
        return Part(title, missing="Needs a search space in study.json and a finished trial.")
    return Part(
        title,
        f"One line per finished trial, through its settings to its {search.axes[0]} at the right; "
        "lines of the best quarter lie on top.",
        figures=(
            (
                parallel_figure(parallel_coordinates(search), search.labels[0]),
                "Parallel coordinates of all settings",
            ),
        ),
    )


def slices_part(search: SearchResults) -> Part:
    """The first objective against each setting."""
    title, n = "Settings", len([t for t in search.trials if t.status == "finished"])
    if not search.space or not search.best(1):
        return Part(title, missing="Needs a search space in study.json and a finished trial.")
    return Part(
        title,
        f"{search.axes[0]} against each searched setting; one mark per finished trial "
        f"(n={n}), darker is later. The other settings differ between marks too.",
        figures=tuple((slice_figure(search, field), f"Score by {field}") for field in search.space),
    )
