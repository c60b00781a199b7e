"""Figures as files for papers: SVG, PDF and PNG, through kaleido and a Chromium on this machine."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from segtune.report.style import LIGHT

FORMATS = ("svg", "pdf", "png")
_WIDTHS = {"full": 1000, "half": 620, "third": 460}
"""Pixels, by how much of the page a figure takes."""
_PNG_SCALE = 3
_GLYPHS = {
    "circle": "\u25cf", "circle-open": "\u25cb", "square": "\u25a0", "square-open": "\u25a1",
    "diamond": "\u25c6", "diamond-open": "\u25c7", "triangle-up": "\u25b2",
    "triangle-down": "\u25bc", "cross": "\u271a", "x": "\u2716", "star": "\u2605",
    "line": "\u2501",
}  # fmt: skip
"""Plotly's symbols as characters."""
_LINE, _CHARACTER = 20, 7.5
"""Height and width of text in the legend, pixels."""


def write_figures(figures: Sequence[tuple[Path, Any]]) -> str:
    """Write each figure under its stem with every suffix of `FORMATS`.

    No address is asked: plotly's script is the installed one, and MathJax is not used.

    Returns:
        Why none were written, in one line; empty where they were.
    """
    if not figures:
        return ""
    if importlib.util.find_spec("kaleido") is None:
        return "Figures were not written as files: kaleido is not installed (pip install kaleido)."
    import kaleido

    wanted = []
    for stem, drawn in figures:
        stem.parent.mkdir(parents=True, exist_ok=True)
        printed = for_print(drawn)
        size = {"width": int(printed.layout.width), "height": int(printed.layout.height)}
        for suffix in FORMATS:
            options = {"format": suffix, **size, "scale": _PNG_SCALE if suffix == "png" else 1}
            wanted.append({"fig": printed, "path": f"{stem}.{suffix}", "opts": options})
    try:
        errors = kaleido.write_fig_from_object_sync(wanted, kopts={"mathjax": False})
    except RuntimeError as error:  # no browser, or one that does not start
        reason = str(error).partition("\n")[0].partition(". ")[0]
        return (
            f"Figures were not written as files: {reason}. Install Chromium, or say where it is in "
            "BROWSER_PATH."
        )
    if errors:
        return f"{len(errors)} of {len(wanted)} figures were not written: {errors[0]}"
    return ""


def for_print(drawn: Any) -> Any:
    """A figure that stands without the page: light, with its legend, of a fixed width."""
    printed = go.Figure(drawn)
    meta = drawn.layout.meta or {}
    width = _WIDTHS[meta.get("span", "full")]
    lines = _legend(meta.get("keys", ()), width)
    top = int(printed.layout.margin.t or 20) + _LINE * len(lines)
    printed.update_layout(
        width=width,
        height=int(printed.layout.height) + _LINE * len(lines),
        paper_bgcolor=LIGHT["paper"],
        plot_bgcolor=LIGHT["paper"],
        margin_t=top,
    )
    if lines:
        printed.add_annotation(
            text="<br>".join(lines), showarrow=False, align="left", xref="paper", yref="paper",
            x=0, y=1, xanchor="left", yanchor="bottom", yshift=6, font={"size": 12},
        )  # fmt: skip
    return printed


def _legend(keys: Sequence[dict[str, Any]], width: int) -> list[str]:
    """Coloured marks with their names, in lines that fit."""
    lines: list[str] = []
    used = float("inf")
    for key in keys:
        needed = _CHARACTER * (len(key["label"]) + 4)
        glyph = _GLYPHS.get(key["symbol"], _GLYPHS["square"])
        entry = f'<span style="color: {key["color"]}">{glyph}</span> {key["label"]}'
        if used + needed > width - 80:
            lines.append(entry)
            used = needed
        else:
            lines[-1] += f" \u2003{entry}"
            used += needed
    return lines
