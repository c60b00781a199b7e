"""The parts of an ablation's section."""

from collections.abc import Sequence
from dataclasses import replace

from segtune.report import panels
from segtune.report.budget import Budget
from segtune.report.caveats import Caveat
from segtune.report.cost import arm_costs
from segtune.report.figures import spread_figure
from segtune.report.figures_training import time_figure
from segtune.report.finalists import KIND as FINALISTS
from segtune.report.marks import arm_looks
from segtune.report.paired import Comparison, caution, conclusions, trials_by_seed
from segtune.report.section import Part
from segtune.report.sheets import paired_sheet, summary_sheet
from segtune.report.sheets_cost import (
    arm_notes,
    budget_sheet,
    memory_sheet,
    reported_sheet,
    time_sheet,
)
from segtune.report.sheets_search import tuning_sheet
from segtune.report.spread import spreads
from segtune.report.summarize import StudySummary
from segtune.report.summary import Summary
from segtune.report.text import listing, range_text
from segtune.report.tradeoff import tradeoff
from segtune.report.tuning import candidates
from segtune.results.reported import Reported
from segtune.results.study_rows import DIRTY, MACRO, StudyRows

_NARROW = "No interval is written where it is narrower than the last digit."


def ablation_parts(rows: StudyRows, found: StudySummary) -> tuple[Part, ...]:
    """Scores, differences, budget, costs, curves, spread and pictures of the arms."""
    parts = [
        _summary(rows, found.summary, found.comparisons),
        _paired(rows, found.comparisons),
        _paired_elsewhere(rows, found.external),
        panels.factors_part(rows),
        _caveats(found.caveats),
        _budget(rows, found.budget),
        _tradeoff(rows, found.summary),
        _time(rows),
        _memory(rows),
        panels.updates_part(rows),
        panels.heat_part(rows, "arm"),
        panels.curves_part(rows),
        panels.classes_part(rows),
        _spread(rows),
        panels.agreement_part(rows),
        panels.shift_part(rows),
        panels.gallery_part(rows),
        _tuning(rows),
        _reported(found.reported),
    ]
    return tuple(p for p in parts if p is not None)


def comparison_parts(rows: StudyRows, found: StudySummary) -> tuple[Part, ...]:
    """What arms of several studies, put together, can be asked: no more than the scores."""
    parts = [
        _summary(rows, found.summary, found.comparisons),
        _paired(rows, found.comparisons),
        _paired_elsewhere(rows, found.external),
        _caveats(found.caveats),
        _budget(rows, found.budget),
        _tradeoff(rows, found.summary),
    ]
    return tuple(p for p in parts if p is not None)


def finalist_parts(rows: StudyRows, found: StudySummary) -> tuple[Part, ...]:
    """A search's finalists, as arms: what was tested, before what was searched."""
    parts = [
        *comparison_parts(rows, found),
        panels.curves_part(rows),
        panels.classes_part(rows),
        _spread(rows),
        panels.agreement_part(rows),
        panels.shift_part(rows),
        panels.gallery_part(rows),
    ]
    return tuple(_of_finalists(p) for p in parts if p is not None)


def _of_finalists(part: Part) -> Part:
    """Titles and names of files apart from those of the search."""
    sheet = part.sheet and replace(part.sheet, name=f"finalists_{part.sheet.name}")
    return replace(part, title=f"Finalists: {_lower(part.title)}", sheet=sheet)


def _lower(title: str) -> str:
    return title[0].lower() + title[1:]


def _summary(rows: StudyRows, summary: Summary, comparisons: Sequence[Comparison]) -> Part:
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
        "only; Dice, IoU and distances without a class are means over classes. "
        f"Per arm {n}; one seed alone (n=1) has no interval. Bold: best mean of a column; "
        f"* better, \u2020 worse than the baseline.{_beyond(summary)}",
        sheet=summary_sheet(summary, comparisons, arm_looks(rows)),
        sentences=_left_out(summary),
        missing=f"No finished, tested trial yet: {listing(waiting)}." if waiting else "",
    )


