"""The study's answer in a few sentences: what was found, what it costs, how sure it is."""

from collections.abc import Sequence

from segtune.report.evidence.costs.joint_claims import JointClaims, claim_text
from segtune.report.evidence.costs.measured import Cost
from segtune.report.evidence.differences.compare import Comparison, Difference
from segtune.report.evidence.differences.conclusions import (
    counts,
    difference_text,
    held_text,
    shown_text,
)
from segtune.report.evidence.differences.margins import margin_text
from segtune.report.evidence.differences.verdicts import DIFFERENT
from segtune.report.evidence.objections.caveat import MATTERS, Caveat
from segtune.report.evidence.search_results import SearchResults
from segtune.report.evidence.summary import Summary
from segtune.report.page.text import MANY_ARMS, count, listing, number, parameters, some
from segtune.results.study_rows import StudyRows

_MOST_NAMED = 4
_MOST_NUMBERS = 3
_MOST_CAVEATS = 3


def ablation_answer(
    rows: StudyRows,
    summary: Summary,
    comparisons: Sequence[Comparison],
    contrasts: Sequence[Comparison],
    joint: Sequence[JointClaims],
    external: Sequence[Comparison],
    caveats: Sequence[Caveat],
    costs: Sequence[Cost],
) -> tuple[str, ...]:
    """What was found, what that costs and how sure it is; fewer sentences where there is less.

    Where images of another source were tested on, there is a sentence about them as well, and so
    there is for each reference of the declared pairs of arms, and where arms are no worse and
    cheaper.
    """
    if not any(a.values for a in summary.arms):
        return ("No trial has finished and been tested yet: there is no answer.",)
    cost = _cost(comparisons, costs)
    first, *rest = _results(rows, summary, comparisons, external)
    primary = [c for c in contrasts if c.measure == contrasts[0].measure and c.differences]
    pairs = [_compared(rows, c) for c in primary]
    found = [first, *pairs, *map(_cheaper, joint), *rest, cost, _sure(caveats)]
    return tuple(s for s in found if s)


def finalists_answer(
    rows: StudyRows,
    search: SearchResults,
    summary: Summary,
    comparisons: Sequence[Comparison],
    joint: Sequence[JointClaims],
    external: Sequence[Comparison],
    caveats: Sequence[Caveat],
) -> tuple[str, ...]:
    """The answer of a search whose best trials were trained anew and tested.

    Args:
        rows: of the finalists.
        search: all trials of the search.
        summary: of the finalists, at least one of which was tested.
        comparisons: of the finalists, on test.
        joint: which of them are no worse and cheaper.
        external: of the finalists, on images of another source.
        caveats: to the comparisons.
    """
    first, *rest = _results(rows, summary, comparisons, external)
    cheaper = filter(None, map(_cheaper, joint))
    return (f"{_repeated(rows)} {first}", *cheaper, *rest, _best_drawn(search), _sure(caveats))


def search_answer(search: SearchResults, planned: int | None) -> tuple[str, ...]:
    """The answer of a search whose best trials were not tested.

    Args:
        search: all its trials.
        planned: finalists that the study is going to test; None for none.
    """
    if not search.best(1):
        return ("No search trial has finished with a score yet: there is no answer.",)
    sentences = [_best_drawn(search)]
    front = [f"t{t.number}" for t in search.complete if t.on_front]
    if len(search.objectives) > 1 and front:
        shown = listing(front) if len(front) <= _MOST_NAMED else count(len(front), "trial")
        n = len(search.objectives)
        every = "both" if n == 2 else f"all {n}"
        sentences.append(
            f"On the Pareto front: {shown}; no trial beats one of these in {every} objectives."
        )
    sentences.append(
        "This is the best of many draws on val, with one seed each: only a repetition with new "
        "seeds on test can confirm it"
        + (f" (planned for the {planned} best, not done yet)." if planned else ".")
    )
    return tuple(sentences)


def _results(
    rows: StudyRows,
    summary: Summary,
    comparisons: Sequence[Comparison],
    external: Sequence[Comparison],
) -> list[str]:
    compared = [_compared(rows, c[0]) for c in (comparisons, external) if c and c[0].differences]
    return compared or [_best_alone(summary, rows.baseline)]


