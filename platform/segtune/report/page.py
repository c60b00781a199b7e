"""One HTML file out of sections: no address outside of it is ever asked."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import jinja2
import plotly.io
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from segtune.report.section import Part, Section
from segtune.report.style import DARK, LIGHT, Key

_TEMPLATE = "report.html.j2"
AT_TOP = ("trials", "seeds", "images")
"""Facts that a reader needs before the numbers; the others are provenance, at the end."""


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
    """What the marks of a part's figures stand for."""

    key: Key
    mark: str
    """Name of a symbol that the page knows how to draw."""


def render(sections: Sequence[Section], *, live: str = "") -> str:
    """The page.

    Args:
        sections: one per study.
        live: version of the tables, of a page that asks the server that it came from (and nobody
            else) for news; empty for a file.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = resources.files(__package__).joinpath(_TEMPLATE).read_text(encoding="utf-8")
    drawn = {
        (i, k): (legends(part), _plots(part, f"plot-{i}-{k}"))
        for i, section in enumerate(sections)
        for k, part in enumerate(section.parts)
    }
    return environment.from_string(source).render(
        sections=sections,
        drawn=drawn,
        at_top=AT_TOP,
        themes=_in_script(json.dumps({"light": LIGHT, "dark": DARK})),
        light=LIGHT,
        dark=DARK,
        live=live,
        plotlyjs=Markup(get_plotlyjs()),
    )


def legends(part: Part) -> tuple[Legend, ...]:
    """The legend of all figures of a part, each entry once."""
    keys: dict[str, Key] = {}
    for drawn, _ in part.figures:
        for one in drawn.layout.meta["keys"]:
            keys.setdefault(one["group"] or one["label"], Key(**one))
    return tuple(Legend(k, k.symbol.removesuffix("-open")) for k in keys.values())


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
    """JSON that cannot end the script element it stands in."""
    assert json.loads(text) is not None
    return Markup(text.replace("<", "\\u003c"))
