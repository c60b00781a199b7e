"""What a study's section of the page is made of."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from segtune.report.head import Banner, Fact
from segtune.report.pictures import Grid
from segtune.report.sheet import Sheet


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
    answer: tuple[str, ...]
    """The study's question answered in a few sentences."""
    banners: tuple[Banner, ...]
    facts: tuple[Fact, ...]
    parts: tuple[Part, ...]
    notes: tuple[tuple[str, str], ...]
    """How to read this: (term, meaning)."""

    @property
    def file_name(self) -> str:
        """What its files' names begin with."""
        return self.name.replace(" + ", "+")

    @property
    def exported(self) -> Sequence[Sheet]:
        """Tables that are also written as files."""
        return [p.sheet for p in self.parts if p.sheet is not None and p.sheet.raw_header]

    @property
    def drawn(self) -> Sequence[tuple[str, Any]]:
        """Figures that are also written as files, by the name of the file."""
        return [
            (f"{slug(p.title)}{f'-{k}' if k else ''}", figure)
            for p in self.parts
            for k, (figure, _) in enumerate(p.figures)
        ]


def slug(title: str) -> str:
    """A title as part of a file name: `Time per step` -> `time-per-step`."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
