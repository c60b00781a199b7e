"""Differences to the baseline: forest plots with their intervals, the table, the conclusions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from segtune.report.evidence.compare import SIGNS, Comparison, Difference, trials_by_seed
from segtune.report.evidence.conclusions import caution, conclusions
from segtune.report.evidence.estimate import Estimate
from segtune.report.evidence.finalists import KIND as FINALISTS
from segtune.report.evidence.margins import changed_margins, margin_text
from segtune.report.evidence.stats import ALPHA
from segtune.report.page.look import (
    MUTED,
    Figure,
    Key,
    Look,
    Looks,
    error_bar,
    faded,
    figure,
    name,
    named_rows,
    plain,
)
from segtune.report.page.page import Part
from segtune.report.page.sheet import Cell, Sheet, raw_estimate, raw_header_of
from segtune.report.page.text import (
    DASH,
    count,
    interval,
    listing,
    number,
    p_text,
    p_value,
    range_text,
)
from segtune.results.measures import Measure
from segtune.results.study_rows import StudyRows

_HEIGHTS = {1: (0.0,), 2: (0.13, -0.17), 3: (0.24, 0.0, -0.2), 4: (0.3, 0.1, -0.1, -0.3)}
"""Number of intervals of an arm -> their heights above and below its row."""


@dataclass(frozen=True)
class IntervalKind:
    """One kind of interval in the forest plot."""

    label: str
    """In the legend."""
    symbol: str
    """In the legend; in the plot as well, unless it is the arm's own."""
    of: Callable[[Difference], tuple[Estimate, str] | None]
    """The interval of a difference and what it is over, in words; None where there is none."""
    arms_symbol: bool = False
    """Whether it is drawn with the symbol of the arm."""


@dataclass(frozen=True)
class ForestInterval:
    """One interval of one arm."""

    kind: IntervalKind
    estimate: Estimate
    over: str
    """`over 3 seeds`."""


@dataclass(frozen=True)
class Forest:
    """The intervals of all arms in one measure."""

    measure: Measure
    baseline: str
    split: str
    rows: Mapping[str, tuple[ForestInterval, ...]]
    """Arm -> its intervals, the one that the verdict rests on first."""
    margin: float | None = None
    """Half the width of the band around no difference; None for none."""
    bounds: Mapping[str, Estimate] = field(default_factory=dict)
    """Arm -> the 90 % interval that is held against the margin."""


def forest(comparison: Comparison) -> Forest:
    """The intervals to draw: of every arm all kinds that it has."""
    rows = {
        d.arm: tuple(
            ForestInterval(kind, *found) for kind in KINDS if (found := kind.of(d)) is not None
        )
        for d in comparison.differences
    }
    bounds = {d.arm: d.held.bounds for d in comparison.differences if d.held is not None}
    return Forest(
        comparison.measure, comparison.baseline, comparison.split, rows, comparison.margin, bounds
    )


def _over_both(d: Difference) -> tuple[Estimate, str] | None:
    if d.over_both is None:
        return None
    return d.over_both, f"over seeds and patients, n={d.over_both.n} of the fewer"


def _over_seeds(d: Difference) -> tuple[Estimate, str]:
    return d.over_seeds, f"over {count(d.over_seeds.n, 'seed')}"


def _over_patients(d: Difference) -> tuple[Estimate, str] | None:
    found = d.over_patients
    if found is None:
        return None
    over = f"over {count(found.patients, 'patient')}, {count(found.images, 'image')}"
    return Estimate(found.mean, found.low, found.high, found.patients), over


KINDS = (
    IntervalKind("over seeds and patients", "square", _over_both, arms_symbol=True),
    IntervalKind("over seeds", "circle-open", _over_seeds),
    IntervalKind("over patients", "diamond-open", _over_patients),
)
"""From top to bottom; the first one that an arm has is drawn in bold."""


