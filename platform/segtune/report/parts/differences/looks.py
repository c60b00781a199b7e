"""The part of a report that says which arms got more seeds, and why the others stopped."""

from segtune.report.evidence.sequential.bounds import levels
from segtune.report.evidence.sequential.looks import Look, looks_so_far
from segtune.report.evidence.stats import ALPHA
from segtune.report.page.page import Part
from segtune.report.page.sheet import Cell, Sheet
from segtune.report.page.text import DASH, listing
from segtune.results.study_rows import StudyRows

_WAITING = "The trials of the first look have not all finished yet."
_ELSEWHERE = "What was decided at each look stands with each study below."
"""Of several studies on one page, whose seeds are not one study's."""


def looks_part(rows: StudyRows) -> Part | None:
    """What was decided at each look; None where all arms have their seeds from the start."""
    if not rows.looks:
        return None
    found = looks_so_far(rows)
    numbers = listing([str(n) for n in rows.looks])
    alone = listing([f"{100 * level:.2g}" for level in levels(rows.looks)])
    return Part(
        "Seeds by need",
        f"Verdicts are looked at after {numbers} seeds: an arm stops at its verdict in the primary "
        "endpoint, and where one is hardly to be reached; the others go on. All looks together are "
        f"wrong in {100 * ALPHA:g} % of studies without a difference, as a single one would be: a "
        f"single arm's are held to {alone} % each, and the intervals and p values of this page are "
        "corrected for that.",
        sheet=_sheet(found),
        missing="" if found else _WAITING if "seeds" in rows.definition else _ELSEWHERE,
    )


def _sheet(found: tuple[Look, ...]) -> Sheet | None:
    if not found:
        return None
    rows = []
    for look in found:
        stopped = "; ".join(f"{arm}: {why}" for arm, why in look.stopped.items())
        goes_on = listing(sorted(look.goes_on))
        cells = Cell(stopped or DASH, left=True), Cell(goes_on or DASH, left=True)
        rows.append((Cell(str(look.seeds)), *cells))
    return Sheet(
        "seeds",
        ("seeds", "stopped", "went on"),
        tuple(rows),
        frozenset(),
        ("seeds", "arm", "why"),
        tuple((look.seeds, arm, why) for look in found for arm, why in look.stopped.items()),
    )
