"""A table of words, and the numbers behind it."""

from dataclasses import dataclass

from segtune.report.stats import Estimate

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
