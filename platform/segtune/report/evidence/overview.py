"""Every arm in a line: its difference, the verdict, and what it costs against the baseline."""

from collections.abc import Sequence
from dataclasses import dataclass

from segtune.report.evidence.costs.measured import MeasuredCosts
from segtune.report.evidence.costs.ratios import CostRatio, cost_ratios
from segtune.report.evidence.differences.compare import Comparison, Difference
from segtune.report.evidence.estimate import Estimate
from segtune.report.evidence.failures.rare_failures import ArmFailures
from segtune.report.evidence.summary import Summary
from segtune.results.measures import Measure
from segtune.results.study_rows import MACRO, StudyRows

_UNPAIRED = "no seed scored in both"


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
    """How many times the baseline's mean seconds per step, likewise."""
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
    side_by_side: bool
    """Whether trials took time from each other, so that ratios of seconds have no interval."""

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
    parameters = {c.name: c.values["trainable"].mean for c in costs.arms if "trainable" in c.values}
    lines = []
    for arm in summary.arms:
        d, own = differences.get(arm.arm), arm.arm == rows.baseline
        ratios = {} if own else cost_ratios(rows, costs, arm.arm, rows.baseline)
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
                _estimate(ratios.get("memory")),
                _estimate(ratios.get("time")),
                parameters.get(arm.arm),
            )
        )
    sign = 1 if first.measure.higher_is_better else -1

    def place(line: ArmLine) -> tuple[bool, bool, float]:
        d = line.difference
        return not line.is_baseline, d is None, 0.0 if d is None else -sign * d.shown.mean

    return Overview(
        first.measure,
        rows.baseline,
        tuple(sorted(lines, key=place)),
        costs.on_cpu,
        costs.side_by_side,
    )


def _estimate(found: CostRatio | None) -> Estimate | None:
    return None if found is None else found.ratio