def _beyond(summary: Summary) -> str:
    """Why an interval may end where no score can be; empty where none does."""
    fraction = {c.key: c.measure.is_fraction for c in summary.columns}
    ends = [
        (key, e.low, e.high)
        for a in summary.arms
        for key, e in a.values.items()
        if e.low is not None and e.high is not None
    ]
    if not any(low < 0 or (fraction[key] and high > 1) for key, low, high in ends):
        return ""
    return " Intervals that reach beyond what a score can be come from too few seeds."


def _left_out(summary: Summary) -> tuple[str, ...]:
    """Trials that are in no mean."""
    told = [
        f"{a.arm} {', '.join(f'{n} {status}' for status, n in sorted(a.left_out.items()))}"
        for a in summary.arms
        if a.left_out
    ]
    if not told:
        return ()
    dirty = any(DIRTY in a.left_out for a in summary.arms)
    why = (
        " Dirty: finished, but with uncommitted code, which nobody can run again." if dirty else ""
    )
    return (f"In no mean, though counted: {'; '.join(told)}.{why}",)


def _paired(rows: StudyRows, comparisons: Sequence[Comparison]) -> Part:
    title = "Differences to the baseline"
    if rows.baseline is None:
        why = (
            "No finalist has the baseline's settings: nothing to compare with."
            if rows.kind == FINALISTS
            else "The study names no baseline arm."
        )
        return Part(title, missing=why)
    found = [c for c in comparisons if c.differences]
    if not found:
        return Part(
            title, missing=f"No arm shares a finished, tested seed with {rows.baseline} yet."
        )
    colors = arm_looks(rows)
    missing = sorted({arm for c in comparisons for arm in c.missing})
    pairs = range_text([d.over_seeds.n for d in found[0].differences], "paired seed")
    both = (
        "and over both, on which the verdict rests after Holm's correction for the number of arms."
        if any(d.over_both is not None for d in found[0].differences)
        else "but not over both, for which there is too little: so there is no verdict."
    )
    caption = (
        "Each arm minus the baseline, with 95 % intervals: over seeds (other trainings, these "
        f"patients), over test patients (these trainings, other patients), {both} Per arm {pairs}."
    )
    return Part(
        title,
        caption,
        figures=panels.forests(found, colors),
        sheet=paired_sheet(found, colors),
        sentences=(*(s for c in comparisons for s in conclusions(c)), *caution(comparisons)),
        missing=_unpaired(rows, missing),
    )


def _paired_elsewhere(rows: StudyRows, comparisons: Sequence[Comparison]) -> Part | None:
    """The same differences on images of another source; None where none were tested on."""
    found = [c for c in comparisons if c.differences]
    if not found:
        return None
    colors = arm_looks(rows)
    pairs = range_text([d.over_seeds.n for d in found[0].differences], "paired seed")
    return Part(
        "Differences on the external set",
        "Each arm minus the baseline on images of another source, tested once with the weights "
        "that were tested at home. Intervals, tests and verdicts as above; Holm's correction is "
        f"for the arms of this set. Per arm {pairs}.",
        figures=panels.forests(found, colors),
        sheet=paired_sheet(found, colors, "paired_external"),
        sentences=tuple(s for c in found for s in conclusions(c)),
    )


def _unpaired(rows: StudyRows, missing: Sequence[str]) -> str:
    """Arms without a pair, by reason."""
    base = set(trials_by_seed(rows, rows.baseline or ""))
    alone = [arm for arm in missing if not base & set(trials_by_seed(rows, arm))]
    undefined = [arm for arm in missing if arm not in alone]
    said = (
        ("No seed in common with the baseline", alone),
        ("No seed with a value on both sides", undefined),
    )
    return " ".join(f"{what}: {listing(arms)}." for what, arms in said if arms)


def _caveats(found: Sequence[Caveat]) -> Part | None:
    if not found:
        return None
    return Part(
        "What would change this conclusion",
        "Found in the study's own numbers; other objections are the reader's.",
        sentences=tuple(f"{c.title[0].upper()}{c.title[1:]}. {c.text}" for c in found),
    )


