"""No worse and cheaper at once: what a saving is worth that costs no score.

A claim of two parts holds where both hold, so both must be shown: its p value is the larger of the
two one-sided ones, and needs no correction for there being two (an intersection-union test). Holm's
correction is for all arms and kinds of costs that are held against the same reference, in the
primary endpoint alone. These claims are a family of their own: of studies in which none of them is
true, at most 5 % make one.

Source: intersection-union test: Berger, Technometrics 24 (1982), 295-300.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from segtune.report.evidence.costs.measured import MeasuredCosts
from segtune.report.evidence.costs.ratios import CostKind, CostRatio, cost_ratios
from segtune.report.evidence.differences.compare import Comparison, Difference
from segtune.report.evidence.stats import ALPHA, holm
from segtune.report.page.text import p_text, times
from segtune.results.study_rows import StudyRows


@dataclass(frozen=True)
class JointClaim:
    """That an arm is no worse than its reference within the margin, and cheaper in one kind."""

    cost: CostKind
    ratio: CostRatio
    p: float | None
    """After Holm's correction; None where either part has no test."""

    @property
    def holds(self) -> bool:
        """Whether it is shown."""
        return self.p is not None and self.p < ALPHA


@dataclass(frozen=True)
class ArmClaims:
    """The claims of one arm."""

    difference: Difference
    claims: tuple[JointClaim, ...]

    @property
    def cheaper(self) -> list[JointClaim]:
        """Those that are shown."""
        return [c for c in self.claims if c.holds]


@dataclass(frozen=True)
class JointClaims:
    """All arms that are held against one reference, in the primary endpoint."""

    comparison: Comparison
    arms: tuple[ArmClaims, ...]
    side_by_side: bool
    """Whether trials took time from each other, so that nothing is claimed of time."""


def joint_claims(
    rows: StudyRows,
    costs: MeasuredCosts,
    comparisons: Sequence[Comparison],
    contrasts: Sequence[Comparison],
) -> tuple[JointClaims, ...]:
    """The claims against the baseline, and against the references of declared pairs.

    Empty where the study says no margin in its first objective, or no costs were recorded.
    """
    primary = [*comparisons[:1], *(c for c in contrasts if c.measure == contrasts[0].measure)]
    found = [_of(rows, costs, c) for c in primary if c.margin is not None]
    return tuple(claims for claims in found if any(arm.claims for arm in claims.arms))


def joint_p(
    parts: Sequence[tuple[float | None, float | None]],
) -> tuple[float | None, ...]:
    """The p values of claims of two parts each, after Holm's correction across them.

    Args:
        parts: p values of both parts, one-sided; None where a part has no test.
    """
    return holm([None if p is None or q is None else max(p, q) for p, q in parts])


def _of(rows: StudyRows, costs: MeasuredCosts, comparison: Comparison) -> JointClaims:
    parts = [
        (d, kind, ratio, (_no_worse(d, comparison), ratio.p_cheaper))
        for d in comparison.differences
        for kind, ratio in cost_ratios(rows, costs, d.arm, comparison.baseline).items()
    ]
    claims: dict[str, list[JointClaim]] = {d.arm: [] for d in comparison.differences}
    for (d, kind, ratio, _), p in zip(parts, joint_p([p for *_, p in parts]), strict=True):
        claims[d.arm].append(JointClaim(kind, ratio, p))
    arms = tuple(ArmClaims(d, tuple(claims[d.arm])) for d in comparison.differences)
    return JointClaims(comparison, arms, costs.side_by_side)


def _no_worse(d: Difference, comparison: Comparison) -> float | None:
    """One-sided: against the arm being worse by the margin or more."""
    if d.crossed is None or comparison.margin is None:
        return None
    if comparison.measure.higher_is_better:
        return d.crossed.p_above(-comparison.margin)
    return d.crossed.p_below(comparison.margin)


def claim_text(claim: JointClaim) -> str:
    """A claim that is shown, in words: `in time (×0.71 [0.65, 0.78], p=0.013)`."""
    assert claim.p is not None
    shown, ends = times(claim.ratio.ratio)
    words = " ".join(filter(None, [f"\u00d7{shown}", ends]))
    return f"in {claim.cost} ({words}, {p_text(claim.p)})"
