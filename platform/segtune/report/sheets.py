"""Computed values as tables of words, for the page and for LaTeX and Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from segtune.report.cost import PARTS, QUANTITIES, Cost, quantity
from segtune.report.head import Failure
from segtune.report.load import StudyRows
from segtune.report.measures import Measure
from segtune.report.paired import Comparison
from segtune.report.search import SearchRows, SearchTrial
from segtune.report.stats import Estimate
from segtune.report.style import Look
from segtune.report.summary import Column, Summary
from segtune.report.text import DASH, interval, number, p_value
from segtune.report.tuning import Candidate

Raw = str | float | int | None


@dataclass(frozen=True)
class Cell:
    """One cell."""

    text: str
    small: str = ""
    """Second line, in smaller type."""
    details: str = ""
    """Long text that opens on demand, as it was written."""
    color: str = ""
    """Of a mark before the text."""
    left: bool = False
    """Words stand left, numbers right."""


@dataclass(frozen=True)
class Sheet:
    """A table, and the numbers behind it."""

    name: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    strong: frozenset[int] = frozenset()
    """Rows to set apart: the baseline, or what was chosen."""
    raw_header: tuple[str, ...] = ()
    """Of the numbers for export; empty where the table is not exported."""
    raw_rows: tuple[tuple[Raw, ...], ...] = ()


def summary_sheet(summary: Summary, looks: Mapping[str, Look]) -> Sheet:
    """Scores per arm."""
    rows, raw = [], []
    for arm in summary.arms:
        name = Cell(
            arm.arm + (" (baseline)" if arm.is_baseline else ""),
            small=arm.changes,
            color=looks[arm.arm].color,
            left=True,
        )
        n = Cell(f"{len(arm.seeds)} of {arm.planned}")
        found = [arm.values.get(c.key) for c in summary.columns]
        digits = [c.measure.digits for c in summary.columns]
        rows.append(
            (
                name,
                n,
                *(_estimate(e, len(arm.seeds), d) for e, d in zip(found, digits, strict=True)),
            )
        )
        raw.append((arm.arm, len(arm.seeds), *(v for e in found for v in _raw(e))))
    return Sheet(
        "summary",
        ("arm", "seeds", *(c.label for c in summary.columns)),
        tuple(rows),
        frozenset(i for i, a in enumerate(summary.arms) if a.is_baseline),
        ("arm", "seeds", *(h for c in summary.columns for h in _raw_header(c.key))),
        tuple(raw),
    )


def memory_sheet(costs: Sequence[Cost], looks: Mapping[str, Look]) -> Sheet:
    """Parameters that move, and bytes, per arm."""
    shown = [q for q in QUANTITIES if q.key != "seconds"]
    columns = [(q.key, q.label, q.digits) for q in shown]
    return _cost_sheet("memory", costs, looks, columns, [c.values for c in costs])


def time_sheet(costs: Sequence[Cost], looks: Mapping[str, Look]) -> Sheet:
    """Seconds per step and arm: whole steps, then their parts."""
    whole = quantity("seconds")
    columns = [
        (whole.key, whole.label, whole.digits),
        *((f"seconds_{p}", f"{p}, mean", whole.digits) for p in PARTS),
    ]
    parts = [{f"seconds_{p}": e for p, e in c.parts.items()} for c in costs]
    found = [{**c.values, **p} for c, p in zip(costs, parts, strict=True)]
    return _cost_sheet("time", costs, looks, columns, found)


def _cost_sheet(
    name: str,
    costs: Sequence[Cost],
    looks: Mapping[str, Look],
    columns: Sequence[tuple[str, str, int]],
    found: Sequence[Mapping[str, Estimate]],
) -> Sheet:
    rows, raw = [], []
    for cost, estimates in zip(costs, found, strict=True):
        cells = [_estimate(estimates.get(key), cost.n, digits) for key, _, digits in columns]
        arm = Cell(cost.name, color=looks[cost.name].color, left=True)
        rows.append((arm, Cell(str(cost.n)), *cells))
        raw.append((cost.name, cost.n, *(v for k, _, _ in columns for v in _raw(estimates.get(k)))))
    return Sheet(
        name,
        ("arm", "seeds", *(label for _, label, _ in columns)),
        tuple(rows),
        frozenset(i for i, c in enumerate(costs) if c.is_baseline),
        ("arm", "seeds", *(h for key, _, _ in columns for h in _raw_header(key))),
        tuple(raw),
    )


def paired_sheet(comparisons: Sequence[Comparison], looks: Mapping[str, Look]) -> Sheet:
    """Differences to the baseline."""
    rows, raw = [], []
    for comparison in comparisons:
        digits = comparison.measure.digits
        for d in comparison.differences:
            patients = d.over_patients
            over_patients = Cell(DASH)
            if patients is not None:
                limits = Estimate(patients.mean, patients.low, patients.high, patients.patients)
                over_patients = Cell(
                    interval(limits, digits, sign=True),
                    small=f"{patients.patients} patients, {patients.images} images",
                )
            rows.append(
                (
                    Cell(comparison.measure.label, left=True),
                    Cell(d.arm, color=looks[d.arm].color, left=True),
                    Cell(number(d.over_seeds.mean, digits, sign=True)),
                    Cell(
                        interval(d.over_seeds, digits, sign=True), small=f"n={d.over_seeds.n} seeds"
                    ),
                    Cell(p_value(d.p)),
                    Cell(p_value(d.p_holm)),
                    over_patients,
                )
            )
            limits_raw = (None,) * 4 if patients is None else (
                patients.low, patients.high, patients.patients, patients.images
            )  # fmt: skip
            raw.append(
                (comparison.measure.metric, d.arm, *_raw(d.over_seeds), d.p, d.p_holm, *limits_raw)
            )
    return Sheet(
        "paired",
        (
            "metric", "arm", "difference", "95 % interval over seeds", "p (paired t)",
            "p (Holm)", "95 % interval over patients",
        ),
        tuple(rows),
        frozenset(),
        (
            "metric", "arm", *_raw_header("difference"), "p", "p_holm",
            "patients_low", "patients_high", "patients", "images",
        ),
        tuple(raw),
    )  # fmt: skip


def search_sheet(
    trials: Sequence[SearchTrial],
    search: SearchRows,
    columns: Sequence[Column],
    scores: Mapping[tuple[str, str], float],
    costs: Mapping[str, Cost],
) -> Sheet:
    """The best trials of a search: scores on val at the best epoch, and what they cost."""
    shown = [q for q in QUANTITIES if q.key != "gradients"]
    digits = [*(c.measure.digits for c in columns), *(q.digits for q in shown)]
    rows, raw = [], []
    for t in trials:
        found = [scores.get((t.trial_id, c.key)) for c in columns]
        cost = [_mean(costs[t.trial_id].values.get(q.key)) if t.trial_id in costs else None
                for q in shown]  # fmt: skip
        name = f"t{t.number}" + (" (Pareto)" if t.on_front else "")
        numbers = zip([*found, *cost], digits, strict=True)
        rows.append(
            (
                Cell(name, small=t.text, left=True),
                Cell(DASH if t.best_epoch is None else str(t.best_epoch)),
                *(Cell(number(v, d)) for v, d in numbers),
            )
        )
        raw.append((t.trial_id, t.number, t.seed, t.text, t.best_epoch, *found, *cost))
    return Sheet(
        "summary",
        ("trial", "best epoch", *(c.label for c in columns), *(q.label for q in shown)),
        tuple(rows),
        frozenset(i for i, t in enumerate(trials) if t.on_front),
        ("trial", "number", "seed", "changes", "best_epoch", *(c.key for c in columns),
         *(q.key for q in shown)),
        tuple(raw),
    )  # fmt: skip


def tuning_sheet(
    candidates: Sequence[Candidate], measure: Measure | None, looks: Mapping[str, Look]
) -> Sheet:
    """What was tried per arm before the seeds ran."""
    label = "score" if measure is None else f"{measure.label} on val"
    digits = 3 if measure is None else measure.digits
    return Sheet(
        "tuning",
        ("arm", "tried", "status", label, ""),
        tuple(
            (
                Cell(c.arm, color=looks[c.arm].color, left=True),
                Cell(c.changes, left=True),
                Cell(c.status, left=True),
                Cell(number(c.value, digits)),
                Cell("best of its arm" if c.chosen else "", left=True),
            )
            for c in candidates
        ),
        frozenset(i for i, c in enumerate(candidates) if c.chosen),
    )


def failure_sheet(failures: Sequence[Failure]) -> Sheet:
    """Trials that did not finish, with their errors."""
    return Sheet(
        "failures",
        ("trial", "status", "attempt", "epochs scored", "error"),
        tuple(
            (
                Cell(f.trial_id, left=True),
                Cell(f.status, left=True),
                Cell(str(f.attempt)),
                Cell(str(f.epochs)),
                _error(f.error),
            )
            for f in failures
        ),
    )


def arm_notes(rows: StudyRows, costs: Sequence[Cost]) -> dict[str, str]:
    """Arm -> what hovering over its point says."""
    return {
        c.name: f"n={c.n} seeds" + (", baseline" if c.name == rows.baseline else "") for c in costs
    }


def _error(text: str) -> Cell:
    """The last line says what went wrong; the rest says where."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return Cell("none recorded", left=True)
    return Cell(lines[-1].strip(), details=text if len(lines) > 1 else "", left=True)


def _estimate(estimate: Estimate | None, n: int, digits: int) -> Cell:
    if estimate is None:
        return Cell(DASH)
    mean = number(estimate.mean, digits)
    if estimate.n == 1:
        return Cell(mean, small="n=1")
    if mean == number(estimate.low, digits) == number(estimate.high, digits):
        return Cell(mean)  # an interval narrower than the last digit shown
    fewer = f", n={estimate.n}" if estimate.n != n else ""
    return Cell(mean, small=interval(estimate, digits) + fewer)


def _mean(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.mean


def _raw(estimate: Estimate | None) -> tuple[Raw, ...]:
    if estimate is None:
        return (None, None, None, 0)
    return (estimate.mean, estimate.low, estimate.high, estimate.n)


def _raw_header(key: str) -> tuple[str, ...]:
    return (f"{key}_mean", f"{key}_low", f"{key}_high", f"{key}_n")
