"""The report: result tables in, one self-contained page out.

build      From result tables to files.
evidence/  What may be concluded from a study, and what speaks against it.
page/      How the page looks: its layout, its figures' style, its tables and files.
parts/     The parts of the page, a file each: values, figure, table and caption.
serve      The report of a study that still runs, served on this machine.
summarize  What a study found, as values: for the page and for a notebook.
together   Several studies on one protocol: whether they may be compared, and their rows as one.

It reads the tables and `study.json` of a study and nothing else, so that a report can be built
again years later. Data go one way: `build` derives a study's values, `evidence` draws conclusions
from them, `parts` shows both, and `page` lays the parts out.
"""

from segtune.report.build import build
from segtune.report.summarize import StudySummary, summarize

__all__ = ["StudySummary", "build", "summarize"]
