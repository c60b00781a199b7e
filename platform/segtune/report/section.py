"""What a study's section of the page is made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from segtune.report.head import Banner, Fact
from segtune.report.pictures import Grid
from segtune.report.sheets import Sheet


@dataclass(frozen=True)
class Part:
    """One finding: a heading, a figure or table, and what one sees in it."""

    title: str
    caption: str = ""
    figures: tuple[tuple[Any, str], ...] = ()
    """(Plotly figure, what it shows in words)."""
    sheet: Sheet | None = None
    grid: Grid | None = None
    sentences: tuple[str, ...] = ()
    """Conclusions."""
    missing: str = ""
    """What is not there, and why."""


@dataclass(frozen=True)
class Section:
    """One study."""

    name: str
    question: str
    banners: tuple[Banner, ...]
    facts: tuple[Fact, ...]
    parts: tuple[Part, ...]
    notes: tuple[tuple[str, str], ...]
    """How to read this: (term, meaning)."""

    @property
    def exported(self) -> Sequence[Sheet]:
        """Tables that are also written as files."""
        return [p.sheet for p in self.parts if p.sheet is not None and p.sheet.raw_header]
