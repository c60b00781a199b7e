"""What a trial costs: time per step by part, and memory."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from segtune.report.load import StudyRows
from segtune.report.stats import Estimate, t_interval

PARTS = ("data", "forward", "backward", "optimizer", "refresh")
MEGABYTE = 1e6


@dataclass(frozen=True)
class Quantity:
    """One kind of cost."""

    key: str
    label: str
    digits: int


QUANTITIES = (
    Quantity("trainable", "trainable parameters (million)", 3),
    Quantity("state", "optimizer state (MB)", 2),
    Quantity("gradients", "gradients (MB)", 2),
    Quantity("peak", "peak memory (MB)", 0),
    Quantity("seconds", "seconds per step, median", 3),
)
_BY_KEY = {q.key: q for q in QUANTITIES}


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


def quantity(key: str) -> Quantity:
    """A kind of cost by its key."""
    return _BY_KEY[key]


def arm_costs(rows: StudyRows) -> tuple[Cost, ...]:
    """Costs per arm over its finished trials; arms without one are left out."""
    costs = []
    for arm in rows.arms:
        finished = rows.of("arm", arm=arm, status="finished")
        if len(finished):
            costs.append(_cost(rows, arm, finished, arm == rows.baseline))
    return tuple(costs)


def trial_costs(rows: StudyRows, role: str = "search") -> Mapping[str, Cost]:
    """Trial id -> costs of that finished trial."""
    finished = rows.of(role, status="finished")
    return {
        str(trial): _cost(rows, str(trial), finished[finished["trial_id"] == trial], False)
        for trial in finished["trial_id"]
    }


def steady_steps(steps: pd.DataFrame) -> pd.DataFrame:
    """Steps of one trial but the first, which pays for start-up; the first where it is alone."""
    ordered = steps.sort_values("step")
    return ordered.iloc[1:] if len(ordered) > 1 else ordered


def _cost(rows: StudyRows, name: str, trials: pd.DataFrame, is_baseline: bool) -> Cost:
    collected: dict[str, list[float]] = {q.key: [] for q in QUANTITIES}
    parts: dict[str, list[float]] = {p: [] for p in PARTS}
    for trial, trainable in zip(trials["trial_id"], trials["trainable_parameters"], strict=True):
        collected["trainable"].append(float(trainable) / 1e6)
        steps = rows.steps[rows.steps["trial_id"] == trial]
        if steps.empty:
            continue
        collected["state"].append(float(steps["optimizer_state_bytes"].max()) / MEGABYTE)
        collected["gradients"].append(float(steps["gradient_bytes"].max()) / MEGABYTE)
        collected["peak"].append(float(steps["peak_memory_bytes"].max()) / MEGABYTE)
        timed = steady_steps(steps)[[f"seconds_{p}" for p in PARTS]]
        collected["seconds"].append(float(timed.sum(axis=1, min_count=1).median()))
        for part in PARTS:
            # A mean, not a median: the bases are refreshed once in many steps.
            parts[part].append(float(timed[f"seconds_{part}"].mean()))
    return Cost(name, is_baseline, len(trials), _estimates(collected), _estimates(parts))


def _estimates(collected: Mapping[str, list[float]]) -> dict[str, Estimate]:
    found = {key: t_interval(numbers) for key, numbers in collected.items()}
    return {key: estimate for key, estimate in found.items() if estimate is not None}
