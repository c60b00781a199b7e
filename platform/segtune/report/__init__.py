"""The report: result tables in, one self-contained page out.

Reads the tables and `study.json` of a study and nothing else, so that a report can be built again
years later. Each topic first computes frozen values, which `figures` and `figures_search` then draw
and `page` lays out; `summarize` gives those of a study without the page.
"""

from segtune.report.build import build
from segtune.report.summarize import StudySummary, summarize

__all__ = ["StudySummary", "build", "summarize"]
