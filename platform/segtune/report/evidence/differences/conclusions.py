"""Differences to the baseline as sentences."""

from collections.abc import Sequence

from segtune.report.evidence.differences.compare import Comparison, Difference
from segtune.report.evidence.differences.margins import margin_text
from segtune.report.evidence.differences.verdicts import DIFFERENT
from segtune.report.evidence.stats import ALPHA, t_factor
from segtune.report.page.text import MANY_ARMS, interval, listing, number, p_text
from segtune.results.measures import Measure

FEW_SEEDS = 4
"""Up to so many seeds the page warns that intervals are wide."""


def conclusions(comparison: Comparison) -> tuple[str, ...]:
    """What may be said of each arm and what may not, in plain sentences; of many arms, counts."""
    measure, found = comparison.measure, comparison.differences
    if not found:
        return (f"Nothing can be said about {measure.name} yet: no arm shares a finished seed "
                f"with the baseline.",)  # fmt: skip
    if len(found) > MANY_ARMS:
        return (f"{measure.name}: {counts(comparison)}.",)
    sentences = []
    alone = [d.arm for d in found if d.over_seeds.n == 1]
    if alone:
        sentences.append(
            f"{measure.name}: one paired seed for {listing(alone)}, which says nothing about "
            "whether the difference would show again."
        )
    repeated = [d for d in found if d.over_seeds.n > 1]
    sentences += [
        _difference_sentence(d, comparison)
        for d in repeated
        if d.verdict.word != "cannot tell" or (d.p is not None and d.p < ALPHA)
    ]
    undecided = [
        d for d in repeated if d.verdict.word == "cannot tell" and not (d.p or 1.0) < ALPHA
    ]
    for why in dict.fromkeys(d.verdict.why for d in undecided):
        arms = [d.arm for d in undecided if d.verdict.why == why]
        plural = "the intervals of" if len(arms) > 1 else "the interval of"
        tested = all(d.p is not None for d in undecided if d.verdict.why == why)
        reason = f" ({plural} {listing(arms)} over both include{'' if len(arms) > 1 else 's'} 0)"
        sentences.append(
            f"{measure.name}: one cannot tell {listing(arms)} from {comparison.baseline} "
            f"{why}{reason if tested else ''}, which is not evidence that there is no difference."
            f"{_bounds([d for d in undecided if d.verdict.why == why], comparison)}"
        )
    return tuple(sentences)


def counts(comparison: Comparison) -> str:
    """`of 12 arms 2 are better than base, 1 is worse than base and 9 cannot be told from base`."""
    base, found = comparison.baseline, comparison.differences
    clauses = []
    for word in (*DIFFERENT, "as good", "no worse"):
        n = sum(d.verdict.word == word for d in found)
        if n:
            than = "as" if word == "as good" else "than"
            clauses.append(f"{n} {'is' if n == 1 else 'are'} {word} {than} {base}")
    unsure = [d for d in found if d.verdict.word == "cannot tell"]
    if unsure:
        lost = sum(d.p is not None and d.p < ALPHA for d in unsure)
        corrected = f" ({lost} only before the correction for the number of arms)" if lost else ""
        clauses.append(
            f"{len(unsure)} cannot be told from {base}{corrected}, which is no evidence of being "
            "as good"
        )
    if len(clauses) == 1:
        return f"all {clauses[0].replace(' ', ' arms ', 1)}"
    return f"of {len(found)} arms {listing(clauses)}"


def _bounds(undecided: Sequence[Difference], comparison: Comparison) -> str:
    """How much worse arms are at most, of which one cannot tell."""
    bounded = [f"{d.arm} {d.verdict.note}" for d in undecided if d.verdict.note]
    if comparison.margin is None or not bounded:
        return ""
    margin = margin_text(comparison.margin, comparison.measure)
    return (
        f" Held against the margin of {margin}: {'; '.join(bounded)} (the ends of 90 % intervals)."
    )


def caution(comparisons: Sequence[Comparison]) -> tuple[str, ...]:
    """A warning that intervals over few seeds are wide; empty for more seeds."""
    seeds = [d.over_seeds.n for c in comparisons for d in c.differences if d.over_seeds.n > 1]
    if not seeds or min(seeds) > FEW_SEEDS:
        return ()
    return (
        f"A 95 % t interval over {min(seeds)} seeds reaches {t_factor(min(seeds)):.1f} standard "
        "errors to each side: only large and steady differences can show, and seeds that happen "
        "to agree can make one too narrow. Repeat with more seeds before relying on it.",
    )


def shown_text(d: Difference, measure: Measure) -> str:
    """`+0.021 [+0.011, +0.031]`; the mean alone where there is no interval over both."""
    mean = number(d.shown.mean, measure.digits, sign=True)
    if d.over_both is None:
        return mean
    return f"{mean} {interval(d.over_both, measure.digits, sign=True)}"


def difference_text(d: Difference, measure: Measure) -> str:
    """`+0.021 [+0.011, +0.031], p=0.012 after Holm`."""
    words = shown_text(d, measure)
    return words if d.p_holm is None else f"{words}, {p_text(d.p_holm)} after Holm"


def held_text(d: Difference, measure: Measure) -> str:
    """`+0.001 [-0.004, +0.006], p=0.012 after Holm`: the 90 % interval and the p of a verdict
    within a margin."""
    assert d.held is not None
    assert d.p_verdict is not None
    mean = number(d.shown.mean, measure.digits, sign=True)
    ends = interval(d.held.bounds, measure.digits, sign=True)
    return f"{mean} {ends}, {p_text(d.p_verdict)} after Holm"


def _difference_sentence(d: Difference, comparison: Comparison) -> str:
    measure, estimate = comparison.measure, d.shown
    if d.verdict.word not in (*DIFFERENT, "cannot tell"):
        than = "as" if d.verdict.word == "as good" else "than"
        return (
            f"{measure.name}: {d.arm} is {d.verdict.word} {than} {comparison.baseline} "
            f"{d.verdict.note} (90 % interval and p: {held_text(d, measure)}; "
            f"{d.verdict.why.removeprefix('with ')})."
        )
    words = "better" if (estimate.mean > 0) == measure.higher_is_better else "worse"
    head = f"{measure.name}: {d.arm} scored {words} than {comparison.baseline}"
    shown = f"{difference_text(d, measure)}; {d.verdict.why.removeprefix('with ')}"
    if d.verdict.word == "cannot tell":
        return f"{head} ({shown}), but this does not survive the correction for the number of arms."
    note = f", {d.verdict.note}" if d.verdict.note else ""
    return f"{head} ({shown}){note}."
