"""How many times a reference's memory, optimizer state and seconds an arm takes, seed by seed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import pandas as pd
from scipy import stats

from segtune.report.evidence.costs.measured import MeasuredCosts
from segtune.report.evidence.differences.compare import trials_by_seed
from segtune.report.evidence.estimate import Estimate
from segtune.report.evidence.stats import MIN_SEEDS, Values, t_interval, varies
from segtune.results.study_rows import StudyRows
from segtune.study.costs import PARTS

CostKind = Literal["memory", "optimizer state", "time"]
KINDS: tuple[CostKind, ...] = get_args(CostKind)


@dataclass(frozen=True)
class CostRatio:
    """An arm's cost by the reference's."""

    ratio: Estimate
    """Geometric mean over paired seeds and its 95 % t interval; without the interval where seeds
    did not measure independently."""
    p_cheaper: float | None
    """One-sided: against the arm costing as much or more. A cost that every seed has alike was
    counted and not measured: 0 or 1. None for fewer than 3 seeds, and where seeds did not measure
    independently."""


def cost_ratios(
    rows: StudyRows, costs: MeasuredCosts, arm: str, reference: str
) -> Mapping[CostKind, CostRatio]:
    """Costs of an arm against those of a reference, paired by seed.

    Memory is the peak on the device; on a CPU, where the peak of a process is mostly the
    libraries', it is weights, gradients and optimizer state. Time is the mean of all steps but the
    first: a median would miss refreshes of a basis. Seconds of trials that ran side by side
    (`MeasuredCosts.side_by_side`) have neither an interval nor a test.

    Returns:
        Kind -> ratio, without those that were not recorded, or are 0 on one side. Empty where a
        pair ran on different devices or numbers of workers: these cannot be compared.
    """
    own, base = (trials_by_seed(rows, name) for name in (arm, reference))
    pairs = [(own[s], base[s]) for s in sorted(own.keys() & base.keys())]
    conditions = rows.trials.set_index("trial_id")[["device", "workers"]].astype(str)
    if not pairs or any(conditions.loc[list(pair)].nunique().max() > 1 for pair in pairs):
        return {}
    values: dict[CostKind, pd.Series] = {
        "memory": costs.by_trial["held" if costs.on_cpu else "peak"],
        "optimizer state": costs.by_trial["state"],
        "time": costs.by_trial[list(PARTS)].sum(axis=1, min_count=1),
    }
    ones, others = (list(side) for side in zip(*pairs, strict=True))
    found = {}
    for kind, by_trial in values.items():
        a, b = by_trial.loc[ones].to_numpy(float), by_trial.loc[others].to_numpy(float)
        there = (a > 0) & (b > 0)
        if there.any():
            ratio = ratio_over_seeds(np.log(a[there] / b[there]))
            alone = kind != "time" or not costs.side_by_side
            found[kind] = ratio if alone else _untested(ratio)
    return found


def _untested(found: CostRatio) -> CostRatio:
    return CostRatio(replace(found.ratio, low=None, high=None), None)


def ratio_over_seeds(logs: Values) -> CostRatio:
    """The ratio whose logarithm was measured with each seed, (seeds,)."""
    mean = t_interval(logs.tolist())
    assert mean is not None
    low, high = (None if v is None else float(np.exp(v)) for v in (mean.low, mean.high))
    ratio = replace(mean, mean=float(np.exp(mean.mean)), low=low, high=high, sd=None)
    if logs.size < MIN_SEEDS:
        return CostRatio(ratio, None)
    if not varies(logs):
        return CostRatio(ratio, 0.0 if mean.mean < 0 else 1.0)
    return CostRatio(ratio, float(stats.ttest_1samp(logs, 0.0, alternative="less").pvalue))
