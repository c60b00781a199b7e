"""The parts of an ablation's section."""

import collections
from collections.abc import Sequence

from segtune.report import figures
from segtune.report.cost import arm_costs
from segtune.report.curves import loss_curves, smoothing_window, val_curves
from segtune.report.figures_search import tradeoff_figure
from segtune.report.load import MACRO, StudyRows
from segtune.report.paired import caution, compare, conclusions
from segtune.report.pictures import grid
from segtune.report.section import Part
from segtune.report.sheets import (
    arm_notes,
    memory_sheet,
    paired_sheet,
    summary_sheet,
    time_sheet,
    tuning_sheet,
)
from segtune.report.spread import spreads
from segtune.report.style import looks
from segtune.report.summary import summarise
from segtune.report.text import count, listing, range_text
from segtune.report.tradeoff import tradeoff
from segtune.report.tuning import Candidate, candidates

_NARROW = "No interval is written where it is narrower than the last digit."


def ablation_parts(rows: StudyRows) -> tuple[Part, ...]:
    """Scores, differences, costs, curves, spread and pictures of the arms."""
    parts = [
        _summary(rows),
        _paired(rows),
        _tradeoff(rows),
        _time(rows),
        _memory(rows),
        _curves(rows),
        _spread(rows),
        _pictures(rows),
    ]
    tuned = _tuning(rows)
    return (*parts, tuned) if tuned is not None else tuple(parts)


def _summary(rows: StudyRows) -> Part:
    title, summary = "Scores on the test split", summarise(rows)
    if not summary.columns:
        return Part(
            title, missing="No trial was tested yet: test scores come with the final evaluation."
        )
    waiting = [a.arm for a in summary.arms if not a.values]
    n = range_text([len(a.seeds) for a in summary.arms], "seed")
    return Part(
        title,
        "Mean over seeds, and below it the 95 % t interval over seeds. Foreground classes only; "
        f"Dice, IoU and distances without a class are means over classes. Per arm {n}; "
        "one seed alone (n=1) has no interval.",
        sheet=summary_sheet(summary, looks(rows.arms, rows.baseline)),
        missing=f"No finished, tested trial yet: {listing(waiting)}." if waiting else "",
    )


def _paired(rows: StudyRows) -> Part:
    title = "Differences to the baseline"
    if rows.baseline is None:
        return Part(title, missing="The study names no baseline arm.")
    comparisons = compare(rows)
    found = [c for c in comparisons if c.differences]
    if not found:
        return Part(
            title, missing=f"No arm shares a finished, tested seed with {rows.baseline} yet."
        )
    colors = looks(rows.arms, rows.baseline)
    missing = sorted({arm for c in comparisons for arm in c.missing})
    pairs = range_text([d.over_seeds.n for d in found[0].differences], "paired seed")
    caption = (
        "Filled marks: mean over paired seeds with its 95 % t interval (a mark alone: one seed). "
        "Open diamonds: the same difference with its 95 % interval over test "
        f"patients. Per arm {pairs}."
    )
    return Part(
        title,
        caption,
        figures=((figures.forest(found, colors), "Forest plot of differences to the baseline"),),
        sheet=paired_sheet(found, colors),
        sentences=(*(s for c in comparisons for s in conclusions(c)), *caution(comparisons)),
        missing=f"No seed in common with the baseline: {listing(missing)}." if missing else "",
    )


def _tradeoff(rows: StudyRows) -> Part:
    title, summary = "Score against cost", summarise(rows)
    dice = next((c for c in summary.columns if c.class_name == MACRO), None)
    costs = arm_costs(rows)
    scores = {a.arm: a.values[dice.key] for a in summary.arms if dice and dice.key in a.values}
    panels = tradeoff(scores, costs, arm_notes(rows, costs))
    if not panels or dice is None:
        return Part(title, missing="Needs tested trials with recorded steps.")
    drawn = tradeoff_figure(
        panels,
        looks(rows.arms, rows.baseline),
        rows.arms,
        f"{dice.label} on test, macro",
        fraction=dice.measure.is_fraction,
    )
    n = range_text([c.n for c in costs], "seed")
    return Part(
        title,
        "One mark per arm: mean over seeds, bars are 95 % t intervals over seeds. Up and to the "
        f"left is better. Per arm {n}.",
        figures=((drawn, "Scatter plots of Dice against memory, optimizer state and time"),),
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
        figures=((figures.time_figure(timed), "Stacked bars of seconds per step by part"),),
        sheet=time_sheet(timed, looks(rows.arms, rows.baseline)),
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
        sheet=memory_sheet(costs, looks(rows.arms, rows.baseline)),
    )