def _compared(rows: StudyRows, first: Comparison) -> str:
    """What may be said of the arms in the first objective: counts where they are many."""
    on = f"On {first.measure.name} ({_images(rows, first.split)})"
    if first.split != "test":
        on = f"Elsewhere (external set, {_images(rows, first.split)})"
    lost = [arm for arm in first.missing if _all_ended(rows, arm)]
    without = [f"no training of {some(lost, 'arm')} has a score to compare"] if lost else []
    if len(first.differences) > MANY_ARMS:
        return f"{on} {'; '.join([counts(first), *without])}."
    clauses = []
    for word in DIFFERENT:
        of_word = [d for d in first.differences if d.verdict.word == word]
        if of_word:
            verb = "is" if len(of_word) == 1 else "are"
            small = _small(of_word, first)
            clauses.append(f"{_named(of_word, first)} {verb} {word} than {first.baseline}{small}")
    clauses += _within(first)
    unsure = [d for d in first.differences if d.verdict.word == "cannot tell"]
    for why in dict.fromkeys(d.verdict.why for d in unsure):
        of_why = [d for d in unsure if d.verdict.why == why]
        arms = [f"{d.arm}{_bracket(d, first)}" for d in of_why]
        clauses.append(f"one cannot tell {listing(arms)} from {first.baseline} {why}")
    return f"{on} {'; '.join([*clauses, *without])}."


def _all_ended(rows: StudyRows, arm: str) -> bool:
    """Whether an arm's trainings have ended, in scores or in errors, so that nothing is awaited."""
    status = rows.of("arm", arm=arm)["status"]
    return len(status) > 0 and bool(status.isin(("finished", "failed")).all())


def _bracket(d: Difference, comparison: Comparison) -> str:
    """Its difference, where few arms leave room for it, and what a margin adds."""
    shown = shown_text(d, comparison.measure) if _few(comparison) else ""
    words = "; ".join(filter(None, [shown, d.verdict.note]))
    return f" ({words})" if words else ""


def _few(comparison: Comparison) -> bool:
    """Whether a sentence has room for every arm's numbers; the table has them in any case."""
    return len(comparison.differences) <= _MOST_NUMBERS


def _within(comparison: Comparison) -> list[str]:
    """Clauses about the arms that are as good as the baseline within the margin, or no worse."""
    if comparison.margin is None:
        return []
    clauses, margin = [], margin_text(comparison.margin, comparison.measure)
    for word, than in (("as good", "as"), ("no worse", "than")):
        found = [d for d in comparison.differences if d.verdict.word == word]
        if found:
            verb = "is" if len(found) == 1 else "are"
            few, measure = _few(comparison), comparison.measure
            arms = [f"{d.arm} ({held_text(d, measure)})" if few else d.arm for d in found]
            shown = listing(arms)
            unit = f" {comparison.measure.name}" if comparison.measure.is_fraction else ""
            clauses.append(
                f"{shown} {verb} {word} {than} {comparison.baseline} within {margin}{unit}"
            )
    return clauses


def _cheaper(joint: JointClaims) -> str:
    """Which arms are shown to be no worse and cheaper at once; empty for none."""
    shown = [
        f"{arm.difference.arm} {listing([claim_text(c) for c in arm.cheaper])}"
        for arm in joint.arms
        if arm.cheaper
    ]
    if not shown:
        return ""
    comparison = joint.comparison
    margin = margin_text(comparison.margin or 0.0, comparison.measure)
    more = len(shown) - MANY_ARMS
    named = shown if more <= 0 else [*shown[:MANY_ARMS], count(more, "further arm")]
    than = f"No worse than {comparison.baseline} within {margin}"
    return f"{than} and cheaper at once: {'; '.join(named)}."


def _small(found: Sequence[Difference], comparison: Comparison) -> str:
    """Which differences are smaller than what matters, though the test shows them.

    With a margin: those that are shown to be within it; without, whose mean is small.
    """
    if comparison.margin is not None:
        small = [d.arm for d in found if d.held is not None and d.held.as_good]
        words = f"within the margin of {margin_text(comparison.margin, comparison.measure)}"
    else:
        fraction = comparison.measure.is_fraction
        small = [d.arm for d in found if fraction and abs(d.shown.mean) < MATTERS]
        words = f"by less than {MATTERS}"
    if not small:
        return ""
    though = "though " if comparison.margin is not None else ""
    who = "" if len(small) == len(found) else f", {though}{listing(small)}"
    return f"{who or ', but'} {words}"


