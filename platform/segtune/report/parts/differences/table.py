"""The table of differences: intervals, tests and verdicts; effect sizes in its file."""

from collections.abc import Sequence

from segtune.report.evidence.differences.compare import Comparison, Difference
from segtune.report.evidence.differences.verdicts import SIGNS
from segtune.report.page.look import Look, Looks
from segtune.report.page.sheet import Cell, Sheet, raw_estimate, raw_header_of
from segtune.report.page.text import (
    DASH,
    count,
    interval,
    number,
    p_text,
    p_value,
)
from segtune.report.parts.differences.forest import over_patients
from segtune.report.parts.differences.paper import paper_table
from segtune.results.measures import Measure


def differences_sheet(
    comparisons: Sequence[Comparison],
    looks: Looks,
    file_name: str = "paired",
) -> Sheet:
    """Every difference with its intervals, tests and verdict; effect sizes and what a
    seed and a patient add stand in the file alone."""
    rows, raw = [], []
    several = len({c.baseline for c in comparisons}) > 1
    margins = any(c.margin is not None for c in comparisons)
    alike = any(c.weights == "patients" for c in comparisons)
    for comparison in comparisons:
        for d in comparison.differences:
            against = f"minus {comparison.baseline}" if several else ""
            cells = _cells(d, comparison.measure, looks[d.arm], against)
            numbers = (*_numbers(d), *_spread_numbers(d))
            if margins:
                cells = (*cells[:-1], _held(d, comparison.measure), cells[-1])
                numbers = (*numbers, *_held_numbers(d, comparison.margin))
            rows.append(cells)
            raw.append((comparison.measure.metric, comparison.baseline, d.arm, *numbers))
    return Sheet(
        file_name,
        (
            "metric", "arm", f"difference{', patients alike' * alike}", "95 % over seeds",
            "95 % over patients", "95 % over both", "p (Holm)",
            *(("90 % against the margin",) if margins else ()), "verdict",
        ),
        tuple(rows),
        frozenset(),
        (
            "metric", "baseline", "arm", *raw_header_of("difference"), "p_seeds",
            "patients_low", "patients_high", "patients", "images", "p_patients",
            "both_low", "both_high", "p", "p_holm", "g_seeds", "g_patients", "verdict", "why",
            *_SPLIT, *(_HELD if margins else ()),
        ),
        tuple(raw),
        latex=paper_table(comparisons, file_name),
    )  # fmt: skip


def _cells(d: Difference, measure: Measure, look: Look, against: str) -> tuple[Cell, ...]:
    digits, patients, both = measure.digits, Cell(DASH), Cell(DASH)
    if (found := over_patients(d)) is not None and d.over_patients is not None:
        n = f"{d.over_patients.patients} patients, {d.over_patients.images} images"
        patients = Cell(interval(found[0], digits, sign=True), small=_tested(n, d.p_patients))
    if d.over_both is not None:
        alone = "" if d.p == d.p_holm else " alone"
        both = Cell(interval(d.over_both, digits, sign=True), small=f"{_tested('', d.p)}{alone}")
    return (
        Cell(measure.label, left=True),
        Cell(d.arm, small=against, color=look.color, left=True),
        Cell(number(d.over_seeds.mean, digits, sign=True)),
        Cell(
            interval(d.over_seeds, digits, sign=True),
            small=_tested(count(d.over_seeds.n, "seed"), d.p_seeds),
        ),
        patients,
        both,
        Cell(p_value(d.p_holm)),
        Cell(d.verdict.text, left=True, strong=d.verdict.word in SIGNS),
    )


def _numbers(d: Difference) -> tuple[float | int | str | None, ...]:
    patients, both = d.over_patients, d.over_both
    return (
        *raw_estimate(d.over_seeds), d.p_seeds,
        *((None,) * 4 if patients is None else
          (patients.low, patients.high, patients.patients, patients.images)),
        d.p_patients, *((None, None) if both is None else (both.low, both.high)), d.p, d.p_holm,
        d.effect_seeds, d.effect_patients, d.verdict.word, d.verdict.why,
    )  # fmt: skip


_SPLIT = ("sd_seed", "sd_patient", "sd_interaction")


def _spread_numbers(d: Difference) -> tuple[float | None, ...]:
    if d.spread is None:
        return (None,) * 3
    return d.spread.spread.seed, d.spread.spread.patient, d.spread.spread.rest


_HELD = ("margin", "bounds_low", "bounds_high", "p_no_worse_holm", "p_as_good_holm")


def _held(d: Difference, measure: Measure) -> Cell:
    """The interval that is held against the margin, with both tests' p after Holm."""
    if d.held is None:
        return Cell(DASH)
    return Cell(
        interval(d.held.bounds, measure.digits, sign=True),
        small=f"as good: {p_text(d.held.p_as_good)}",
        lower=f"no worse: {p_text(d.held.p_no_worse)}",
    )


def _held_numbers(d: Difference, margin: float | None) -> tuple[float | None, ...]:
    h = d.held
    if h is None:
        return (margin, None, None, None, None)
    return (h.margin, h.bounds.low, h.bounds.high, h.p_no_worse, h.p_as_good)


def _tested(n: str, p: float | None) -> str:
    return ", ".join(filter(None, [n and f"n={n}", "" if p is None else p_text(p)]))
