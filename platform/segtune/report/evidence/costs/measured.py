"""What trials cost: parameters, memory, and time per step by part."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from segtune.report.evidence.estimate import Estimate
from segtune.report.evidence.stats import t_interval
from segtune.results.study_rows import StudyRows
from segtune.study.costs import PARTS, steady

MEGABYTE = 1e6


@dataclass(frozen=True)
class Quantity:
    """One kind of cost."""

    key: str
    label: str
    digits: int
    unit: float = 1.0
    """How many of what the tables count make one of what is shown."""


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
"""Costs that a search may minimize or limit, by their names in the definition."""


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


@dataclass(frozen=True, eq=False)
class MeasuredCosts:
    """The costs of a study's trials and arms."""

    by_trial: pd.DataFrame
    """One row per trial: its quantities, what weights, gradients and optimizer state take together
    (`held`, MB), and its mean seconds per part; NaN is not recorded."""
    arms: tuple[Cost, ...]
    """Per arm over its finished trials, without arms that have none."""
    on_cpu: bool
    """Whether all trials of arms ran on a CPU, where the peak of a process is mostly the
    libraries'."""
    side_by_side: bool
    """Whether trials ran on a CPU at the same time. They took time from each other, and often the
    same two arms in every seed: what that adds to an arm's seconds does not average out over
    seeds."""

    def of_trials(self, trials: Iterable[str]) -> Mapping[str, Cost]:
        """Trial -> its costs."""
        return {t: _cost(t, self.by_trial.loc[[t]], is_baseline=False) for t in trials}

    def objective(self, metric: str) -> Mapping[str, float]:
        """Trial -> one of `OBJECTIVES`, in the unit shown; without trials that lack it."""
        quantity_, parts = OBJECTIVES[metric], self.by_trial[list(PARTS)]
        whole = quantity_.key == "mean"
        column = parts.sum(axis=1, min_count=1) if whole else self.by_trial[quantity_.key]
        return {str(trial): float(value) for trial, value in column.dropna().items()}


def quantity(key: str) -> Quantity:
    """A kind of cost by its key."""
    return _BY_KEY[key]


def measure_costs(rows: StudyRows) -> MeasuredCosts:
    """Read the costs off the recorded steps and the trials' numbers of parameters."""
    by_trial, arms = _by_trial(rows), []
    for arm in rows.arms:
        finished = rows.of("arm", arm=arm, status="finished")
        if len(finished):
            of_arm = by_trial.loc[finished["trial_id"]]
            arms.append(_cost(arm, of_arm, is_baseline=arm == rows.baseline))
    return MeasuredCosts(by_trial, tuple(arms), _on_cpu(rows), ran_side_by_side(rows))


def ran_side_by_side(rows: StudyRows) -> bool:
    """Whether trials ran on a CPU at the same time: see `MeasuredCosts.side_by_side`."""
    return _on_cpu(rows) and _overlapped(rows)


def _on_cpu(rows: StudyRows) -> bool:
    devices = rows.of("arm", status="finished")["device"].dropna()
    return bool(len(devices)) and bool(devices.str.startswith("cpu").all())


def _overlapped(rows: StudyRows) -> bool:
    """Whether a trial began before an earlier one had ended."""
    ran = rows.trials[["started", "ended"]].dropna().sort_values("started")
    return bool((ran["started"] < ran["ended"].cummax().shift()).any())


def _by_trial(rows: StudyRows) -> pd.DataFrame:
    seconds = [f"seconds_{p}" for p in PARTS]
    largest = rows.steps.groupby("trial_id")[[*_BYTES.values(), "weights_bytes"]].max() / MEGABYTE
    counted = steady(rows.steps)
    whole = counted[seconds].sum(axis=1, min_count=1).groupby(counted["trial_id"]).median()
    # The mean and not the median, which would miss refreshes: few steps have one.
    parts = counted.groupby("trial_id")[seconds].mean()
    measured = pd.DataFrame(
        {
            "trainable": rows.trials.set_index("trial_id")["trainable_parameters"] / 1e6,
            **{key: largest[column] for key, column in _BYTES.items()},
            "held": largest["weights_bytes"]
            + largest["gradient_bytes"]
            + largest["optimizer_state_bytes"],
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
