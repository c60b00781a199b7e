"""Colours and the common style of all figures.

Every colour stands out against white and against the dark page alike, and no two of the palette
look the same to a colour-blind reader (its tests compute both). What
the theme decides (ink, grid, background) is left to the page, which knows whether it is light or
dark.

Names of arms, trials, classes and images come from outside and pass through `plain` or `name`
wherever they are drawn.
"""

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go

from segtune.report.evidence.estimate import Estimate
from segtune.report.page.text import LONGEST_NAME, folded
from segtune.results.measures import Measure

CLASS_COLORS = {
    "ridge": (230, 75, 53),
    "silhouette": (0, 160, 135),
    "ligament": (60, 84, 200),
}
"""The classes' colours in the pictures of the tables."""
BASELINE_COLOR = "#767676"
MUTED = "#767676"
FRONT, OTHER = "#d86000", "#1890fc"
"""A Pareto front, and what does not lie on it."""
COLORS = (
    "#006cb4", "#d86000", "#009c78", "#9c30e4", "#9c84b4", "#c024b4", "#d80c24", "#1890fc",
)  # fmt: skip
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "triangle-down", "star")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
PART_COLORS = {
    "data": "#8a8a8a",
    "forward": "#a08a48",
    "backward": "#80621c",
    "optimizer": "#4f8f8f",
    "refresh": "#e0559a",
}
"""Parts of a step; no arm has one of these colours."""
SEQUENTIAL = ((0.0, "#dbe9f6"), (0.5, "#6ba7d6"), (1.0, "#08407e"))
"""A scale from low to high on which numbers are legible at both ends."""
LIGHT = {"ink": "#1c1c1c", "grid": "#e4e4e4", "axis": "#8c8c8c", "paper": "#ffffff"}
DARK = {"ink": "#e6e6e6", "grid": "#343840", "axis": "#7d828c", "paper": "#14161a"}
"""The page's script gives a figure one of these."""
Span = Literal["full", "half", "third"]

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_AXIS = {"zeroline": False, "automargin": True, "gridcolor": LIGHT["grid"],
         "linecolor": LIGHT["axis"], "zerolinecolor": LIGHT["axis"], "tickcolor": LIGHT["axis"],
         "title": {"standoff": 8, "font": {"size": 13}}}  # fmt: skip
_TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": _FONT, "size": 13, "color": LIGHT["ink"]},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hoverlabel": {"align": "left", "font": {"size": 12}},
        "xaxis": {**_AXIS, "ticks": "outside", "ticklen": 4, "exponentformat": "power"},
        "yaxis": _AXIS,
        "margin": {"l": 56, "r": 16, "t": 14, "b": 48},
        "showlegend": False,
    }
)


@dataclass(frozen=True)
class Look:
    """How one arm is drawn, everywhere in a report."""

    color: str
    symbol: str
    dash: str = "solid"


@dataclass(frozen=True)
class Key:
    """An entry of the legend that the page writes above the figures of a part."""

    group: str
    """`legendgroup` of the traces that it stands for."""
    label: str
    color: str
    symbol: str = "square"


Looks = Mapping[str, Look]
"""Arm -> how it is drawn."""
Figure = Any
"""A figure of plotly, which has no types."""


def looks(arms: Sequence[str], baseline: str | None) -> dict[str, Look]:
    """One look per arm; the baseline is grey, and colours repeat with another symbol and dash."""
    others = [a for a in arms if a != baseline]
    chosen = {arm: _look(i) for i, arm in enumerate(others)}
    return chosen if baseline is None else {baseline: Look(BASELINE_COLOR, "circle"), **chosen}


def _look(i: int) -> Look:
    """The look of the arm with this number, the baseline not counted."""
    again = i // len(COLORS)
    symbol = SYMBOLS[(i + 1 + again) % len(SYMBOLS)]
    return Look(COLORS[i % len(COLORS)], symbol, DASHES[again % len(DASHES)])


def arm_keys(
    arms: Iterable[str], drawn: Looks, labels: Mapping[str, str] | None = None
) -> list[Key]:
    """The legend of some arms, each once."""
    shown = labels or {}
    return [Key(a, shown.get(a, a), drawn[a].color, drawn[a].symbol) for a in dict.fromkeys(arms)]


def faded(color: str, alpha: float) -> str:
    """A `#rrggbb` colour with an opacity."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {alpha})"


def plain(text: object, longest: int | None = None) -> str:
    """A string from outside as plotly may show it: no markup, no placeholder, one line.

    Plotly reads `<b>`, `&amp;` and `%{x}` in names. Characters that change the direction of writing
    are dropped, and right-to-left text is isolated from what surrounds it.

    Args:
        text: what to show.
        longest: characters from which on the middle is left out.
    """
    shown = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    if longest is not None:
        shown = folded(shown, longest)
    leftward = any(unicodedata.bidirectional(c) in ("R", "AL") for c in shown)
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("%", "&#37;")):
        shown = shown.replace(character, entity)
    return f"\u2068{shown}\u2069" if leftward else shown


def name(text: object) -> str:
    """A name as an axis or a point shows it."""
    return plain(text, LONGEST_NAME)


def log_ticks(low: float, high: float) -> dict[str, Any]:
    """Ticks at round values of a logarithmic axis, few enough to write all of them out."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if math.log10(high / low) < 2.5 else (1,)
    ticks = [t for d in decades for s in steps if low <= (t := s * 10.0**d) <= high]
    return {"tickvals": ticks, "ticktext": [f"{t:g}".replace("e-0", "e-") for t in ticks]}


