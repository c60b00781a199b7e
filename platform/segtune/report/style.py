"""Colours and the common look of all figures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

CLASS_COLORS = {
    "ridge": (230, 75, 53),
    "silhouette": (0, 160, 135),
    "ligament": (60, 84, 200),
}
"""As the pictures in the tables are coloured."""
INK, MUTED, GRID = "#1c1c1c", "#6b6b6b", "#e6e6e6"
BASELINE_COLOR = "#3d3d3d"
_COLORS = (
    "#0072b2", "#d55e00", "#009e73", "#c0589a", "#7b4fb5", "#a67c00",
    "#3fa7dd", "#8c2d04", "#00727d", "#e0559a", "#5f8a1d", "#5c6bc0",
)  # fmt: skip
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross")
PART_COLORS = {
    "data": "#b8b8b8",
    "forward": "#7fb3d5",
    "backward": "#1f6fa8",
    "optimizer": "#e08a3c",
    "refresh": "#a8324a",
}
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": _FONT, "size": 13, "color": INK},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "hoverlabel": {"align": "left", "bgcolor": "white", "font": {"size": 12}},
        "xaxis": {"gridcolor": GRID, "linecolor": "#9a9a9a", "zeroline": False, "automargin": True,
                  "ticks": "outside", "ticklen": 4, "exponentformat": "power",
                  "title": {"standoff": 8, "font": {"size": 13}}},
        "yaxis": {"gridcolor": GRID, "linecolor": "#9a9a9a", "zeroline": False, "automargin": True,
                  "title": {"standoff": 8, "font": {"size": 13}}},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "xanchor": "left", "yanchor": "bottom",
                   "font": {"size": 12}},
        "margin": {"l": 60, "r": 24, "t": 34, "b": 48},
    }
)  # fmt: skip


@dataclass(frozen=True)
class Look:
    """How one arm is drawn, everywhere in a report."""

    color: str
    symbol: str


def looks(arms: Sequence[str], baseline: str | None) -> dict[str, Look]:
    """One look per arm; the baseline is dark grey, and colours repeat with another symbol."""
    others = [a for a in arms if a != baseline]
    chosen = {
        arm: Look(_COLORS[i % len(_COLORS)], _SYMBOLS[i // len(_COLORS) % len(_SYMBOLS)])
        for i, arm in enumerate(others)
    }
    return chosen if baseline is None else {baseline: Look(BASELINE_COLOR, "circle"), **chosen}


def faded(color: str, alpha: float) -> str:
    """A `#rrggbb` colour with an opacity."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {alpha})"


def log_ticks(low: float, high: float) -> dict[str, Any]:
    """Round values on a logarithmic axis: few enough to write all of them out."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if math.log10(high / low) < 2.5 else (1,)
    ticks = [t for d in decades for s in steps if low <= (t := s * 10.0**d) <= high]
    return {"tickvals": ticks, "ticktext": [f"{t:g}".replace("e-0", "e-") for t in ticks]}


def figure(traces: Sequence[Any], *, height: int, **layout: Any) -> Any:
    """A plotly figure in the report's look, of a height in pixels and the page's width."""
    drawn = go.Figure(list(traces))
    drawn.update_layout(template=_TEMPLATE, height=height, **layout)
    return drawn
