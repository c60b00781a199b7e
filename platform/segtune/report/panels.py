"""Parts of an ablation's section that are mostly figures: each computes, then draws."""

from collections.abc import Sequence

from segtune.report import figures
from segtune.report.agreement import agreements
from segtune.report.cost import step_costs
from segtune.report.curves import EFFORTS, learning_curves, loss_curves, smoothing_window
from segtune.report.factors import Level, factors
from segtune.report.figures_differences import domain_figure, forest, size_figure
from segtune.report.figures_tradeoff import tradeoff_figure
from segtune.report.figures_training import learning_figure, loss_figure, update_figure
from segtune.report.heat import rank_by_interval
from segtune.report.marks import Figure, Looks, arm_looks
from segtune.report.paired import Comparison
from segtune.report.perclass import class_scores
from segtune.report.pictures import grid
from segtune.report.section import Part
from segtune.report.sheet import Cell, Sheet
from segtune.report.shift import shifts
from segtune.report.text import DASH, MISSING, listing, setting
from segtune.report.tradeoff import Panel
from segtune.results.study_rows import StudyRows

Drawn = tuple[tuple[Figure, str], ...]
"""Figures with what each shows in words."""
_MOST_PANELS = 6
"""Arms that are drawn against the baseline image by image."""


def forests(comparisons: Sequence[Comparison], arms: Looks) -> Drawn:
    """One forest plot per measure."""
    return tuple(
        (forest(c, arms), f"Differences to {c.baseline} in {c.measure.label} on {c.split}, by arm")
        for c in comparisons
    )


def tradeoffs(
    panels: Sequence[Panel], arms: Looks, named: Sequence[str], y_title: str, *, fraction: bool
) -> Drawn:
    """One scatter plot per kind of cost."""
    return tuple(
        (tradeoff_figure(p, arms, named, y_title, fraction=fraction), f"{y_title} against {p.key}")
        for p in panels
    )


def updates_part(rows: StudyRows) -> Part | None:
    """What a refresh of the basis costs, step by step."""
    found = step_costs(rows)
    if not found:
        return None
    told = [
        f"{c.arm} every {c.every} steps (median update {c.median:.4f} s, slowest {c.slowest:.4f} s)"
        for c in found
    ]
    bins = max(c.bin for c in found)
    return Part(
        "Refreshes",
        "Seconds of each update of the first finished trial of an arm (n=1), optimizer and refresh "
        "together, without the first step"
        f"{f'; of every {bins} steps the slowest is drawn' * (bins > 1)}. "
        f"Refreshed: {'; '.join(told)}.",
        figures=(
            (
                update_figure(found, arm_looks(rows)),
                "Seconds of each update; refreshes stand out",
            ),
        ),
    )


def factors_part(rows: StudyRows) -> Part | None:
    """The ablation table: every arm by every setting in which arms differ."""
    found = factors(rows)
    if not found.fields:
        return None
    arms = arm_looks(rows)
    body = tuple(
        (
            Cell(
                arm + (" (baseline)" if arm == rows.baseline else ""),
                color=arms[arm].color,
                left=True,
            ),
            *(_level(level) for level in levels),
        )
        for arm, levels in found.levels.items()
    )
    strong = frozenset(i for i, arm in enumerate(found.levels) if arm == rows.baseline)
    return Part(
        "What differs between the arms",
        "\u25cf: changed against the baseline; \u25cb: as in the baseline. A dash: the arm has no "
        "such setting. \u2713 and \u2717: present and absent.",
        sheet=Sheet("factors", ("arm", *found.fields), body, strong),
    )


def _level(level: Level) -> Cell:
    if level.value is MISSING:
        return Cell(DASH, left=True)
    words = {True: "\u2713", False: "\u2717", None: "none"}
    simple = isinstance(level.value, bool) or level.value is None
    shown = words[level.value] if simple else setting(level.value)
    return Cell(f"{chr(0x25CF) if level.changed else chr(0x25CB)} {shown}", left=True)