def forest_figure(found: Forest, looks: Looks) -> Figure:
    """A row per arm, the interval that the verdict rests on in bold."""
    measure, arms = found.measure, list(found.rows)
    row = {arm: len(arms) - 1 - i for i, arm in enumerate(arms)}
    traces = [
        _interval(arm, one, row[arm] + height, looks[arm], measure, strong=one is intervals[0])
        for arm, intervals in found.rows.items()
        for one, height in zip(intervals, _HEIGHTS[len(intervals)], strict=True)
    ]
    keys = [Key("", "broad: 90 %, held against the margin", MUTED)] if found.bounds else []
    traces = [*_band(found.margin, measure, len(arms)), *_bounds(found, row, looks), *traces]
    drawn = {one.kind for intervals in found.rows.values() for one in intervals}
    better = "right is better" if measure.higher_is_better else "left is better"
    where = "" if found.split == "test" else f" on {found.split}"
    x_title = f"{measure.label}{where}: arm minus {name(found.baseline)}<br>{better}"
    return figure(
        traces,
        height=116 + 56 * len(arms),
        span="half",
        keys=[Key("", kind.label, MUTED, kind.symbol) for kind in KINDS if kind in drawn] + keys,
        xaxis={"title": {"text": x_title}, "zeroline": True, "zerolinewidth": 1.5, "nticks": 6},
        yaxis=named_rows(row),
    )


def _band(margin: float | None, measure: Measure, arms: int) -> list[dict[str, Any]]:
    """The differences that do not matter; a trace, so that the axis reaches its ends."""
    if margin is None:
        return []
    label = f"margin: {plain(margin_text(margin, measure))} to either side"
    low, high = -0.6, arms - 0.4
    return [
        {"type": "scatter", "x": [-margin, margin, margin, -margin], "y": [low, low, high, high],
         "mode": "lines", "line": {"width": 0}, "fill": "toself", "hoveron": "fills",
         "fillcolor": faded(MUTED, 0.16), "name": label, "text": label, "hoverinfo": "text"}
    ]  # fmt: skip


def _bounds(found: Forest, row: Mapping[str, int], looks: Looks) -> list[dict[str, Any]]:
    """Broad bars of the 90 % intervals, behind the intervals that verdicts of a difference rest
    on."""
    digits, traces = found.measure.digits, []
    for arm, estimate in found.bounds.items():
        y = row[arm] + _HEIGHTS[len(found.rows[arm])][0]
        label = f"{plain(arm)}: 90 % over seeds and patients, held against the margin"
        shown = interval(estimate, digits, sign=True)
        traces.append(
            {"type": "scatter", "x": [estimate.low, estimate.high], "y": [y, y], "mode": "lines",
             "line": {"color": faded(looks[arm].color, 0.45), "width": 9}, "name": label,
             "hovertemplate": f"{label}<br>{shown}<extra></extra>"}
        )  # fmt: skip
    return traces


def _interval(
    arm: str, one: ForestInterval, y: float, look: Look, measure: Measure, *, strong: bool
) -> dict[str, Any]:
    estimate, digits = one.estimate, measure.digits
    shown = f"{number(estimate.mean, digits, sign=True)} {interval(estimate, digits, sign=True)}"
    label = f"{plain(arm)}: {one.over}"
    marker = {"color": look.color if strong else faded(look.color, 0.65),
              "symbol": look.symbol if one.kind.arms_symbol else one.kind.symbol,
              "size": 11 if strong else 7}  # fmt: skip
    return {
        "type": "scatter", "x": [estimate.mean], "y": [y], "mode": "markers", "name": label,
        "error_x": error_bar(estimate, thickness=2, width=5), "marker": marker,
        "hovertemplate": f"{label}<br>{shown}<extra></extra>",
    }  # fmt: skip


