"""The part of a report that says which arms are no worse than a reference and cheaper at once."""

from collections.abc import Sequence

from segtune.report.evidence.costs.joint_claims import ArmClaims, JointClaim, JointClaims
from segtune.report.evidence.costs.ratios import KINDS
from segtune.report.evidence.differences.margins import margin_text
from segtune.report.page.look import Looks
from segtune.report.page.page import Part
from segtune.report.page.sheet import Cell, Sheet, raw_estimate, raw_header_of
from segtune.report.page.text import DASH, interval, listing, number, p_text, times


def joint_part(found: Sequence[JointClaims], looks: Looks) -> Part | None:
    """The differences of arms beside what they cost, and what is shown of both together; None
    without a margin."""
    if not found:
        return None
    comparison = found[0].comparison
    assert comparison.margin is not None
    time = "time is mean seconds per step"
    if found[0].side_by_side:
        time += (
            ", and nothing is claimed of it: trials ran side by side on a CPU and took time from "
            "each other"
        )
    return Part(
        "No worse and cheaper",
        f"Whether an arm is shown to be no worse than its reference within the margin of "
        f"{margin_text(comparison.margin, comparison.measure)} {comparison.measure.name} and to "
        "take less memory, optimizer state or time. Costs: times the reference's, with a 95 % "
        f"interval over paired seeds; {time}. p: of both claims at once, "
        "the larger of the two one-sided ones, after Holm's correction for all arms and costs "
        "that are held against the same reference. What was counted and not measured, as "
        "optimizer state, has no interval.",
        sheet=_sheet(found, looks),
    )


def _sheet(found: Sequence[JointClaims], looks: Looks) -> Sheet:
    rows, raw = [], []
    several = len(found) > 1
    for joint in found:
        for arm in joint.arms:
            rows.append(_cells(joint, arm, looks, several=several))
            raw += _numbers(joint, arm)
    return Sheet(
        "joint",
        ("arm", found[0].comparison.measure.label, *KINDS, "no worse and cheaper"),
        tuple(rows),
        frozenset(),
        ("arm", "reference", "difference", "cost", *raw_header_of("ratio"), "p_cheaper",
         "p_joint_holm", "holds"),
        tuple(raw),
    )  # fmt: skip


def _cells(joint: JointClaims, arm: ArmClaims, looks: Looks, *, several: bool) -> tuple[Cell, ...]:
    d, digits = arm.difference, joint.comparison.measure.digits
    by_kind = {c.cost: c for c in arm.claims}
    against = f"minus {joint.comparison.baseline}" if several else ""
    return (
        Cell(d.arm, small=against, color=looks[d.arm].color, left=True),
        Cell(number(d.shown.mean, digits, sign=True), small=interval(d.shown, digits, sign=True)),
        *(_cost(by_kind.get(kind)) for kind in KINDS),
        _claimed(arm),
    )


def _cost(claim: JointClaim | None) -> Cell:
    if claim is None:
        return Cell(DASH)
    shown, ends = times(claim.ratio.ratio)
    p = "" if claim.p is None else p_text(claim.p)
    return Cell(f"\u00d7{shown}", small=ends, lower=p, strong=claim.holds)


def _claimed(arm: ArmClaims) -> Cell:
    if arm.cheaper:
        return Cell(f"in {listing([c.cost for c in arm.cheaper])}", left=True, strong=True)
    if not any(c.p is not None for c in arm.claims):
        return Cell("no test", small="too few seeds or patients", left=True)
    no_worse = arm.difference.held is not None and arm.difference.held.no_worse
    small = "no worse, but not cheaper" if no_worse else "not shown to be no worse"
    return Cell("not shown", small=small, left=True)


def _numbers(joint: JointClaims, arm: ArmClaims) -> list[tuple[str | float | int | None, ...]]:
    d = arm.difference
    return [
        (d.arm, joint.comparison.baseline, d.shown.mean, c.cost, *raw_estimate(c.ratio.ratio),
         c.ratio.p_cheaper, c.p, c.holds)
        for c in arm.claims
    ]  # fmt: skip
