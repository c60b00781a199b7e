"""Tables as files: CSV with all digits, LaTeX and Markdown as shown on the page."""

import csv
import io
import os
import unicodedata
from pathlib import Path

from segtune.report.sheet import Cell, Sheet
from segtune.report.text import MINUS

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", MINUS: "$-$", "\u00b1": r"$\pm$",
    "\u2020": r"$\dagger$",
}  # fmt: skip
_LAST_LATIN = "\u024f"
_MATHS = {"*": "*", "\u2020": r"\dagger"}
"""Marks inside a formula."""


def export(sheet: Sheet, stem: Path) -> tuple[Path, ...]:
    """Write `<stem>.csv`, `<stem>.tex` and `<stem>.md`."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    written = []
    for suffix, text in (
        (".csv", to_csv(sheet)),
        (".tex", to_latex(sheet)),
        (".md", to_markdown(sheet)),
    ):
        path = stem.with_name(stem.name + suffix)
        write_atomically(path, text)
        written.append(path)
    return tuple(written)


def write_atomically(path: Path, text: str) -> None:
    """Write under a dot name and rename, so that nobody sees half a file."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(text, encoding="utf-8")
    os.replace(unfinished, path)


def to_csv(sheet: Sheet) -> str:
    """The numbers behind a table; an empty field where there is none."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(sheet.raw_header)
    writer.writerows(sheet.raw_rows)
    return buffer.getvalue()


def to_latex(sheet: Sheet) -> str:
    """A `tabular` with the rules of the booktabs package."""
    align = "".join("l" if c.left else "r" for c in sheet.rows[0]) if sheet.rows else ""
    # As wide as the line with the space on both sides of a column.
    width = "\\dimexpr\\linewidth-2\\tabcolsep"
    span = f"\\multicolumn{{{len(sheet.header)}}}{{p{{{width}}}}}"
    legend = f"{span}{{\\footnotesize {_latex(sheet.legend)}}} \\\\"
    lines = [
        "% needs \\usepackage{booktabs}",
        f"\\begin{{tabular}}{{{align or 'l' * len(sheet.header)}}}",
        "\\toprule",
        " & ".join(map(_latex, sheet.header)) + " \\\\",
        "\\midrule",
        *(" & ".join(map(_latex_cell, row)) + " \\\\" for row in sheet.rows),
        "\\bottomrule",
        *([legend] if sheet.legend else []),
        "\\end{tabular}",
    ]
    text = "\n".join(lines) + "\n"
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
    text = _latex(_joined(cell))
    bold = f"\\textbf{{{text}}}" if cell.strong else text
    return f"{bold}$^{{{_MATHS[cell.mark]}}}$" if cell.mark else bold


def _markdown_cell(cell: Cell) -> str:
    text = _joined(cell)
    return (f"**{text}**" if cell.strong else text) + cell.mark


def _joined(cell: Cell) -> str:
    """Both lines of a cell on one; what an arm changes is in the definition, not in its name."""
    if cell.paper:
        return cell.paper
    return cell.text if cell.left or not cell.small else f"{cell.text} {cell.small}"


def _latex(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in text)


def _pipes(cells: list[str]) -> str:
    return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"