def differences_sheet(
    comparisons: Sequence[Comparison], looks: Looks, file_name: str = "paired"
) -> Sheet:
    """Every difference with its intervals, tests, effect sizes and verdict."""
    rows, raw = [], []
    margins = any(c.margin is not None for c in comparisons)
    for comparison in comparisons:
        for d in comparison.differences:
            cells = _cells(d, comparison.measure, looks[d.arm])
            numbers = _numbers(d)
            if margins:
                cells = (*cells[:-1], _held(d, comparison.measure), cells[-1])
                numbers = (*numbers, *_held_numbers(d, comparison.margin))
            rows.append(cells)
            raw.append((comparison.measure.metric, comparison.baseline, d.arm, *numbers))
    return Sheet(
        file_name,
        (
            "metric", "arm", "difference", "95 % over seeds", "95 % over patients",
            "95 % over both", "p (Holm)", "effect size g over seeds",
            *(("90 % against the margin",) if margins else ()), "verdict",
        ),
        tuple(rows),
        frozenset(),
        (
            "metric", "baseline", "arm", *raw_header_of("difference"), "p_seeds",
            "patients_low", "patients_high", "patients", "images", "p_patients",
            "both_low", "both_high", "p", "p_holm", "g_seeds", "g_patients", "verdict", "why",
            *(_HELD if margins else ()),
        ),
        tuple(raw),
    )  # fmt: skip


def _cells(d: Difference, measure: Measure, look: Look) -> tuple[Cell, ...]:
    digits, patients, both = measure.digits, Cell(DASH), Cell(DASH)
    if (found := _over_patients(d)) is not None and d.over_patients is not None:
        n = f"{d.over_patients.patients} patients, {d.over_patients.images} images"
        patients = Cell(interval(found[0], digits, sign=True), small=_tested(n, d.p_patients))
    if d.over_both is not None:
        alone = "" if d.p == d.p_holm else " alone"
        both = Cell(interval(d.over_both, digits, sign=True), small=f"{_tested('', d.p)}{alone}")
    return (
        Cell(measure.label, left=True),
        Cell(d.arm, color=look.color, left=True),
        Cell(number(d.over_seeds.mean, digits, sign=True)),
        Cell(
            interval(d.over_seeds, digits, sign=True),
            small=_tested(count(d.over_seeds.n, "seed"), d.p_seeds),
        ),
        patients,
        both,
        Cell(p_value(d.p_holm)),
        Cell(
            number(d.effect_seeds, 2, sign=True),
            small=f"{number(d.effect_patients, 2, sign=True)} over patients",
        ),
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


def differences_part(rows: StudyRows, comparisons: Sequence[Comparison], looks: Looks) -> Part:
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
    return Part(
        title,
        "Each arm minus the baseline, with 95 % intervals: over seeds (other trainings, these "
        f"patients), over test patients (these trainings, other patients), {both} "
        f"{_together(comparisons)}Per arm {_pairs(found[0])}.{''.join(rules)}",
        figures=_forests(found, looks),
        sheet=differences_sheet(found, looks),
        sentences=(
            *(s for c in comparisons for s in conclusions(c)),
            *caution(comparisons),
            *filter(None, [changed_margins(rows)[0]]),
        ),
        missing=_unpaired(rows, missing),
    )


def _together(comparisons: Sequence[Comparison]) -> str:
    """How intervals go with a correction for the number of arms; empty where one is tested."""
    tested = max(sum(d.over_both is not None for d in c.differences) for c in comparisons)
    if tested < 2:
        return ""
    return (
        f"The intervals over both hold for all {tested} arms of a measure together (Bonferroni: "
        f"each is at {100 * (1 - ALPHA / tested):.4g} %): one that excludes 0 is a "
        "difference; Holm's test, which is the finer one, may show a difference whose interval "
        "just includes 0. "
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


def external_part(comparisons: Sequence[Comparison], looks: Looks) -> Part | None:
    """The same differences on images of another source; None where none were tested on."""
    found = [c for c in comparisons if c.differences]
    if not found:
        return None
    return Part(
        "Differences on the external set",
        "Each arm minus the baseline on images of another source, tested once with the weights "
        "that were tested at home. Intervals, tests and verdicts as above; Holm's correction is "
        f"for the arms of this set. Per arm {_pairs(found[0])}.",
        figures=_forests(found, looks),
        sheet=differences_sheet(found, looks, "paired_external"),
        sentences=tuple(s for c in found for s in conclusions(c)),
    )


def _forests(found: Sequence[Comparison], looks: Looks) -> tuple[tuple[Figure, str], ...]:
    return tuple(
        (
            forest_figure(forest(c), looks),
            f"Differences to {c.baseline} in {c.measure.label} on {c.split}, by arm",
        )
        for c in found
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
