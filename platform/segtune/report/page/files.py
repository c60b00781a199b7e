"""Tables and figures as files for papers.

Tables: CSV with all digits, LaTeX and Markdown as shown on the page. Figures: SVG, PDF and PNG,
through kaleido and a Chromium on this machine.
"""

import csv
import importlib.util
import io
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from segtune.extras import install
from segtune.report.page.look import LIGHT
from segtune.report.page.sheet import Cell, Sheet
from segtune.report.page.text import MINUS
from segtune.results.storage import Place

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", MINUS: "$-$", "\u00b1": r"$\pm$",
    "\u2020": r"$\dagger$",
    "\u2248": r"$\approx$",
    "\u2265": r"$\geq$",
}  # fmt: skip
_LAST_LATIN = "\u024f"
_MATHS = {"*": "*", "\u2020": r"\dagger", "\u2248": r"\approx", "\u2265": r"\geq"}
"""Signs of significance as LaTeX writes them in a formula."""
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


def export(sheet: Sheet, stem: Path) -> tuple[Path, ...]:
    """Write `<stem>.csv`, `<stem>.tex` and `<stem>.md`."""
    written = []
    for suffix, text in (
        (".csv", to_csv(sheet)),
        (".tex", to_latex(sheet)),
        (".md", to_markdown(sheet)),
    ):
        path = stem.with_name(stem.name + suffix)
        Place.of(path).write(text.encode())
        written.append(path)
    return tuple(written)


def to_csv(sheet: Sheet) -> str:
    """The numbers behind a table; an empty field where there is none."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(sheet.raw_header)
    writer.writerows(sheet.raw_rows)
    return buffer.getvalue()


def to_latex(sheet: Sheet) -> str:
    """The sheet's own table for papers, else a `tabular` with the rules of booktabs."""
    if sheet.latex:
        return sheet.latex
    align = "".join("l" if c.left else "r" for c in sheet.rows[0]) if sheet.rows else ""
    # A column as wide as the line, less the space on both of its sides.
    width = "\\dimexpr\\linewidth-2\\tabcolsep"
    span = f"\\multicolumn{{{len(sheet.header)}}}{{p{{{width}}}}}"
    legend = f"{span}{{\\footnotesize {latex_text(sheet.legend)}}} \\\\"
    lines = [
        "% needs \\usepackage{booktabs}",
        f"\\begin{{tabular}}{{{align or 'l' * len(sheet.header)}}}",
        "\\toprule",
        " & ".join(map(latex_text, sheet.header)) + " \\\\",
        "\\midrule",
        *(" & ".join(map(_latex_cell, row)) + " \\\\" for row in sheet.rows),
        "\\bottomrule",
        *([legend] if sheet.legend else []),
        "\\end{tabular}",
    ]
    return with_note("\n".join(lines) + "\n")


def with_note(text: str) -> str:
    """LaTeX with a line that says so, where it has letters that not every engine sets."""
    if any(c > _LAST_LATIN and unicodedata.category(c)[0] != "P" for c in text):
        text = f"% has letters that LuaLaTeX or XeLaTeX set, with a font that has them\n{text}"
    return text


def to_markdown(sheet: Sheet) -> str:
    """A pipe table."""
    lines = [
        _pipes(list(sheet.header)),
        _pipes(["---" if c.left else "---:" for c in sheet.rows[0]] if sheet.rows else
               ["---"] * len(sheet.header)),
        *(_pipes(list(map(_markdown_cell, row))) for row in sheet.rows),
        *(["", sheet.legend] if sheet.legend else []),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _latex_cell(cell: Cell) -> str:
    text = latex_text(_joined(cell))
    bold = f"\\textbf{{{text}}}" if cell.strong else text
    return f"{bold}$^{{{_MATHS[cell.mark]}}}$" if cell.mark else bold


def _markdown_cell(cell: Cell) -> str:
    text = _joined(cell)
    return (f"**{text}**" if cell.strong else text) + cell.mark


def _joined(cell: Cell) -> str:
    """Both lines of a cell on one line; of an arm its name alone, without what it changes."""
    if cell.paper:
        return cell.paper
    return cell.text if cell.left or not cell.small else f"{cell.text} {cell.small}"


def latex_text(text: str) -> str:
    """A text with LaTeX's own characters escaped."""
    return "".join(_LATEX.get(c, c) for c in text)


def _pipes(cells: list[str]) -> str:
    return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"


def write_figures(figures: Sequence[tuple[Path, Any]]) -> str:
    """Write each figure under its stem with every suffix of `FORMATS`.

    Nothing is fetched from the network: plotly's script is the installed one, MathJax is off.

    Returns:
        One line that says why none were written; empty where they were.
    """
    if not figures:
        return ""
    if importlib.util.find_spec("kaleido") is None:
        return f"Figures were not written as files: kaleido is not installed: {install('figures')}"
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
    """A figure to be shown without the page: light, with its legend, of a fixed width."""
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
