"""Parallel coordinates of a search: one line per trial through all its settings."""

import math
from collections.abc import Sequence
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from segtune.report.figures_search import hover
from segtune.report.search import SearchRows, SearchTrial
from segtune.report.style import FRONT, OTHER, Key, faded, figure, packed, plain
from segtune.report.text import setting

_MANY_LINES = 60
"""Up to here hovering over a line says what was drawn."""


def parallel_figure(search: SearchRows, label: str) -> Any:
    """One line per finished trial over all settings, coloured by quarter of the first objective.

    Lines of the best quarter lie on top. A trial without a setting (a method that has none) has a
    gap there.
    """
    sign = 1 if search.objectives[0].maximize else -1
    done = [(t, v) for t in search.trials if t.status == "finished"
            if (v := t.values[0]) is not None]  # fmt: skip
    done.sort(key=lambda pair: sign * pair[1])
    fields = list(search.space)
    height = {f: _heights(search, f, [t for t, _ in done]) for f in fields}
    low, high = done[0][1], done[-1][1]
    score = {t.trial_id: 0.5 if low == high else (v - low) / (high - low) for t, v in done}
    quarters = [done[i * len(done) // 4 : (i + 1) * len(done) // 4] for i in range(4)]
    colors = ("#b9c4d0", "#8fb3d9", OTHER, FRONT)
    labels = ("worst quarter", "third", "second", "best quarter")
    traces, keys = [], list[Key]()
    for k, (quarter, color, group) in enumerate(zip(quarters, colors, labels, strict=True)):
        if not quarter:
            continue
        x: list[float | None] = []
        y: list[float | None] = []
        texts: list[str] = []
        for t, _ in quarter:
            ys = [height[f].get(t.trial_id) for f in fields]
            x += [*range(len(fields) + 1), None]
            y += [*ys, score[t.trial_id], None]
            texts += [hover(t)] * (len(fields) + 1) + [""] if len(done) <= _MANY_LINES else []
        traces.append(
            {"type": "scatter", "x": x, "y": packed([math.nan if v is None else v for v in y]),
             "mode": "lines", "name": group, "legendgroup": group,
             "line": {"color": faded(color, 0.85 if k == 3 else 0.5),
                      "width": 1.6 if k == 3 else 1},
             **({"text": texts, "hovertemplate": "%{text}<extra></extra>"} if texts
                else {"hoverinfo": "skip"})}
        )  # fmt: skip
        keys.insert(0, Key(group, f"{group} (n={len(quarter)})", color, "line"))
    ends = [*(_field_ends(search, f) for f in fields), (f"{low:.3g}", f"{high:.3g}")]
    notes = [
        {"x": i, "y": y, "text": plain(end, 12), "showarrow": False, "yshift": shift,
         "font": {"size": 11}}
        for i, pair in enumerate(ends)
        for end, y, shift in zip(pair, (0, 1), (-10, 10), strict=True)
    ]  # fmt: skip
    return figure(
        traces,
        height=400,
        keys=keys,
        annotations=notes,
        xaxis={"tickvals": list(range(len(ends))), "tickfont": {"size": 11}, "ticks": "",
               "ticktext": [*(_two_lines(f) for f in fields), f"<b>{label}</b>"],
               "range": [-0.3, len(ends) - 0.7], "gridwidth": 1.5},
        yaxis={"visible": False, "range": [-0.12, 1.1]},
    )  # fmt: skip


def _two_lines(field: str) -> str:
    """A dotted field on two lines, broken before its last part."""
    head, dot, last = field.rpartition(".")
    return f"{plain(head, 22)}{dot}<br>{plain(last, 22)}" if dot else plain(field, 22)


def _heights(
    search: SearchRows, field: str, trials: Sequence[SearchTrial]
) -> dict[str, float | None]:
    """Trial -> place on the field's axis, from 0 to 1."""
    distribution = search.space[field]
    found: dict[str, float | None] = {}
    for t in trials:
        if field not in t.params:
            continue
        value = t.params[field]
        if isinstance(distribution, CategoricalDistribution):
            last = max(1, len(distribution.choices) - 1)
            found[t.trial_id] = distribution.choices.index(value) / last
        elif isinstance(distribution, FloatDistribution | IntDistribution):
            low, high = float(distribution.low), float(distribution.high)
            if low == high:
                found[t.trial_id] = 0.5
            elif distribution.log:
                found[t.trial_id] = math.log(value / low) / math.log(high / low)
            else:
                found[t.trial_id] = (value - low) / (high - low)
    return found


def _field_ends(search: SearchRows, field: str) -> tuple[str, str]:
    distribution = search.space[field]
    if isinstance(distribution, CategoricalDistribution):
        return setting(distribution.choices[0]), setting(distribution.choices[-1])
    if isinstance(distribution, FloatDistribution | IntDistribution):
        return setting(distribution.low), setting(distribution.high)
    return "", ""