def curves_part(rows: StudyRows) -> Part:
    """Learning curves against steps, seconds and images, and the training loss."""
    arms, missing = arm_looks(rows), []
    measure, learning = learning_curves(rows)
    drawn = [
        (
            learning_figure(
                means, arms, EFFORTS[effort], measure, "full" if effort == "step" else "half"
            ),
            f"{measure.label} on val against {EFFORTS[effort]}",
        )
        for effort, means in learning.items()
        if measure is not None
    ]
    if not drawn:
        missing.append("no score on val yet")
    loss = loss_curves(rows, "arm")
    if loss.lines:
        drawn.append((loss_figure(loss, arms), "Training loss by step"))
    else:
        missing.append("no step recorded yet")
    steps = rows.steps.groupby("trial_id").size()
    window = smoothing_window(int(steps.max())) if len(steps) else 1
    caption = (
        "On val: mean over an arm's finished trials, where all of them have a value, with the band "
        "of its 95 % t interval over seeds (n=1: no band; with two seeds a band is wide and may "
        "leave the figure). Seconds are those of training steps. Loss: thin lines are single "
        "trials, running and failed ones too; losses compare only where arms share one"
        f"{f'; running means over {window} steps' if window > 1 else ''}."
    )
    return Part(
        "Training",
        caption if drawn else "",
        figures=tuple(drawn),
        missing=f"Missing: {listing(missing)}." if missing else "",
    )


def classes_part(rows: StudyRows) -> Part:
    """Dice and ASSD of each class."""
    title, arms = "Each class", arm_looks(rows)
    found = class_scores(rows)
    if not found:
        return Part(title, missing="No class was scored on test yet.")
    unscored = sorted({s.class_name for s in found[0].scores} - {
        s.class_name for s in found[0].scores if s.estimate is not None
    })  # fmt: skip
    return Part(
        title,
        "Mean over seeds with its 95 % t interval over seeds; a mark alone is one seed. Wide "
        "intervals may leave the figure: hovering tells their ends.",
        figures=tuple(
            (figures.class_figure(c, arms), f"{c.measure.label} on test by class and arm")
            for c in found
        ),
        missing=f"Defined on no test image: {listing(unscored)}." if unscored else "",
    )


def heat_part(rows: StudyRows, role: str) -> Part | None:
    """Rank by refresh interval, where both were varied."""
    found = rank_by_interval(rows, role)
    if found is None:
        return None
    trials = sum(sum(row) for row in found.n)
    return Part(
        "Rank and refresh interval",
        f"Mean {found.measure.label} on {found.split} per cell, n trials in it (n={trials} in "
        "all); empty: not tried. Other settings may differ between cells.",
        figures=((figures.heat_figure(found), "Heat map of rank by refresh interval"),),
    )


def shift_part(rows: StudyRows) -> Part | None:
    """Another domain, other sizes of mask."""
    found, arms = shifts(rows), arm_looks(rows)
    if not found:
        return None
    drawn = [
        (domain_figure(s, arms), f"{s.measure.label} on test and external, by arm")
        for s in found
        if s.domains
    ] + [
        (size_figure(s, arms), f"{s.measure.label} by size of the masks") for s in found if s.sizes
    ]
    return Part(
        "Another domain, another size",
        "The same trained weights, tested on images of another source (external) and on masks of "
        "other sizes than they were trained at. Mean over seeds with its 95 % t interval; hovering "
        "shows the change, paired by seed. Distances in pixels grow with the size of the mask.",
        figures=tuple(drawn),
    )


def agreement_part(rows: StudyRows) -> Part | None:
    """Each arm against the baseline, image by image."""
    measure, found = agreements(rows)
    if measure is None or not found:
        return None
    arms = arm_looks(rows)
    # The widest differences are what a reader asks about.
    gap = {a.arm: abs(sum(a.of_arm) - sum(a.of_baseline)) / len(a.of_arm) for a in found}
    widest = set(sorted(gap, key=lambda arm: -gap[arm])[:_MOST_PANELS])
    shown = [a for a in found if a.arm in widest]
    more = len(found) - len(shown)
    wins = ", ".join(f"{a.arm} {a.wins} of {len(a.of_arm)}" for a in shown)
    return Part(
        "Image by image",
        f"One mark per test image: {measure.label} of {shown[0].baseline} across, of the arm "
        "upwards, each the mean over classes and seeds. Above the dotted line the arm is better. "
        f"Images on which the arm scores higher: {wins}."
        + (f" {more} further arms, closer to the baseline on average, are not drawn." * bool(more)),
        figures=tuple(
            (figures.agreement_figure(a, arms[a.arm], measure), f"{a.arm} against {a.baseline}")
            for a in shown
        ),
    )


def gallery_part(rows: StudyRows) -> Part:
    """Best, median and worst of the pictured images, for every arm."""
    title, trials = "Predictions", []
    for arm in rows.arms:
        of_arm = rows.of("arm", arm=arm, status="finished")
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
        f"{pictures.chosen} The first finished seed of each arm. Above: prediction in colour, "
        "outline of the truth in white; below: errors. Examples, not evidence. Dice of an image: "
        "mean over the classes that define it.",
        grid=pictures,
    )
