"""The parts of a report: differences on test, and on images of another source."""

from collections.abc import Mapping, Sequence

from segtune.report.evidence.differences.compare import Comparison, trials_by_seed
from segtune.report.evidence.differences.conclusions import caution, conclusions
from segtune.report.evidence.differences.margins import changed_margins, margin_text
from segtune.report.evidence.finalists import KIND as FINALISTS
from segtune.report.evidence.objections.label_noise import Floor, floors, floors_text
from segtune.report.evidence.stats import ALPHA
from segtune.report.page.look import Figure, Looks
from segtune.report.page.page import Part
from segtune.report.page.text import MANY_ARMS, listing, percent, range_text
from segtune.report.parts.differences.forest import Forest, forest, forest_figure, forest_range
from segtune.report.parts.differences.table import differences_sheet
from segtune.results.measures import Measure
from segtune.results.study_rows import StudyRows


def differences_part(
    rows: StudyRows,
    comparisons: Sequence[Comparison],
    looks: Looks,
) -> Part:
    """Each arm against the baseline on the test split."""
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
    missing = sorted({arm for c in comparisons for arm in c.missing})
    both = (
        "and over both, on which the verdict rests after Holm's correction for the number of arms."
        if any(d.over_both is not None for d in found[0].differences)
        else "but not over both, for which there is too little: so there is no verdict."
    )
    rules = (_endpoints(comparisons), _margins(comparisons))
    noise = {c.measure: floors(rows, c.measure) for c in found}
    return Part(
        title,
        "Each arm minus the baseline, with 95 % intervals: over seeds (other trainings, these "
        f"patients), over test patients (these trainings, other patients), {both} "
        f"Arrowheads: the interval goes on. {_together(comparisons, rows.looks)}"
        f"Per arm {_pairs(found[0])}.{''.join(rules)}",
        figures=_forests(found, looks, noise),
        sheet=differences_sheet(found, looks),
        sentences=(
            *(s for c in comparisons for s in conclusions(c)),
            *caution(comparisons),
            *_variances(found[0]),
            *filter(None, [floors_text(of, measure) for measure, of in noise.items()]),
            *filter(None, [changed_margins(rows)[0]]),
        ),
        missing=_unpaired(rows, missing),
    )


def _together(comparisons: Sequence[Comparison], seeds_of_looks: Sequence[int]) -> str:
    """How intervals go with a correction for the number of arms; empty where one is tested."""
    tested = max(sum(d.over_both is not None for d in c.differences) for c in comparisons)
    if tested < 2:
        return ""
    level = f"each is at {100 * (1 - ALPHA / tested):.4g} %"
    if seeds_of_looks:
        level += ", and wider than that since verdicts are looked at several times"
    return (
        f"The intervals over both hold for all {tested} arms of a measure together (Bonferroni: "
        f"{level}): one that excludes 0 is a "
        "difference; Holm's test, which is the finer one, may show a difference whose interval "
        "just includes 0. "
    )


def _variances(first: Comparison) -> tuple[str, ...]:
    """A line that says whether differences vary over seeds or over patients."""
    split = {d.arm: d.spread.spread for d in first.differences if d.spread is not None}
    arms = [arm for arm, spread in split.items() if spread.varies]
    if not arms:
        return ()
    shares = [split[arm].shares for arm in arms]
    if len(arms) > MANY_ARMS:
        low, high = (tuple(pick(s) for s in zip(*shares, strict=True)) for pick in (min, max))
        ends = [f"{100 * a:.0f} to {percent(b)}" for a, b in zip(low, high, strict=True)]
        shown = f"{ends[0]} seed, {ends[1]} patient, {ends[2]} seed with patient, by arm"
    else:
        named = [
            f"{arm} {percent(seed)} seed, {percent(patient)} patient, {percent(both)} both"
            for arm, (seed, patient, both) in zip(arms, shares, strict=True)
        ]
        shown = "; ".join(named)
    return (
        f"{first.measure.name}: of the variance of one patient's difference in one training: "
        f"{shown} (what a seed does to a patient, single images in it). More seeds make the first "
        "smaller, more patients the second, either the third.",
    )


