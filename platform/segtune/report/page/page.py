"""What a section of the page is made of, and one HTML file out of sections.

The file is complete in itself: it never asks for any other address.
"""

import functools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import jinja2
import plotly.io
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from segtune.report.page.look import DARK, LIGHT, Figure, Key
from segtune.report.page.sheet import Sheet
from segtune.report.page.text import folded

_TEMPLATE = "report.html.j2"
AT_TOP = ("trials", "seeds", "images")
"""Facts that a reader needs before the numbers; the others are provenance, at the end."""


@dataclass(frozen=True)
class Fact:
    """One line about what ran."""

    name: str
    value: str


@dataclass(frozen=True)
class Banner:
    """What must not be overlooked."""

    text: str
    serious: bool
    """Whether it bears on what the numbers mean."""


@dataclass(frozen=True)
class PicturePair:
    """Two pictures, one above the other, of one sample and trial."""

    above: str
    """The prediction as a data address (in the first column: the image); empty where the trial
    left no such picture."""
    below: str
    """Its errors (in the first column: the truth)."""
    note: str
    """What is written below them."""
    alt: str


@dataclass(frozen=True)
class GridRow:
    """The pictures of one sample."""

    label: str
    """The sample's rank among all images that were scored."""
    cells: tuple[PicturePair, ...]


@dataclass(frozen=True)
class Block:
    """A grid whose rows are samples and whose columns are the sample itself and trials."""

    heads: tuple[str, ...]
    rows: tuple[GridRow, ...]


@dataclass(frozen=True)
class Swatch:
    """A colour of the pictures and what it stands for."""

    name: str
    color: str


@dataclass(frozen=True)
class Grid:
    """All pictures of a part."""

    blocks: tuple[Block, ...]
    legend: tuple[Swatch, ...]


@dataclass(frozen=True)
class Part:
    """One finding: a heading, a figure or table, and what one sees in it."""

    title: str
    caption: str = ""
    figures: tuple[tuple[Figure, str], ...] = ()
    """(Figure, what it shows in words)."""
    sheet: Sheet | None = None
    grid: Grid | None = None
    sentences: tuple[str, ...] = ()
    """Conclusions."""
    missing: str = ""
    """What is not there, and why."""
    folded: bool = False
    """Whether it opens on a click."""


@dataclass(frozen=True)
class Section:
    """All that the page says of one study, or of several that are compared."""

    name: str
    question: str
    answer: tuple[str, ...]
    """The study's question answered in a few sentences."""
    glance: Part | None
    """Every arm in a line, before everything else; None where arms are not compared."""
    banners: tuple[Banner, ...]
    facts: tuple[Fact, ...]
    parts: tuple[Part, ...]
    notes: tuple[tuple[str, str], ...]
    """How to read the section: (term, meaning)."""
    long_names: tuple[str, ...] = ()
    """Names of arms that sentences fold, with the whole name in a hover."""

    @property
    def all_parts(self) -> Sequence[Part]:
        """Parts with what stands before them."""
        return [*([] if self.glance is None else [self.glance]), *self.parts]

    @property
    def file_name(self) -> str:
        """What the names of its files begin with."""
        return self.name.replace(" + ", "+")

    @property
    def exported(self) -> Sequence[Sheet]:
        """Tables that are also written as files."""
        sheets = [p.sheet for p in self.all_parts if p.sheet is not None]
        return [sheet for sheet in sheets if sheet.raw_header]

    @property
    def drawn(self) -> Sequence[tuple[str, Figure]]:
        """Figures that are also written as files, with the names of the files."""
        return [
            (f"{slug(p.title)}{f'-{k}' if k else ''}", figure)
            for p in self.all_parts
            for k, (figure, _) in enumerate(p.figures)
        ]


@dataclass(frozen=True)
class Plot:
    """A figure ready to be drawn by the page."""

    dom_id: str
    label: str
    height: int
    """Pixels."""
    span: str
    """How much of a wide page it takes: `full`, `half` or `third`."""
    spec: Markup
    """Plotly's JSON, safe inside a script element."""


@dataclass(frozen=True)
class Legend:
    """One entry of the legend of a part's figures."""

    key: Key
    mark: str
    """Name of a symbol that the page knows how to draw."""


def render(sections: Sequence[Section], *, live: str = "") -> str:
    """The page.

    Args:
        sections: one per study.
        live: version of the tables, where the page is to ask the server that it came from (and
            nobody else) for a newer one; empty for a file.
    """
    drawn = {
        (i, k): (legends(part), _plots(part, f"plot-{i}-{k}"))
        for i, section in enumerate(sections)
        for k, part in [(-1, section.glance), *enumerate(section.parts)]
        if part is not None
    }
    return _template().render(
        sections=sections,
        drawn=drawn,
        at_top=AT_TOP,
        themes=_in_script(json.dumps({"light": LIGHT, "dark": DARK})),
        light=LIGHT,
        dark=DARK,
        live=live,
        plotlyjs=Markup(get_plotlyjs()),
    )


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["folded"] = folded
    environment.filters["prose"] = prose
    source = resources.files(__package__).joinpath(_TEMPLATE).read_text(encoding="utf-8")
    return environment.from_string(source)


def legends(part: Part) -> tuple[Legend, ...]:
    """The legend of all figures of a part, each entry once."""
    keys: dict[str, Key] = {}
    for drawn, _ in part.figures:
        for one in drawn.layout.meta["keys"]:
            keys.setdefault(one["group"] or one["label"], Key(**one))
    return tuple(Legend(k, k.symbol.removesuffix("-open")) for k in keys.values())


def prose(text: str, long_names: Sequence[str]) -> Markup:
    """A sentence whose long names are folded, each whole in a hover."""
    shown = str(escape(text))
    for name in sorted(long_names, key=len, reverse=True):
        whole, short = escape(name), escape(folded(name))
        shown = shown.replace(str(whole), f'<abbr title="{whole}">{short}</abbr>')
    return Markup(shown)


def slug(title: str) -> str:
    """A title as part of a file name: `Time per step` -> `time-per-step`."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _plots(part: Part, prefix: str) -> tuple[Plot, ...]:
    return tuple(
        Plot(
            f"{prefix}-{n}",
            label,
            int(drawn.layout.height),
            str(drawn.layout.meta["span"]),
            _in_script(plotly.io.to_json(drawn)),
        )
        for n, (drawn, label) in enumerate(part.figures)
    )


def _in_script(text: str) -> Markup:
    """JSON that cannot end the script element in which it stands."""
    assert json.loads(text) is not None
    return Markup(text.replace("<", "\\u003c"))
