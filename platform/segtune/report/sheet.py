"""A table of words, and the numbers behind it."""

from dataclasses import dataclass

from segtune.report.stats import Estimate
from segtune.report.text import DASH, interval, number

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
    """Long text that opens on demand, as it was written."""
    color: str = ""
    """Of a mark before the text."""
    left: bool = False
    """Words stand left, numbers right."""
    paper: str = ""
    """What stands here in LaTeX and Markdown, where it is not the text: `0.706 \u00b1 0.006`."""
    strong: bool = False
    """Best of its column."""
    mark: str = ""
    """Of significance, raised."""


@dataclass(frozen=True)
class Sheet:
    """A table, and the numbers behind it."""

    name: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    strong: frozenset[int] = frozenset()
    """Rows to set apart: the baseline, or what was chosen."""
    raw_header: tuple[str, ...] = ()
    """Of the numbers for export; empty where the table is not exported."""
    raw_rows: tuple[tuple[Raw, ...], ...] = ()
    legend: str = ""
    """What marks and bold type mean, below the table in LaTeX and Markdown."""


def mean(estimate: Estimate | None) -> float | None:
    """What stands in an exported column."""
    return None if estimate is None else estimate.mean


def estimate_cell(estimate: Estimate | None, n: int, digits: int) -> Cell:
    """A mean over n trials with its interval, and how many of them it is over where fewer."""
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
    """Its four exported columns."""
    if estimate is None:
        return (None, None, None, 0)
    return (estimate.mean, estimate.low, estimate.high, estimate.n)


def raw_header_of(key: str) -> tuple[str, ...]:
    """Their names."""
    return (f"{key}_mean", f"{key}_low", f"{key}_high", f"{key}_n")