def _peak(rows: StudyRows) -> str:
    devices = rows.of("arm", status="finished")["device"].dropna()
    if len(devices) and devices.str.startswith("cpu").all():
        return (
            "These trials ran on a CPU: peak memory is the largest resident size of the whole "
            "process so far, which hides differences between small networks."
        )
    return "Peak memory: most bytes allocated on the device (on a CPU: resident size)."


def _curves(rows: StudyRows) -> Part:
    title, colors = "Training", looks(rows.arms, rows.baseline)
    measure, val = val_curves(rows, "arm")
    loss = loss_curves(rows, "arm")
    drawn, missing = [], []
    if val.lines and measure is not None:
        drawn.append(
            (
                figures.curve_figure(val, colors, "epoch", f"{measure.label} on val, macro"),
                f"{measure.label} on val by epoch",
            )
        )
    else:
        missing.append("no score on val yet")
    if loss.lines:
        drawn.append(
            (
                figures.curve_figure(loss, colors, "optimizer step", "training loss"),
                "Training loss by step",
            )
        )
    else:
        missing.append("no step recorded yet")
    steps = rows.steps.groupby("trial_id").size()
    window = smoothing_window(int(steps.max())) if len(steps) else 1
    caption = (
        "Thick: mean over an arm's trials where all of them have a value; thin: single trials, "
        "running and failed ones too. n: trials. Losses compare only where arms share one"
        f"{f'; they are running means over {window} steps' if window > 1 else ''}."
    )
    return Part(
        title,
        caption if drawn else "",
        figures=tuple(drawn),
        missing=f"Missing: {listing(missing)}." if missing else "",
    )


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
                figures.spread_figure(found, looks(rows.arms, rows.baseline), measure),
                "Box plots of Dice per image by class and arm",
            ),
        ),
    )


def _pictures(rows: StudyRows) -> Part:
    title, trials = "Predictions", []
    for arm in rows.arms:
        of_arm = rows.of("arm", arm=arm)
        of_arm = of_arm[of_arm["trial_id"].isin(rows.pictures["trial_id"])]
        if len(of_arm):
            trials.append(
                (f"{arm}, seed {of_arm['seed'].iloc[0]}", str(of_arm["trial_id"].iloc[0]))
            )
    pictures = grid(rows, trials)
    if pictures is None:
        return Part(title, missing="No picture was kept yet: they come with the final evaluation.")
    return Part(
        title,
        f"Images of the {pictures.split} split, with the first seed of each arm. Colour: "
        "prediction; white line: outline of the truth. Examples, not evidence: they "
        "were not chosen by score. Dice of an image: mean over the classes that define it.",
        grid=pictures,
    )


def _tuning(rows: StudyRows) -> Part | None:
    measure, found = candidates(rows)
    if not found:
        return None
    return Part(
        "Tuning on val, before the seeds",
        f"n={len(found)} trials; the best of an arm on val went into its seeds. {_budget(found)}",
        sheet=tuning_sheet(found, measure, looks(rows.arms, rows.baseline)),
    )


def _budget(tried: Sequence[Candidate]) -> str:
    """Whether the tuned arms had the same number of tries."""
    tries = collections.Counter(c.arm for c in tried)
    if len(set(tries.values())) == 1:
        return f"Each tuned arm had {count(next(iter(tries.values())), 'try', 'tries')}."
    shown = ", ".join(f"{arm} {n}" for arm, n in tries.items())
    return f"Tries differ ({shown}): an arm with more of them had more chances."
