"""What a trial costs: time per step by part, and memory."""

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from segtune.report.stats import Estimate, t_interval
from segtune.report.text import dotted
from segtune.results.study_rows import StudyRows

PARTS = ("data", "forward", "backward", "optimizer", "refresh")
MEGABYTE = 1e6


@dataclass(frozen=True)
class Quantity:
    """One kind of cost."""

    key: str
    label: str
    digits: int
    unit: float = 1.0
    """One of what is shown, in what the tables count."""


QUANTITIES = (
    Quantity("trainable", "trainable parameters (million)", 3, 1e6),
    Quantity("state", "optimizer state (MB)", 2, MEGABYTE),
    Quantity("gradients", "gradients (MB)", 2, MEGABYTE),
    Quantity("peak", "peak memory (MB)", 0, MEGABYTE),
    Quantity("seconds", "seconds per step, median", 3),
)
_BY_KEY = {q.key: q for q in QUANTITIES}
_BYTES = {
    "state": "optimizer_state_bytes",
    "gradients": "gradient_bytes",
    "peak": "peak_memory_bytes",
}
OBJECTIVES = {
    "peak_memory_bytes": _BY_KEY["peak"],
    "optimizer_state_bytes": _BY_KEY["state"],
    "trainable_parameters": _BY_KEY["trainable"],
    "seconds_per_step": Quantity("mean", "seconds per step, mean", 3),
}
"""What a search may make small or keep below a limit, by its name in the definition."""
MOST_STEPS = 400
"""Points of a curve over single steps."""


@dataclass(frozen=True)
class Cost:
    """Costs of one arm over its seeds, or of one trial."""

    name: str
    is_baseline: bool
    n: int
    """Trials."""
    values: Mapping[str, Estimate]
    """Key of a quantity -> mean over trials; what was not recorded is left out."""
    parts: Mapping[str, Estimate]
    """Part of a step -> mean seconds per step, mean over trials."""


@dataclass(frozen=True)
class StepCosts:
    """Seconds that the update took (optimizer and refresh), step by step, of one trial."""

    arm: str
    trial_id: str
    steps: tuple[int, ...]
    seconds: tuple[float, ...]
    """Of each bin of steps the longest update."""
    median: float
    """Over all steps but the first."""
    slowest: float
    every: int
    """Steps between two refreshes, as configured."""
    bin: int
    """Steps that one point stands for."""


def quantity(key: str) -> Quantity:
    """A kind of cost by its key."""
    return _BY_KEY[key]


def arm_costs(rows: StudyRows) -> tuple[Cost, ...]:
    """Costs per arm over its finished trials; arms without one are left out."""
    measured, costs = _measured(rows), []
    for arm in rows.arms:
        finished = rows.of("arm", arm=arm, status="finished")
        if len(finished):
            of_arm = measured.loc[finished["trial_id"]]
            costs.append(_cost(arm, of_arm, is_baseline=arm == rows.baseline))
    return tuple(costs)


def objective_costs(rows: StudyRows, metric: str) -> Mapping[str, float]:
    """Trial -> one of `OBJECTIVES`, as it is shown; without trials that did not record it."""
    measured, found = _measured(rows), OBJECTIVES[metric]
    seconds = measured[list(PARTS)].sum(axis=1, min_count=1)
    column = seconds if found.key == "mean" else measured[found.key]
    return {str(trial): float(value) for trial, value in column.dropna().items()}


def trial_costs(rows: StudyRows, role: str = "search") -> Mapping[str, Cost]:
    """Trial id -> costs of that finished trial."""
    measured = _measured(rows)
    return {
        str(trial): _cost(str(trial), measured.loc[[trial]], is_baseline=False)
        for trial in rows.of(role, status="finished")["trial_id"]
    }


def step_costs(rows: StudyRows) -> tuple[StepCosts, ...]:
    """What single steps took, of the first finished trial of each arm that refreshes a basis.

    The first step is left out: it pays for starting up. Which steps refresh is not told by their
    seconds, which are more than zero for every step.
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


@functools.lru_cache(maxsize=2)
def _measured(rows: StudyRows) -> pd.DataFrame:
    """One row per trial: its quantities and its mean seconds per part; NaN is not recorded."""
    seconds = [f"seconds_{p}" for p in PARTS]
    ordered = rows.steps.sort_values(["trial_id", "step"])
    largest = ordered.groupby("trial_id")[[*_BYTES.values()]].max() / MEGABYTE
    # The first step pays for starting up; it counts where it is alone.
    alone = ordered.groupby("trial_id")["step"].transform("size") == 1
    steady = ordered[ordered.duplicated("trial_id") | alone]
    whole = steady[seconds].sum(axis=1, min_count=1).groupby(steady["trial_id"]).median()
    # A mean, not a median: the bases are refreshed once in many steps.
    parts = steady.groupby("trial_id")[seconds].mean()
    measured = pd.DataFrame(
        {
            "trainable": rows.trials.set_index("trial_id")["trainable_parameters"] / 1e6,
            **{key: largest[column] for key, column in _BYTES.items()},
            "seconds": whole,
            **{part: parts[f"seconds_{part}"] for part in PARTS},
        }
    )
    return measured.astype(float)


def _cost(name: str, measured: pd.DataFrame, *, is_baseline: bool) -> Cost:
    def estimates(keys: Iterable[str]) -> dict[str, Estimate]:
        found = {key: t_interval(measured[key].tolist()) for key in keys}
        return {key: estimate for key, estimate in found.items() if estimate is not None}

    quantities = estimates(q.key for q in QUANTITIES)
    return Cost(name, is_baseline, len(measured), quantities, estimates(PARTS))