def _named(found: Sequence[Difference], comparison: Comparison) -> str:
    """Arms with their differences, the largest first."""
    ranked = sorted(found, key=lambda d: -abs(d.shown.mean))
    if not _few(comparison):
        return listing([d.arm for d in ranked])
    return listing([f"{d.arm} ({difference_text(d, comparison.measure)})" for d in ranked])


def _best_alone(summary: Summary, baseline: str | None) -> str:
    column = summary.columns[0]
    scored = [a for a in summary.arms if column.key in a.values]
    sign = 1 if column.measure.higher_is_better else -1
    best = max(scored, key=lambda a: sign * a.values[column.key].mean, default=None)
    if best is None:
        return ""
    value = number(best.values[column.key].mean, column.measure.digits)
    why = "the baseline is not among the arms"
    if baseline is not None:
        why = f"no arm shares a finished seed with {baseline}"
    return (
        f"{best.arm} has the best mean {column.measure.name} on {summary.split} ({value}), but "
        f"{why}: nothing can be said about differences."
    )


def _cost(comparisons: Sequence[Comparison], arm_costs: Sequence[Cost]) -> str:
    """What arms train that are shown to be no worse than the baseline: the others need no price."""
    told = [
        d.arm
        for c in comparisons[:1]
        for d in c.differences
        if d.verdict.word in ("better", "as good", "no worse")
    ]
    trained = {c.name: c.values["trainable"].mean for c in arm_costs if "trainable" in c.values}
    baseline = comparisons[0].baseline if comparisons else ""
    shown = [f"{arm} trains {parameters(trained[arm])}" for arm in told if arm in trained]
    if not shown or len(shown) > _MOST_NAMED or baseline not in trained:
        return ""
    first, *others = shown
    rest = [other.replace(" trains", "", 1) for other in others]
    return (
        f"{', '.join([f'{first} parameters', *rest])}, {baseline} {parameters(trained[baseline])}."
    )


def _sure(caveats: Sequence[Caveat]) -> str:
    if not caveats:
        return "Nothing in these tables speaks against it; they say nothing of other data."
    titles = [c.title for c in caveats[:_MOST_CAVEATS]]
    more = len(caveats) - len(titles)
    rest = f" and {count(more, 'further point')}" if more else ""
    return f"What may change this: {'; '.join(titles)}{rest} (see below)."


def _images(rows: StudyRows, split: str) -> str:
    images = rows.single_images[rows.single_images["split"] == split]
    if images.empty:
        return split
    patients = count(int(images["patient_id"].nunique()), "patient")
    noun = "test image" if split == "test" else "image"
    return f"{count(int(images['sample_id'].nunique()), noun)} of {patients}"


def _best_drawn(search: SearchResults) -> str:
    """The best trial on val, and how far it is from the baseline, which is the first one."""
    [best] = search.best(1)
    finished = [t for t in search.trials if t.status == "finished"]
    value, start = best.values[0], next((t for t in finished if t.number == 0), None)
    assert value is not None
    against = ""
    if start is not None and start is not best and start.values[0] is not None:
        gain = number(value - start.values[0], search.digits, sign=True)
        against = f", {gain} against the baseline's (t{start.number})"
    on = " on val" if search.measures[0] is not None else ""
    return (
        f"The best of {count(len(finished), 'finished trial')} is t{best.number} "
        f"({best.text or 'the baseline'}): {search.labels[0]} {number(value, search.digits)}{on}"
        f"{against}."
    )


def _repeated(tested: StudyRows) -> str:
    """With how many seeds the best were tested."""
    seeds = tested.of("arm", status="finished")["seed"].nunique()
    own = "" if tested.baseline is None else f"; {tested.baseline} has the baseline's settings"
    return f"The best were trained anew with {count(int(seeds), 'new seed')} and tested{own}."
