"""What figures of arms share: legend, rows by name, error bars and limits of an axis.

Names of arms, trials, classes and images come from outside and pass through `style.plain` or
`style.name` wherever they are drawn.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from segtune.report.stats import Estimate
from segtune.report.style import Key, Look, look, looks, name
from segtune.results.measures import Measure
from segtune.results.study_rows import StudyRows

Looks = Mapping[str, Look]
Figure = Any
"""Plotly's, which has no types."""


def arm_looks(rows: StudyRows) -> Looks:
    """How each arm is drawn; the same in all sections of a page that it is in."""
    if rows.places:
        return {arm: look(place) for arm, place in rows.places.items()}
    return looks(rows.arms, rows.baseline)


def arm_keys(
    arms: Iterable[str], drawn: Looks, labels: Mapping[str, str] | None = None
) -> list[Key]:
    """The legend of some arms."""
    shown = labels or {}
    return [Key(a, shown.get(a, a), drawn[a].color, drawn[a].symbol) for a in dict.fromkeys(arms)]


def named_rows(row: Mapping[str, int]) -> dict[str, Any]:
    return {
        "tickvals": list(row.values()), "ticktext": [name(a) for a in row],
        "range": [-0.6, len(row) - 0.4], "ticklen": 0, "ticksuffix": " ", "showgrid": False,
    }  # fmt: skip


def error_bar(estimate: Estimate, **look: Any) -> dict[str, Any] | None:
    if estimate.low is None or estimate.high is None:
        return None
    above, below = estimate.high - estimate.mean, estimate.mean - estimate.low
    return {"type": "data", "symmetric": False, "array": [above], "arrayminus": [below], **look}


def limits(estimates: Sequence[Estimate], measure: Measure) -> list[float]:
    """An axis for all means, and for intervals as far as the metric goes.

    With two seeds a t interval may be a hundred times as wide as what the arms differ by.
    """
    means = [e.mean for e in estimates]
    ends = [v for e in estimates for v in (e.low, e.high) if v is not None]
    room = 0.6 * (max(means) - min(means)) or 0.1
    low = max(min(means) - room, min([*means, *ends]))
    high = min(max(means) + room, max([*means, *ends]))
    extra = 0.05 * (high - low) or 0.05
    return [max(0.0, low - extra), min(1.0, high + extra) if measure.is_fraction else high + extra]
