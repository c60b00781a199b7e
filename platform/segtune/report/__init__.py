"""The report: result tables in, one self-contained page out.

Reads the tables and `study.json` of a study and nothing else, so that a report can be built again
years later. Each topic first computes frozen values (`summary`, `paired`, `search`, ...), which
`figures` and `figures_search` then draw and `page` lays out.
"""

from segtune.report.build import build

__all__ = ["build"]
