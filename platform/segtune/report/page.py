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

_TEMPLATE = "report.html.j2"


@dataclass(frozen=True)
class Plot:
    """A figure ready to be drawn by the page."""

    dom_id: str
    label: str
    height: int
    """Pixels."""
    spec: Markup
    """Plotly's JSON, safe inside a script element."""


def render(sections: Sequence[Section]) -> str:
    """The page."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = resources.files(__package__).joinpath(_TEMPLATE).read_text(encoding="utf-8")
    plots = {
        (i, k): _plots(part, f"plot-{i}-{k}")
        for i, section in enumerate(sections)
        for k, part in enumerate(section.parts)
    }
    return environment.from_string(source).render(
        sections=sections, plots=plots, plotlyjs=Markup(get_plotlyjs())
    )


def _plots(part: Part, prefix: str) -> tuple[Plot, ...]:
    return tuple(
        Plot(f"{prefix}-{n}", label, int(drawn.layout.height), _in_script(plotly.io.to_json(drawn)))
        for n, (drawn, label) in enumerate(part.figures)
    )


def _in_script(text: str) -> Markup:
    """JSON that cannot end the script element it stands in."""
    assert json.loads(text) is not None
    return Markup(text.replace("<", "\\u003c"))