def _endpoints(comparisons: Sequence[Comparison]) -> str:
    """Which measure decides; empty where there is one alone."""
    first, *others = [c.measure.name for c in comparisons]
    if not others:
        return ""
    verb = "is" if len(others) == 1 else "are"
    return (
        f" The primary endpoint is {first}, the study's first objective; {listing(others)} {verb} "
        "secondary: no correction is made across measures."
    )


def _margins(comparisons: Sequence[Comparison]) -> str:
    """How verdicts within a margin are come by; empty without a margin."""
    margins = [
        f"{margin_text(c.margin, c.measure)} of {c.measure.name}"
        for c in comparisons
        if c.margin is not None
    ]
    if not margins:
        return ""
    return (
        f" Shaded: the margin, {listing(margins)}, within which a difference does not matter by "
        "the study's definition. As good: shown to lie within it on both sides (two one-sided "
        "tests at 5 %, for which the 90 % interval over both, the broad bar, is what counts); no "
        "worse: on the side that is worse. Each is corrected for the number of arms: the tests by "
        "Holm, the 90 % intervals by Bonferroni, so an interval may just reach beyond the margin "
        "where the test does not. Better and worse stand before as good, as good before no worse."
    )


def contrasts_part(comparisons: Sequence[Comparison], looks: Looks) -> Part | None:
    """The pairs of arms that the study declares besides; None where it declares none."""
    return _apart(
        comparisons,
        looks,
        "Differences between other arms",
        "The pairs that the study declares besides those with the baseline. Intervals, tests and "
        "verdicts as above; corrections are for the arms that have the same reference.",
        "paired_contrasts",
    )


def external_part(comparisons: Sequence[Comparison], looks: Looks) -> Part | None:
    """The same differences on images of another source; None where none were tested on."""
    return _apart(
        comparisons,
        looks,
        "Differences on the external set",
        "Each arm minus the baseline on images of another source, tested once with the weights "
        "that were tested at home. Intervals, tests and verdicts as above; Holm's correction is "
        "for the arms of this set.",
        "paired_external",
    )


def _apart(
    comparisons: Sequence[Comparison], looks: Looks, title: str, caption: str, file_name: str
) -> Part | None:
    """Differences beside those to the baseline on test, drawn alike; None where there are none."""
    found = [c for c in comparisons if c.differences]
    if not found:
        return None
    return Part(
        title,
        f"{caption} Per arm {_pairs(found[0])}.",
        figures=_forests(found, looks),
        sheet=differences_sheet(found, looks, file_name),
        sentences=tuple(s for c in found for s in conclusions(c)),
    )


def _forests(
    found: Sequence[Comparison],
    looks: Looks,
    noise: Mapping[Measure, tuple[Floor, ...]] | None = None,
) -> tuple[tuple[Figure, str], ...]:
    """A forest plot for each measure; those of one unit have the same axis.

    Args:
        found: what is drawn.
        looks: of the arms.
        noise: what annotators disagree by, where it is known.
    """
    drawn = [
        (c, (c.measure.is_fraction, c.measure.unit), forest(c, (noise or {}).get(c.measure, ())))
        for c in found
    ]
    by_unit: dict[tuple[bool, str], list[Forest]] = {}
    for _, unit, one in drawn:
        by_unit.setdefault(unit, []).append(one)
    ends = {unit: forest_range(of_unit) for unit, of_unit in by_unit.items()}
    return tuple(
        (
            forest_figure(one, looks, ends[unit]),
            f"Differences to {c.baseline} in {c.measure.label} on {c.split}, by arm",
        )
        for c, unit, one in drawn
    )


def _pairs(comparison: Comparison) -> str:
    return range_text([d.over_seeds.n for d in comparison.differences], "paired seed")


def _unpaired(rows: StudyRows, missing: Sequence[str]) -> str:
    """Arms that could not be paired with the baseline, by reason."""
    base = set(trials_by_seed(rows, rows.baseline or ""))
    alone = [arm for arm in missing if not base & set(trials_by_seed(rows, arm))]
    undefined = [arm for arm in missing if arm not in alone]
    reasons = (
        ("No seed in common with the baseline", alone),
        ("No seed with a value on both sides", undefined),
    )
    return " ".join(f"{reason}: {listing(arms)}." for reason, arms in reasons if arms)
