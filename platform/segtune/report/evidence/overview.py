"""Every arm in a line: its difference, the verdict, and what it costs against the baseline."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from segtune.report.evidence.compare import Comparison, Difference, trials_by_seed
from segtune.report.evidence.estimate import Estimate
from segtune.report.evidence.measured_costs import MeasuredCosts
from segtune.report.evidence.rare_failures import ArmFailures
from segtune.report.evidence.stats import t_interval
from segtune.report.evidence.summary import Summary
from segtune.results.measures import Measure
from segtune.results.study_rows import MACRO, StudyRows

_UNPAIRED = "no seed in common"


@dataclass(frozen=True)
class ArmLine:
    """One arm."""

    arm: str
    is_baseline: bool
    score: Estimate | None
    """Its mean over seeds; None without a tested seed."""
    difference: Difference | None
    """To the baseline; None for the baseline itself, and without a common seed."""
    verdict: str
    """The verdict's word, or why there is none; empty for the baseline."""
    why: str
    """Why one cannot tell, where no test was made, or what a margin adds; empty for nothing."""
    note: str
    """What makes the verdict doubtful, in a few words; empty for nothing."""
    memory: Estimate | None
    """How many times the baseline's memory: geometric mean over seeds with its interval. None
    where it was not recorded, or on other devices than the baseline's."""
    seconds: Estimate | None
    """How many times the baseline's seconds per step, likewise."""
    trainable: float | None
    """Trainable parameters."""


@dataclass(frozen=True)
class Overview:
    """All arms, the baseline first, then from the best to the worst difference."""

    measure: Measure
    baseline: str
    lines: tuple[ArmLine, ...]
    on_cpu: bool
    """Whether memory is weights, gradients and optimizer state: the peak of a process on a CPU is
    mostly the libraries'."""

    @property
    def compared(self) -> Sequence[Difference]:
        """The differences, from the best to the worst."""
        return [line.difference for line in self.lines if line.difference is not None]


def overview(
    rows: StudyRows,
    summary: Summary,
    comparisons: Sequence[Comparison],
    costs: MeasuredCosts,
    failures: Sequence[ArmFailures],
) -> Overview | None:
    """A line for every arm, in the first objective; None where nothing can be compared."""
    if not comparisons or rows.baseline is None:
        return None
    first, notes = comparisons[0], {f.arm: f.note for f in failures}
    differences = {d.arm: d for d in first.differences}
    key = f"{first.measure.metric}_{MACRO}"
    devices = rows.of("arm", status="finished")["device"].dropna()
    on_cpu = bool(len(devices)) and bool(devices.str.startswith("cpu").all())
    parameters = {c.name: c.values["trainable"].mean for c in costs.arms if "trainable" in c.values}
    lines = []
    for arm in summary.arms:
        d, own = differences.get(arm.arm), arm.arm == rows.baseline
        memory, seconds = (
            (None, None)
            if own
            else (
                _ratio(rows, costs, arm.arm, k) for k in ("held" if on_cpu else "peak", "seconds")
            )
        )
        waiting = _UNPAIRED if arm.seeds else "not finished"
        lines.append(
            ArmLine(
                arm.arm,
                own,
                arm.values.get(key),
                d,
                "" if own else waiting if d is None else d.verdict.word,
                "" if d is None else d.verdict.why if d.p is None else d.verdict.note,
                notes.get(arm.arm, ""),
                memory,
                seconds,
                parameters.get(arm.arm),
            )
        )
    sign = 1 if first.measure.higher_is_better else -1

    def place(line: ArmLine) -> tuple[bool, bool, float]:
        d = line.difference
        return not line.is_baseline, d is None, 0.0 if d is None else -sign * d.shown.mean

    return Overview(first.measure, rows.baseline, tuple(sorted(lines, key=place)), on_cpu)


def _ratio(rows: StudyRows, costs: MeasuredCosts, arm: str, key: str) -> Estimate | None:
    """An arm's cost by the baseline's within each seed: geometric mean and t interval of it.

    None where a pair ran on different devices or numbers of workers: these are not comparable.
    """
    own, base = (trials_by_seed(rows, a) for a in (arm, rows.baseline or ""))
    trials = rows.trials.set_index("trial_id")
    pairs = [(own[s], base[s]) for s in sorted(set(own) & set(base))]
    conditions = trials[["device", "workers"]]
    if any(conditions.loc[list(pair)].astype(str).nunique().max() > 1 for pair in pairs):
        return None
    value = {str(t): float(v) for t, v in costs.by_trial[key].items()}
    ratios = [np.log(value[a] / value[b]) for a, b in pairs if value[a] > 0 and value[b] > 0]
    found = t_interval([float(r) for r in ratios])
    if found is None:
        return None
    ends = [None if v is None else float(np.exp(v)) for v in (found.low, found.high)]
    return replace(found, mean=float(np.exp(found.mean)), low=ends[0], high=ends[1], sd=None)
