"""Forest plots: what is shown of each difference, and the figure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from segtune.report.evidence.differences.compare import Comparison, Difference
from segtune.report.evidence.differences.margins import margin_text
from segtune.report.evidence.estimate import Estimate
from segtune.report.evidence.objections.label_noise import Floor
from segtune.report.page.look import (
    MUTED,
    Figure,
    Key,
    Look,
    Looks,
    arrowheads,
    error_bar,
    faded,
    figure,
    name,
    named_rows,
    plain,
    reach,
)
from segtune.report.page.text import count, interval, number
from segtune.results.measures import Measure

_HEIGHTS = {1: (0.0,), 2: (0.13, -0.17), 3: (0.24, 0.0, -0.2), 4: (0.3, 0.1, -0.1, -0.3)}
"""Number of intervals of an arm -> their heights above and below its row."""
_MOST_NOISE = 3
"""Levels of the noise of labels that are drawn, the smallest of them: sentences have all."""


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
    noise: tuple[Floor, ...] = ()
    """What annotators disagree by."""


def forest(comparison: Comparison, noise: tuple[Floor, ...] = ()) -> Forest:
    """The intervals to draw: of every arm all kinds that it has.

    Args:
        comparison: of the arms.
        noise: what annotators disagree by in its measure.
    """
    rows = {
        d.arm: tuple(
            ForestInterval(kind, *found) for kind in KINDS if (found := kind.of(d)) is not None
        )
        for d in comparison.differences
    }
    bounds = {d.arm: d.held.bounds for d in comparison.differences if d.held is not None}
    return Forest(
        comparison.measure,
        comparison.baseline,
        comparison.split,
        rows,
        comparison.margin,
        bounds,
        noise,
    )


def _over_both(d: Difference) -> tuple[Estimate, str] | None:
    if d.over_both is None:
        return None
    return d.over_both, f"over seeds and patients, n={d.over_both.n} of the fewer"


def _over_seeds(d: Difference) -> tuple[Estimate, str]:
    return d.over_seeds, f"over {count(d.over_seeds.n, 'seed')}"


def over_patients(d: Difference) -> tuple[Estimate, str] | None:
    found = d.over_patients
    if found is None:
        return None
    over = f"over {count(found.patients, 'patient')}, {count(found.images, 'image')}"
    return Estimate(found.mean, found.low, found.high, found.patients), over


KINDS = (
    IntervalKind("over seeds and patients", "square", _over_both, arms_symbol=True),
    IntervalKind("over seeds", "circle-open", _over_seeds),
    IntervalKind("over patients", "diamond-open", over_patients),
)
"""From top to bottom; the first one that an arm has is drawn in bold."""


def forest_range(found: Sequence[Forest]) -> list[float]:
    """Limits of the axis of forest plots that share a unit: no difference, margins, all means, and
    intervals as far as `reach` takes them."""
    shown = [one.estimate for f in found for intervals in f.rows.values() for one in intervals]
    low, high = reach(shown)
    margin = max((f.margin for f in found if f.margin is not None), default=0.0)
    return [min(low, -1.1 * margin), max(high, 1.1 * margin)]


def forest_figure(found: Forest, looks: Looks, ends: Sequence[float]) -> Figure:
    """A row per arm, the interval that the verdict rests on in bold.

    Args:
        found: what is drawn.
        looks: of the arms.
        ends: limits of the axis; arrowheads say which intervals go on beyond.
    """
    measure, arms = found.measure, list(found.rows)
    row = {arm: len(arms) - 1 - i for i, arm in enumerate(arms)}
    traces = []
    for arm, intervals in found.rows.items():
        for one, height in zip(intervals, _HEIGHTS[len(intervals)], strict=True):
            y, strong = row[arm] + height, one is intervals[0]
            traces.append(_interval(arm, one, y, looks[arm], measure, strong=strong))
            traces += arrowheads(one.estimate, y, ends, looks[arm].color)
    keys = [Key("", "broad: 90 %, held against the margin", MUTED)] if found.bounds else []
    inside = [floor for floor in found.noise if floor.value < max(map(abs, ends))]
    shown = inside[:_MOST_NOISE]
    if shown:
        keys.append(Key("", "dotted: what two annotators disagree by", MUTED, "line"))
    behind = [*_band(found.margin, measure, len(arms)), *_noise(shown, measure, len(arms))]
    traces = [*behind, *_bounds(found, row, looks), *traces]
    drawn = {one.kind for intervals in found.rows.values() for one in intervals}
    better = "right is better" if measure.higher_is_better else "left is better"
    where = "" if found.split == "test" else f" on {found.split}"
    x_title = f"{measure.heading}{where}: arm minus {name(found.baseline)}<br>{better}"
    return figure(
        traces,
        height=116 + 56 * len(arms),
        span="half",
        keys=[Key("", kind.label, MUTED, kind.symbol) for kind in KINDS if kind in drawn] + keys,
        xaxis={"title": {"text": x_title}, "zeroline": True, "zerolinewidth": 1.5, "nticks": 6,
               "range": list(ends)},
        yaxis=named_rows(row),
    )  # fmt: skip


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


def _noise(shown: Sequence[Floor], measure: Measure, arms: int) -> list[dict[str, Any]]:
    """Dotted lines to either side, at what annotators disagree by."""
    traces = []
    for floor in shown:
        label = f"{floor.who} disagree by {plain(number(floor.value, measure.digits))}"
        for x in (-floor.value, floor.value):
            traces.append(
                {"type": "scatter", "x": [x, x], "y": [-0.6, arms - 0.4], "mode": "lines",
                 "line": {"color": MUTED, "width": 1, "dash": "dot"}, "name": label, "text": label,
                 "hoverinfo": "text"}
            )  # fmt: skip
    return traces


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