def figure(
    traces: Sequence[Any],
    *,
    height: int,
    span: Span = "full",
    keys: Sequence[Key] = (),
    **layout: Any,
) -> Figure:
    """A plotly figure in the report's style.

    Args:
        traces: dictionaries in plotly's schema, or plotly's objects.
        height: pixels; the width is the page's to choose.
        span: how much of a wide page it takes; on a phone all of it.
        keys: the legend; the page writes it once for all figures of a part.
        layout: plotly's layout.
    """
    meta = {"span": span, "keys": [vars(k) for k in keys]}
    # Checked by plotly: a wrong property is an error here, not an empty figure on the page. It is
    # given the layout at once, else it first makes one of its own from a large template.
    return go.Figure(
        list(traces), {"template": _TEMPLATE, "height": height, "meta": meta, **layout}
    )


def span(numbers: Sequence[float], room: float) -> list[float]:
    """Limits of an axis: from the smallest to the largest number, with room at both ends.

    Args:
        numbers: at least one.
        room: at each end, as a share of the distance between smallest and largest.
    """
    low, high = min(numbers), max(numbers)
    alike = high - low <= 1e-9 * max(abs(low), abs(high))  # but for what rounding leaves of them
    extra = 0.1 * abs(high) or 1.0 if alike else room * (high - low)
    return [low - extra, high + extra]


def packed(numbers: Sequence[float]) -> Any:
    """Numbers that plotly sends to the page in 32 bits each, not as text."""
    return np.asarray(numbers, dtype=np.float32)


def named_rows(row: Mapping[str, int]) -> dict[str, Any]:
    """A y axis with a name per row.

    Args:
        row: name -> its height, from 0 upwards.
    """
    return {
        "tickvals": list(row.values()), "ticktext": [name(a) for a in row],
        "range": [-0.6, len(row) - 0.4], "ticklen": 0, "ticksuffix": " ", "showgrid": False,
    }  # fmt: skip


def error_bar(estimate: Estimate, **look: Any) -> dict[str, Any] | None:
    """Plotly's bars for an interval; None where there is none."""
    if estimate.low is None or estimate.high is None:
        return None
    above, below = estimate.high - estimate.mean, estimate.mean - estimate.low
    return {"type": "data", "symmetric": False, "array": [above], "arrayminus": [below], **look}


def reach(estimates: Sequence[Estimate]) -> list[float]:
    """Limits of an axis of differences: 0 and all means, and intervals as far as twice the distance
    between these; `arrowheads` say where an interval goes on."""
    means = [0.0, *(e.mean for e in estimates)]
    ends = [*means, *(v for e in estimates for v in (e.low, e.high) if v is not None)]
    half = [abs(v - e.mean) for e in estimates for v in (e.low, e.high) if v is not None]
    # The shorter half of the intervals is always whole.
    room = max(2 * (max(means) - min(means)), float(np.median(half)) if half else 0.0)
    low, high = max(min(means) - room, min(ends)), min(max(means) + room, max(ends))
    extra = 0.04 * (high - low) or 0.01
    return [low - extra, high + extra]


def arrowheads(
    estimate: Estimate,
    at: Any,
    ends: Sequence[float],
    color: str,
    *,
    upright: bool = False,
    group: str = "",
) -> list[dict[str, Any]]:
    """Arrowheads where an interval leaves its panel: a reader of paper cannot point at it.

    Args:
        estimate: with the interval.
        at: its place on the other axis.
        ends: limits of the axis of the interval.
        color: of the interval.
        upright: whether the interval is drawn along y.
        group: `legendgroup`, so that it is hidden with the interval.
    """
    if estimate.low is None or estimate.high is None:
        return []
    out = [(ends[0], estimate.low < ends[0], "left"), (ends[1], estimate.high > ends[1], "right")]
    # Drawn inwards from the end, so that none lies on the names beside the panel.
    angles = {"left": 180, "right": 0} if upright else {"left": -90, "right": 90}
    along, across = ("y", "x") if upright else ("x", "y")
    return [
        {"type": "scatter", along: [end], across: [at], "mode": "markers", "hoverinfo": "skip",
         "marker": {"color": color, "symbol": "arrow", "angle": angles[side], "size": 10},
         "cliponaxis": False,
         **({"legendgroup": group} if group else {})}
        for end, beyond, side in out if beyond
    ]  # fmt: skip


def limits(estimates: Sequence[Estimate], measure: Measure) -> list[float]:
    """Limits of an axis that shows all means, and intervals as far as the metric can reach.

    Intervals are cut off: with two seeds a t interval may be a hundred times as wide as what the
    arms differ by.
    """
    means = [e.mean for e in estimates]
    ends = [v for e in estimates for v in (e.low, e.high) if v is not None]
    room = 0.6 * (max(means) - min(means)) or 0.1
    low = max(min(means) - room, min([*means, *ends]))
    high = min(max(means) + room, max([*means, *ends]))
    extra = 0.05 * (high - low) or 0.05
    return [max(0.0, low - extra), min(1.0, high + extra) if measure.is_fraction else high + extra]
