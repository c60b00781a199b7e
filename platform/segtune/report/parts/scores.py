"""Scores on the test split, per arm."""

from collections.abc import Sequence
from dataclasses import replace

from segtune.report.evidence.differences.compare import Comparison
from segtune.report.evidence.differences.verdicts import DIFFERENT, SIGNS
from segtune.report.evidence.estimate import Estimate
from segtune.report.evidence.patients import PatientInterval
from segtune.report.evidence.summary import ArmScores, Column, Summary
from segtune.report.page.look import Looks
from segtune.report.page.page import Part
from segtune.report.page.sheet import Cell, Raw, Sheet, estimate_cell, raw_estimate, raw_header_of
from segtune.report.page.text import DASH, listing, number, range_text
from segtune.results.study_rows import DIRTY, MACRO

_WORDS = {2: "two", 3: "three", 4: "four", 5: "five"}


def scores_part(summary: Summary, comparisons: Sequence[Comparison], looks: Looks) -> Part:
    """What each arm scores on the test split."""
    title = "Scores on the test split"
    if not summary.columns:
        return Part(
            title, missing="No trial was tested yet: test scores come with the final evaluation."
        )
    waiting = [a.arm for a in summary.arms if not a.values]
    n = range_text([len(a.seeds) for a in summary.arms], "seed")
    patients = {p.patients for a in summary.arms for p in a.patients.values()}
    third = f"; third line: 95 % interval over {max(patients)} test patients" if patients else ""
    return Part(
        title,
        f"Mean over seeds; second line: 95 % t interval over seeds{third}. Foreground classes "
        "only; scores without a class are means over classes. "
        f"{'Patients weigh alike. ' * (summary.weights == 'patients')}"
        f"Per arm {n}; one seed alone (n=1) has no interval. Bold: best mean of a column; "
        f"{_sign_words(comparisons)}.{_beyond(summary)}{_cost_words(summary)}",
        sheet=scores_sheet(summary, comparisons, looks),
        sentences=_left_out(summary),
        missing=f"No finished, tested trial yet: {listing(waiting)}." if waiting else "",
    )


def _cost_words(summary: Summary) -> str:
    if summary.currency is None:
        return ""
    text = " Cost: hours of a seed's training, its resumed parts included, times their price"
    if any(a.cost and a.cost.n > 1 and a.cost.low is None for a in summary.arms):
        text += " (no interval: trials ran side by side on a CPU and took time from each other)"
    return f"{text}."


def _sign_words(comparisons: Sequence[Comparison]) -> str:
    """`* better, \u2020 worse than the baseline`, and what signs a margin adds."""
    words = ", ".join(f"{SIGNS[word]} {word}" for word in DIFFERENT) + " than the baseline"
    if all(c.margin is None for c in comparisons):
        return words
    within = ", ".join(f"{sign} {word}" for word, sign in SIGNS.items() if word not in DIFFERENT)
    return f"{words}; {within} within the margin"


def _beyond(summary: Summary) -> str:
    """A note on intervals that reach beyond what a score can be; empty where none does."""
    fraction = {c.key: c.measure.is_fraction for c in summary.columns}
    beyond = [
        (e.n, fraction[key] and high > 1)
        for a in summary.arms
        for key, e in a.values.items()
        if e.low is not None and e.high is not None
        for low, high in [(e.low, e.high)]
        if low < 0 or (fraction[key] and high > 1)
    ]
    if not beyond:
        return ""
    ends = "0 or 1" if any(above for _, above in beyond) else "0"
    n = max(n for n, _ in beyond)
    few = f"{_WORDS.get(n, str(n))} seeds are too few"
    return f" Some intervals pass {ends}: {few}."


def _left_out(summary: Summary) -> tuple[str, ...]:
    """A sentence that counts the trials which are in no mean."""
    left_out = [
        f"{a.arm} {', '.join(f'{n} {status}' for status, n in sorted(a.left_out.items()))}"
        for a in summary.arms
        if a.left_out
    ]
    if not left_out:
        return ()
    dirty = any(DIRTY in a.left_out for a in summary.arms)
    why = (
        " Dirty: finished, but with uncommitted code, which nobody can run again." if dirty else ""
    )
    return (f"In no mean, though counted: {'; '.join(left_out)}.{why}",)


def scores_sheet(summary: Summary, comparisons: Sequence[Comparison], looks: Looks) -> Sheet:
    """Scores per arm: mean over seeds, with the intervals over seeds and over patients."""
    rows, raw = [], []
    money_heading = [f"cost of a seed ({summary.currency})"] if summary.currency else []
    best = {c.key: _best(summary, c) for c in summary.columns}
    signs = _signs(comparisons)
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
                mark=signs.get((arm.arm, c.key), ""),
                lower=_patients(arm.patients.get(c.key), c.measure.digits),
            )
            for c in summary.columns
        ]
        money = [estimate_cell(arm.cost, len(arm.seeds), 2)] if summary.currency else []
        rows.append((name, Cell(f"{len(arm.seeds)} of {arm.planned}"), *cells, *money))
        raw.append(
            (
                arm.arm,
                len(arm.seeds),
                *(v for c in summary.columns for v in _raw_score(arm, c.key)),
                *(raw_estimate(arm.cost) if summary.currency else ()),
            )
        )
    return Sheet(
        "summary",
        ("arm", "seeds", *(c.label for c in summary.columns), *money_heading),
        tuple(rows),
        frozenset(i for i, a in enumerate(summary.arms) if a.is_baseline),
        (
            *("arm", "seeds"),
            *(h for c in summary.columns for h in _raw_score_header(c.key)),
            *(raw_header_of(f"cost_{summary.currency}") if summary.currency else ()),
        ),
        tuple(raw),
        legend=_legend(summary, comparisons, bool(signs)),
    )


def _best(summary: Summary, column: Column) -> frozenset[str]:
    """Arms whose mean is best to the last digit shown; none where all arms share it."""
    found = {a.arm: a.values[column.key].mean for a in summary.arms if column.key in a.values}
    if len(found) < 2:
        return frozenset()
    pick = max if column.measure.higher_is_better else min
    top = number(pick(found.values()), column.measure.digits)
    best = frozenset(arm for arm, v in found.items() if number(v, column.measure.digits) == top)
    return best if len(best) < len(found) else frozenset()


def _signs(comparisons: Sequence[Comparison]) -> dict[tuple[str, str], str]:
    """(Arm, column) -> the sign of a verdict that could be told."""
    return {
        (d.arm, f"{c.measure.metric}_{MACRO}"): SIGNS[d.verdict.word]
        for c in comparisons
        for d in c.differences
        if d.verdict.word in SIGNS
    }


def _legend(summary: Summary, comparisons: Sequence[Comparison], signed: bool) -> str:
    seeds = sorted({len(a.seeds) for a in summary.arms if a.seeds})
    text = "Mean \u00b1 standard deviation over seeds"
    if seeds:
        text += f" (n = {seeds[0]}{f' to {seeds[-1]}' if len(seeds) > 1 else ''})"
    text += "; bold: best mean of a column, which need not be a difference that is shown"
    if signed:
        text += (
            f"; {_sign_words(comparisons)} (paired over seeds and test patients, p < 0.05 after "
            "Holm's correction)"
        )
    return f"{text}."


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
