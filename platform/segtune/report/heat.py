"""A score over two settings that were varied together."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from segtune.report.text import dotted
from segtune.results.measures import Measure, choose, values
from segtune.results.study_rows import MACRO, StudyRows

RANK, INTERVAL = "method.rank", "method.update_proj_gap"
MOST_LEVELS = 8
"""From more distinct values than these on, a setting is put into bins of equal ratio."""


@dataclass(frozen=True)
class Heat:
    """Mean score by rank (columns) and refresh interval (rows)."""

    measure: Measure
    split: str
    ranks: tuple[str, ...]
    intervals: tuple[str, ...]
    mean: tuple[tuple[float | None, ...], ...]
    """Row by row; None where no trial was."""
    n: tuple[tuple[int, ...], ...]
    """Trials per cell."""


def rank_by_interval(rows: StudyRows, role: str) -> Heat | None:
    """Over the finished trials of a role (`arm`: on test, `search`: on val), at the best epoch.

    Returns:
        None where fewer than two ranks or intervals were tried.
    """
    split = "test" if role == "arm" else "val"
    measure = choose(rows, rows.selects.metric, split)
    if measure is None:
        return None
    scored = values(rows, measure, split)
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
    return Heat(
        measure,
        split,
        tuple(map(_words, ranks)),
        tuple(map(_words, intervals)),
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


def _words(level: tuple[int, int]) -> str:
    low, high = level
    return f"{low}" if low == high else f"{low} to {high}"
