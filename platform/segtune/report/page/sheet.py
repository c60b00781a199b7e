"""A table of the page, and the numbers behind it."""

from dataclasses import dataclass

from segtune.report.evidence.estimate import Estimate
from segtune.report.page.text import DASH, interval, number

Raw = str | float | int | None


@dataclass(frozen=True)
class Cell:
    """One cell."""

    text: str
    small: str = ""
    """Second line, in smaller type."""
    lower: str = ""
    """Third line, likewise."""
    details: str = ""
    """Long text that opens on a click, with its line breaks."""
    color: str = ""
    """Colour of a dot before the text; empty for none."""
    left: bool = False
    """Whether the cell is aligned to the left, as words are; numbers are aligned to the right."""
    paper: str = ""
    """What stands here in LaTeX and Markdown (`0.706 \u00b1 0.006`); empty: the same text."""
    strong: bool = False
    """Whether it is the best of its column."""
    mark: str = ""
    """Sign of significance, raised."""


@dataclass(frozen=True)
class Sheet:
    """A table, and the numbers behind it."""

    name: str
    """Of its files."""
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    strong: frozenset[int] = frozenset()
    """Rows to set apart: the baseline, or what was chosen."""
    raw_header: tuple[str, ...] = ()
    """Column names of the exported numbers; empty where the table is not exported."""
    raw_rows: tuple[tuple[Raw, ...], ...] = ()
    shown: int = 0
    """Rows before the others are folded on the page; 0 folds none."""
    latex: str = ""
    """The table as a paper prints it, where that is another one; empty: as on the page."""
    legend: str = ""
    """What signs and bold type mean; stands below the table in LaTeX and Markdown."""


def mean(estimate: Estimate | None) -> float | None:
    """The mean as an exported column has it; None where there is none."""
    return None if estimate is None else estimate.mean


def estimate_cell(estimate: Estimate | None, n: int, digits: int) -> Cell:
    """A mean over n trials with its interval; where fewer than n have a value, how many have."""
    if estimate is None:
        return Cell(DASH)
    shown = number(estimate.mean, digits)
    if estimate.n == 1:
        return Cell(shown, small="n=1")
    if shown == number(estimate.low, digits) == number(estimate.high, digits):
        return Cell(shown)  # an interval narrower than the last digit shown
    fewer = f", n={estimate.n}" if estimate.n != n else ""
    return Cell(shown, small=interval(estimate, digits) + fewer)


def raw_estimate(estimate: Estimate | None) -> tuple[Raw, ...]:
    """The four exported columns of an estimate: mean, both ends of the interval, and n."""
    if estimate is None:
        return (None, None, None, 0)
    return (estimate.mean, estimate.low, estimate.high, estimate.n)


def raw_header_of(key: str) -> tuple[str, ...]:
    """Names of the columns that `raw_estimate` fills."""
    return (f"{key}_mean", f"{key}_low", f"{key}_high", f"{key}_n")