def _budget(rows: StudyRows, found: Budget) -> Part | None:
    if not len(rows.of("arm", status="finished")):
        return None
    return Part(
        "Equal budget",
        "What all finished trials had in common, what differed, and what each arm was given.",
        sheet=budget_sheet(found, arm_looks(rows)),
        sentences=found.sentences,
    )


def _reported(found: Sequence[Reported]) -> Part | None:
    if not found:
        return None
    return Part(
        "Reported, not reproduced",
        "Numbers as papers give them, on their data and by their protocol. They are in no mean, "
        "interval, test or figure of this page, and are not comparable with it.",
        sheet=reported_sheet(found),
    )


def _tradeoff(rows: StudyRows, summary: Summary) -> Part:
    title = "Score against cost"
    dice = next((c for c in summary.columns if c.class_name == MACRO), None)
    costs = arm_costs(rows)
    scores = {a.arm: a.values[dice.key] for a in summary.arms if dice and dice.key in a.values}
    found = tradeoff(scores, costs, arm_notes(rows, costs))
    if not found or dice is None:
        return Part(title, missing="Needs tested trials with recorded steps.")
    drawn = panels.tradeoffs(
        found,
        arm_looks(rows),
        rows.arms,
        f"{dice.label} on test, macro",
        fraction=dice.measure.is_fraction,
    )
    n = range_text([c.n for c in costs], "seed")
    return Part(
        title,
        "One mark per arm: mean over seeds, bars are 95 % t intervals over seeds. Up and to the "
        f"left is better; no arm beats one on the Pareto front in both means. Per arm {n}.",
        figures=drawn,
    )


def _time(rows: StudyRows) -> Part:
    title, timed = "Time per step", [c for c in arm_costs(rows) if c.parts]
    if not timed:
        return Part(title, missing="No finished trial has recorded steps yet.")
    n = range_text([c.n for c in timed], "seed")
    return Part(
        title,
        "Bars: mean seconds of one optimizer step by part, the first step of each trial left out. "
        "Table: mean over seeds and its 95 % t interval; the median is of whole steps, parts are "
        f"means. {_NARROW} Per arm {n}.",
        figures=((time_figure(timed), "Stacked bars of seconds per step by part"),),
        sheet=time_sheet(timed, arm_looks(rows)),
    )


def _memory(rows: StudyRows) -> Part:
    title, costs = "Parameters and memory", [c for c in arm_costs(rows) if c.values]
    if not costs:
        return Part(title, missing="No trial has finished yet.")
    n = range_text([c.n for c in costs], "seed")
    return Part(
        title,
        f"Mean over seeds and its 95 % t interval, per worker. {_NARROW} Per arm {n}. "
        f"{_peak(rows)}",
        sheet=memory_sheet(costs, arm_looks(rows)),
    )


def _peak(rows: StudyRows) -> str:
    devices = rows.of("arm", status="finished")["device"].dropna()
    if len(devices) and devices.str.startswith("cpu").all():
        return (
            "These trials ran on a CPU: peak memory is the largest resident size of the whole "
            "process so far, which hides differences between small networks."
        )
    return "Peak memory: most bytes allocated on the device (on a CPU: resident size)."


def _spread(rows: StudyRows) -> Part:
    title = "Spread over test images"
    measure, found = spreads(rows)
    if not found or measure is None:
        return Part(title, missing="No score per test image yet.")
    undefined = sum(s.undefined for s in found)
    n = max(len(s.values) for s in found)
    left_out = f" {undefined} values are undefined (empty masks) and left out." if undefined else ""
    return Part(
        title,
        f"{measure.label} per class. One point per image (up to n={n}), each the mean over the "
        f"arm's seeds; box: quartiles, line: median.{left_out}",
        figures=(
            (
                spread_figure(found, arm_looks(rows), measure),
                "Box plots of Dice per image by class and arm",
            ),
        ),
    )


def _tuning(rows: StudyRows) -> Part | None:
    measure, found = candidates(rows)
    if not found:
        return None
    return Part(
        "Tuning on val, before the seeds",
        f"n={len(found)} trials; the best of an arm on val went into its seeds. How many tries "
        "each arm had is said under equal budget.",
        sheet=tuning_sheet(found, measure, arm_looks(rows)),
    )
