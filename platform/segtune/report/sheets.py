"""Computed values as tables of words, for the page and for LaTeX and Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from segtune.report.budget import ArmBudget, Budget
from segtune.report.cost import PARTS, QUANTITIES, Cost, quantity
from segtune.report.head import Failure
from segtune.report.load import MACRO, StudyRows
from segtune.report.measures import Measure
from segtune.report.paired import Comparison, Difference
from segtune.report.patients import PatientInterval
from segtune.report.reported import Reported
from segtune.report.search import SearchRows, SearchTrial
from segtune.report.stats import Estimate
from segtune.report.style import Look
from segtune.report.summary import ArmScores, Column, Summary
from segtune.report.text import (
    DASH,
    changes_text,
    count,
    interval,
    number,
    p_text,
    p_value,
    setting,
)
from segtune.report.tuning import Candidate

Raw = str | float | int | None
MARKS = {"better": "*", "worse": "\u2020"}
"""Verdict -> its mark in a table."""


@dataclass(frozen=True)
class Cell:
    """One cell."""

    text: str
    small: str = ""
    """Second line, in smaller type."""
    lower: str = ""
    """Third line, likewise."""
    details: str = ""
    """Long text that opens on demand, as it was written."""
    color: str = ""
    """Of a mark before the text."""
    left: bool = False
    """Words stand left, numbers right."""
    paper: str = ""
    """What stands here in LaTeX and Markdown, where it is not the text: `0.706 \u00b1 0.006`."""
    strong: bool = False
    """Best of its column."""
    mark: str = ""
    """Of significance, raised."""


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
    legend: str = ""
    """What marks and bold type mean, below the table in LaTeX and Markdown."""


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
                _estimate(arm.values.get(c.key), len(arm.seeds), c.measure.digits),
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
                    *_raw(d.over_seeds), d.p_seeds,
                    *((None,) * 4 if patients is None else
                      (patients.low, patients.high, patients.patients, patients.images)),
                    d.p_patients,
                    *((None, None) if both is None else (both.low, both.high)), d.p, d.p_holm,
                    d.effect_seeds, d.effect_patients, d.verdict.word, d.verdict.why,
                )
            )  # fmt: skip
    return Sheet(
        "paired",
        (
            "metric", "arm", "difference", "95 % over seeds", "95 % over patients",
            "95 % over both", "p (Holm)", "effect size g over seeds", "verdict",
        ),
        tuple(rows),
        frozenset(),
        (
            "metric", "baseline", "arm", *_raw_header("difference"), "p_seeds",
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


def budget_sheet(found: Budget, looks: Mapping[str, Look]) -> Sheet:
    """What each arm was given."""
    return Sheet(
        "budget",
        ("arm", "differs from the baseline in", "tuning trials", "tuned", "optimizer steps"),
        tuple(
            (
                Cell(a.arm, color=looks[a.arm].color, left=True),
                Cell(changes_text(a.changes) or DASH, left=True),
                Cell(str(a.tries)),
                Cell(_ranges(a) or DASH, left=True),
                Cell(" / ".join(map(str, a.steps)) or DASH),
            )
            for a in found.arms
        ),
        frozenset(),
        ("arm", "changes", "tuning_trials", "tuned", "steps"),
        tuple(
            (a.arm, changes_text(a.changes), a.tries, _ranges(a), "/".join(map(str, a.steps)))
            for a in found.arms
        ),
    )


def _ranges(arm: ArmBudget) -> str:
    return "; ".join(
        f"{field}: {', '.join(map(setting, values))}" for field, values in arm.tuned.items()
    )


def reported_sheet(found: Sequence[Reported]) -> Sheet:
    """Papers' numbers, which enter nothing else."""
    header = ("method", "metric", "value, as reported", "on", "source")
    return Sheet(
        "reported",
        header,
        tuple(
            (
                Cell(r.method, left=True),
                Cell(r.metric, left=True),
                Cell(f"{r.value:g}"),
                Cell(r.data, left=True),
                Cell(r.source, left=True),
            )
            for r in found
        ),
        frozenset(),
        ("method", "metric", "value", "data", "source"),
        tuple((r.method, r.metric, r.value, r.data, r.source) for r in found),
        legend="Reported, not reproduced.",
    )


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
    return (*_raw(estimate), None if estimate is None else estimate.sd, *limits)


def _raw_score_header(key: str) -> tuple[str, ...]:
    return (*_raw_header(key), f"{key}_sd", f"{key}_patients_low", f"{key}_patients_high")


def _mean(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.mean


def _raw(estimate: Estimate | None) -> tuple[Raw, ...]:
    if estimate is None:
        return (None, None, None, 0)
    return (estimate.mean, estimate.low, estimate.high, estimate.n)


def _raw_header(key: str) -> tuple[str, ...]:
    return (f"{key}_mean", f"{key}_low", f"{key}_high", f"{key}_n")
