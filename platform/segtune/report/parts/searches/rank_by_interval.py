"""Mean score by rank and refresh interval, where both were varied."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from segtune.report.page.look import SEQUENTIAL, Figure, figure
from segtune.report.page.page import Part
from segtune.report.page.text import dotted, number
from segtune.results.measures import Measure
from segtune.results.study_rows import MACRO
from segtune.results.study_scores import StudyScores

RANK, INTERVAL = "method.rank", "method.update_proj_gap"
MOST_LEVELS = 8
"""A setting with more distinct values than these is put into bins of equal ratio."""


@dataclass(frozen=True)
class RankByInterval:
    """Mean score by rank (columns) and refresh interval (rows)."""

    measure: Measure
    split: str
    ranks: tuple[str, ...]
    intervals: tuple[str, ...]
    mean: tuple[tuple[float | None, ...], ...]
    """Row by row; None for a cell without a trial."""
    n: tuple[tuple[int, ...], ...]
    """Trials per cell."""


def rank_by_interval(study: StudyScores, role: str) -> RankByInterval | None:
    """Means over the finished trials of a role at their best epochs.

    Args:
        study: its scores.
        role: `arm`, whose trials were tested, or `search`, whose trials have scores on val.

    Returns:
        None where fewer than two ranks or intervals were tried.
    """
    split = "test" if role == "arm" else "val"
    rows, measure = study.rows, study.measure(study.rows.first_score.metric, split)
    if measure is None:
        return None
    scored = study.values(measure, split)
    tried = []
    finished = rows.of(role, status="finished")
    for trial, changes, config in zip(
        finished["trial_id"], finished["changes"], finished["config"], strict=True
    ):
        value = scored.get((str(trial), MACRO))
        rank, interval = (_setting(changes, config, f) for f in (RANK, INTERVAL))
        if value is not None and math.isfinite(value) and rank is not None and interval is not None:
            tried.append((rank, interval, value))
    ranks = _levels([rank for rank, _, _ in tried])
    intervals = _levels([interval for _, interval, _ in tried])
    if len(ranks) < 2 or len(intervals) < 2:
        return None
    cells = [
        [
            [v for r, i, v in tried if low_r <= r <= high_r and low_i <= i <= high_i]
            for low_r, high_r in ranks
        ]
        for low_i, high_i in intervals
    ]
    return RankByInterval(
        measure,
        split,
        tuple(map(_label, ranks)),
        tuple(map(_label, intervals)),
        tuple(tuple(sum(c) / len(c) if c else None for c in row) for row in cells),
        tuple(tuple(len(c) for c in row) for row in cells),
    )


def _setting(changes: str | None, config: str | None, field: str) -> int | None:
    drawn, whole = (json.loads(text) if pd.notna(text) else {} for text in (changes, config))
    value: Any = drawn[field] if field in drawn else dotted(whole, field)
    counts = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return int(value) if counts else None


def _levels(drawn: Sequence[int]) -> list[tuple[int, int]]:
    """Each value by itself, or bins [low, high] of equal ratio, both ends included."""
    distinct = sorted(set(drawn))
    if len(distinct) <= MOST_LEVELS:
        return [(v, v) for v in distinct]
    ratio = (distinct[-1] / distinct[0]) ** (1 / MOST_LEVELS)
    ends = [distinct[0], *(round(distinct[0] * ratio**k) for k in range(1, MOST_LEVELS))]
    bins = [(a, b - 1) for a, b in zip(ends, [*ends[1:], distinct[-1] + 1], strict=True)]
    return [(a, b) for a, b in bins if b >= a]


def _label(level: tuple[int, int]) -> str:
    low, high = level
    return f"{low}" if low == high else f"{low} to {high}"


def rank_by_interval_figure(found: RankByInterval) -> Figure:
    """A heat map with the number of trials in each cell."""
    digits = found.measure.digits
    texts = [
        ["" if m is None else f"{number(m, digits)}<br>n={n}" for m, n in zip(row, ns, strict=True)]
        for row, ns in zip(found.mean, found.n, strict=True)
    ]
    traces = [
        {"type": "heatmap", "x": list(found.ranks), "y": list(found.intervals), "z": found.mean,
         "text": texts, "texttemplate": "%{text}", "xgap": 2, "ygap": 2,
         "colorscale": SEQUENTIAL, "reversescale": not found.measure.higher_is_better,
         "colorbar": {"thickness": 10, "outlinewidth": 0},
         "hovertemplate": "rank %{x}, refreshed every %{y} steps<br>%{text}<extra></extra>"}
    ]  # fmt: skip
    return figure(
        traces,
        height=150 + 46 * len(found.intervals),
        span="half" if len(found.ranks) <= 5 else "full",
        xaxis={"title": {"text": "rank"}, "type": "category", "showgrid": False, "ticklen": 0},
        yaxis={"title": {"text": "steps between refreshes"}, "type": "category",
               "showgrid": False, "ticklen": 0, "ticksuffix": " "},
    )  # fmt: skip


def rank_by_interval_part(study: StudyScores, role: str) -> Part | None:
    """Rank by refresh interval; None where fewer than two of either were tried."""
    found = rank_by_interval(study, role)
    if found is None:
        return None
    trials = sum(sum(row) for row in found.n)
    return Part(
        "Rank and refresh interval",
        f"Mean {found.measure.label} on {found.split} per cell, n trials in it (n={trials} in "
        "all); empty: not tried. Other settings may differ between cells.",
        figures=((rank_by_interval_figure(found), "Heat map of rank by refresh interval"),),
    )
