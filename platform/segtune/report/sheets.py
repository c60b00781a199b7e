"""Scores and differences as tables of words, for the page and for LaTeX and Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from segtune.report.paired import MARKS, Comparison, Difference
from segtune.report.patients import PatientInterval
from segtune.report.sheet import Cell, Raw, Sheet, estimate_cell, raw_estimate, raw_header_of
from segtune.report.stats import Estimate
from segtune.report.style import Look
from segtune.report.summary import ArmScores, Column, Summary
from segtune.report.text import (
    DASH,
    count,
    interval,
    number,
    p_text,
    p_value,
)
from segtune.results.study_rows import MACRO


def summary_sheet(
    summary: Summary, comparisons: Sequence[Comparison], looks: Mapping[str, Look]
) -> Sheet:
    """Scores per arm."""
    rows, raw = [], []
    best = {c.key: _best(summary, c) for c in summary.columns}
    marks = _marks(comparisons)
    for arm in summary.arms:
        name = Cell(
            arm.arm + (" (baseline)" if arm.is_baseline else ""),
            small=arm.changes,
            color=looks[arm.arm].color,
            left=True,
        )
        cells = [
            replace(
                estimate_cell(arm.values.get(c.key), len(arm.seeds), c.measure.digits),
                paper=_plus_minus(arm.values.get(c.key), c.measure.digits),
                strong=arm.arm in best[c.key],
                mark=marks.get((arm.arm, c.key), ""),
                lower=_patients(arm.patients.get(c.key), c.measure.digits),
            )
            for c in summary.columns
        ]
        rows.append((name, Cell(f"{len(arm.seeds)} of {arm.planned}"), *cells))
        raw.append(
            (
                arm.arm,
                len(arm.seeds),
                *(v for c in summary.columns for v in _raw_score(arm, c.key)),
            )
        )
    return Sheet(
        "summary",
        ("arm", "seeds", *(c.label for c in summary.columns)),
        tuple(rows),
        frozenset(i for i, a in enumerate(summary.arms) if a.is_baseline),
        ("arm", "seeds", *(h for c in summary.columns for h in _raw_score_header(c.key))),
        tuple(raw),
        legend=_legend(summary, bool(marks)),
    )


def _best(summary: Summary, column: Column) -> frozenset[str]:
    """Arms with the best mean, to the last digit shown; none where all have it."""
    found = {a.arm: a.values[column.key].mean for a in summary.arms if column.key in a.values}
    if len(found) < 2:
        return frozenset()
    pick = max if column.measure.higher_is_better else min
    top = number(pick(found.values()), column.measure.digits)
    best = frozenset(arm for arm, v in found.items() if number(v, column.measure.digits) == top)
    return best if len(best) < len(found) else frozenset()


def _marks(comparisons: Sequence[Comparison]) -> dict[tuple[str, str], str]:
    """(Arm, column) -> the mark of a difference that is told from none."""
    return {
        (d.arm, f"{c.measure.metric}_{MACRO}"): MARKS[d.verdict.word]
        for c in comparisons
        for d in c.differences
        if d.verdict.word in MARKS
    }


def _legend(summary: Summary, marked: bool) -> str:
    seeds = sorted({len(a.seeds) for a in summary.arms if a.seeds})
    said = "Mean \u00b1 standard deviation over seeds"
    if seeds:
        said += f" (n = {seeds[0]}{f' to {seeds[-1]}' if len(seeds) > 1 else ''})"
    said += "; bold: best mean of a column, which need not be a difference that is shown"
    if marked:
        better, worse = MARKS["better"], MARKS["worse"]
        said += (
            f"; {better} better, {worse} worse than the baseline (paired over seeds and test "
            "patients, p < 0.05 after Holm's correction)"
        )
    return f"{said}."


def paired_sheet(
    comparisons: Sequence[Comparison], looks: Mapping[str, Look], name: str = "paired"
) -> Sheet:
    """Differences to the baseline."""
    rows, raw = [], []
    for comparison in comparisons:
        digits = comparison.measure.digits
        for d in comparison.differences:
            rows.append(
                (
                    Cell(comparison.measure.label, left=True),
                    Cell(d.arm, color=looks[d.arm].color, left=True),
                    Cell(number(d.over_seeds.mean, digits, sign=True)),
                    Cell(
                        interval(d.over_seeds, digits, sign=True),
                        small=_tested(count(d.over_seeds.n, "seed"), d.p_seeds),
                    ),
                    _over_patients(d, digits),
                    Cell(DASH) if d.over_both is None else Cell(
                        interval(d.over_both, digits, sign=True), small=_tested("", d.p)
                    ),
                    Cell(p_value(d.p_holm)),
                    Cell(
                        number(d.effect_seeds, 2, sign=True),
                        small=f"{number(d.effect_patients, 2, sign=True)} over patients",
                    ),
                    Cell(d.verdict.text, left=True, strong=d.verdict.word in MARKS),
                )
            )  # fmt: skip
            patients, both = d.over_patients, d.over_both
            raw.append(
                (
                    comparison.measure.metric, comparison.baseline, d.arm,
                    *raw_estimate(d.over_seeds), d.p_seeds,
                    *((None,) * 4 if patients is None else
                      (patients.low, patients.high, patients.patients, patients.images)),
                    d.p_patients,
                    *((None, None) if both is None else (both.low, both.high)), d.p, d.p_holm,
                    d.effect_seeds, d.effect_patients, d.verdict.word, d.verdict.why,
                )
            )  # fmt: skip
    return Sheet(
        name,
        (
            "metric", "arm", "difference", "95 % over seeds", "95 % over patients",
            "95 % over both", "p (Holm)", "effect size g over seeds", "verdict",
        ),
        tuple(rows),
        frozenset(),
        (
            "metric", "baseline", "arm", *raw_header_of("difference"), "p_seeds",
            "patients_low", "patients_high", "patients", "images", "p_patients",
            "both_low", "both_high", "p", "p_holm", "g_seeds", "g_patients", "verdict", "why",
        ),
        tuple(raw),
    )  # fmt: skip


def _over_patients(d: Difference, digits: int) -> Cell:
    found = d.over_patients
    if found is None:
        return Cell(DASH)
    limits = Estimate(found.mean, found.low, found.high, found.patients)
    return Cell(
        interval(limits, digits, sign=True),
        small=_tested(f"{found.patients} patients, {found.images} images", d.p_patients),
    )


def _tested(n: str, p: float | None) -> str:
    return ", ".join(filter(None, [n and f"n={n}", "" if p is None else p_text(p)]))


def _patients(found: PatientInterval | None, digits: int) -> str:
    if found is None:
        return ""
    return f"[{number(found.low, digits)}, {number(found.high, digits)}]"


def _plus_minus(estimate: Estimate | None, digits: int) -> str:
    if estimate is None:
        return DASH
    mean = number(estimate.mean, digits)
    return mean if estimate.sd is None else f"{mean} \u00b1 {number(estimate.sd, digits)}"


def _raw_score(arm: ArmScores, key: str) -> tuple[Raw, ...]:
    estimate, patients = arm.values.get(key), arm.patients.get(key)
    limits = (None, None) if patients is None else (patients.low, patients.high)
    return (*raw_estimate(estimate), None if estimate is None else estimate.sd, *limits)


def _raw_score_header(key: str) -> tuple[str, ...]:
    return (*raw_header_of(key), f"{key}_sd", f"{key}_patients_low", f"{key}_patients_high")
