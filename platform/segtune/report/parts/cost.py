"""What arms cost: time per step, refreshes of the basis, parameters and memory."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from segtune.report.evidence.costs.measured import QUANTITIES, Cost, MeasuredCosts, quantity
from segtune.report.evidence.estimate import Estimate
from segtune.report.page.look import (
    PART_COLORS,
    Figure,
    Key,
    Looks,
    arm_keys,
    figure,
    name,
    plain,
)
from segtune.report.page.page import Part
from segtune.report.page.sheet import Cell, Sheet, estimate_cell, raw_estimate, raw_header_of
from segtune.report.page.text import dotted, interval, number, range_text
from segtune.results.study_rows import StudyRows
from segtune.study.costs import PARTS

MOST_STEPS = 400
"""Most points of a curve over single steps."""
_NARROW = "No interval is written where it is narrower than the last digit."


@dataclass(frozen=True)
class StepCosts:
    """Seconds of each update of one trial: its optimizer step and its refresh."""

    arm: str
    trial_id: str
    steps: tuple[int, ...]
    seconds: tuple[float, ...]
    """The longest update of each bin of steps."""
    median: float
    """Over all steps but the first."""
    slowest: float
    every: int
    """Steps between two refreshes, as configured."""
    bin: int
    """Steps per bin; each bin is one point."""


def step_costs(rows: StudyRows) -> tuple[StepCosts, ...]:
    """Single updates of the first finished trial of each arm that refreshes a basis.

    The first step is left out: it includes starting up. The refresh interval is read from the
    configuration, since the recorded seconds of a refresh are above zero in every step.
    """
    found = []
    for arm in rows.arms:
        finished = rows.of("arm", arm=arm, status="finished")
        finished = finished[finished["trial_id"].isin(rows.steps["trial_id"])]
        if finished.empty:
            continue
        trial, config = str(finished["trial_id"].iloc[0]), finished["config"].iloc[0]
        every = dotted(json.loads(config), "method.update_proj_gap") if pd.notna(config) else None
        steps = rows.steps[rows.steps["trial_id"] == trial].sort_values("step").iloc[1:]
        update = (steps["seconds_optimizer"] + steps["seconds_refresh"]).dropna()
        if not isinstance(every, int) or update.empty:
            continue
        # The largest of each bin: a thinned curve must not lose the refreshes that it is about.
        width = max(1, -(-len(update) // MOST_STEPS))
        highest = update.groupby(np.arange(len(update)) // width).idxmax()
        x = tuple(int(s) for s in steps.loc[highest, "step"])
        y = tuple(float(s) for s in update.loc[highest])
        median, slowest = float(update.median()), float(update.max())
        found.append(StepCosts(arm, trial, x, y, median, slowest, every, width))
    return tuple(found)


def time_figure(costs: Sequence[Cost]) -> Figure:
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


def refreshes_figure(costs: Sequence[StepCosts], looks: Looks) -> Figure:
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


def memory_sheet(costs: Sequence[Cost], looks: Looks) -> Sheet:
    """Trainable parameters and bytes per arm."""
    shown = [q for q in QUANTITIES if q.key != "seconds"]
    columns = [(q.key, q.label, q.digits) for q in shown]
    return _cost_sheet("memory", costs, looks, columns, [c.values for c in costs])


def time_sheet(costs: Sequence[Cost], looks: Looks) -> Sheet:
    """Seconds per step of each arm: of whole steps, then of their parts."""
    whole = quantity("seconds")
    columns = [
        (whole.key, whole.label, whole.digits),
        *((f"seconds_{p}", f"{p}, mean", whole.digits) for p in PARTS),
    ]
    parts = [{f"seconds_{p}": e for p, e in c.parts.items()} for c in costs]
    found = [{**c.values, **p} for c, p in zip(costs, parts, strict=True)]
    return _cost_sheet("time", costs, looks, columns, found)


def _cost_sheet(
    name: str,
    costs: Sequence[Cost],
    looks: Looks,
    columns: Sequence[tuple[str, str, int]],
    found: Sequence[Mapping[str, Estimate]],
) -> Sheet:
    rows, raw = [], []
    for cost, estimates in zip(costs, found, strict=True):
        cells = [estimate_cell(estimates.get(key), cost.n, digits) for key, _, digits in columns]
        arm = Cell(cost.name, color=looks[cost.name].color, left=True)
        rows.append((arm, Cell(str(cost.n)), *cells))
        raw.append(
            (cost.name, cost.n, *(v for k, _, _ in columns for v in raw_estimate(estimates.get(k))))
        )
    return Sheet(
        name,
        ("arm", "seeds", *(label for _, label, _ in columns)),
        tuple(rows),
        frozenset(i for i, c in enumerate(costs) if c.is_baseline),
        ("arm", "seeds", *(h for key, _, _ in columns for h in raw_header_of(key))),
        tuple(raw),
    )


def time_part(costs: MeasuredCosts, looks: Looks) -> Part:
    """What the steps of each arm take, by part."""
    title, timed = "Time per step", [c for c in costs.arms if c.parts]
    if not timed:
        return Part(title, missing="No finished trial has recorded steps yet.")
    n = range_text([c.n for c in timed], "seed")
    return Part(
        title,
        "Bars: mean seconds of one optimizer step by part, the first step of each trial left out. "
        "Table: mean over seeds and its 95 % t interval; the median is of whole steps, parts are "
        f"means. {_NARROW} Per arm {n}.",
        figures=((time_figure(timed), "Stacked bars of seconds per step by part"),),
        sheet=time_sheet(timed, looks),
    )


def memory_part(rows: StudyRows, costs: MeasuredCosts, looks: Looks) -> Part:
    """What each arm trains and keeps in memory."""
    title, measured = "Parameters and memory", [c for c in costs.arms if c.values]
    if not measured:
        return Part(title, missing="No trial has finished yet.")
    n = range_text([c.n for c in measured], "seed")
    return Part(
        title,
        f"Mean over seeds and its 95 % t interval, per worker. {_NARROW} Per arm {n}. "
        f"{_peak(rows)}",
        sheet=memory_sheet(measured, looks),
    )


def _peak(rows: StudyRows) -> str:
    """What peak memory means on the devices of the trials."""
    devices = rows.of("arm", status="finished")["device"].dropna()
    if len(devices) and devices.str.startswith("cpu").all():
        return (
            "These trials ran on a CPU: peak memory is the largest resident size of the whole "
            "process so far, which hides differences between small networks."
        )
    return "Peak memory: most bytes allocated on the device (on a CPU: resident size)."


def refreshes_part(rows: StudyRows, looks: Looks) -> Part | None:
    """What a refresh of the basis costs, step by step; None where no arm refreshes one."""
    found = step_costs(rows)
    if not found:
        return None
    arms = [
        f"{c.arm} every {c.every} steps (median update {c.median:.4f} s, slowest {c.slowest:.4f} s)"
        for c in found
    ]
    bins = max(c.bin for c in found)
    return Part(
        "Refreshes",
        "Seconds of each update of the first finished trial of an arm (n=1), optimizer and refresh "
        "together, without the first step"
        f"{f'; of every {bins} steps the slowest is drawn' * (bins > 1)}. "
        f"Refreshed: {'; '.join(arms)}.",
        figures=(
            (
                refreshes_figure(found, looks),
                "Seconds of each update; refreshes stand out",
            ),
        ),
    )
