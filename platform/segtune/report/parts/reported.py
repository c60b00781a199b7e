"""Numbers that papers report: shown, and in no statistic."""

from collections.abc import Sequence

from segtune.report.page.page import Part
from segtune.report.page.sheet import Cell, Sheet
from segtune.study.spec import Reported


def reported_sheet(found: Sequence[Reported]) -> Sheet:
    """Papers' numbers with their sources."""
    header = ("method", "metric", "value, as reported", "on", "source")
    return Sheet(
        "reported",
        header,
        tuple(
            (
                Cell(r.method, left=True),
                Cell(r.metric, left=True),
                Cell(f"{r.value:g}"),
                Cell(r.data, left=True),
                Cell(r.source, left=True),
            )
            for r in found
        ),
        frozenset(),
        ("method", "metric", "value", "data", "source"),
        tuple((r.method, r.metric, r.value, r.data, r.source) for r in found),
        legend="Reported, not reproduced.",
    )


def reported_part(found: Sequence[Reported]) -> Part | None:
    """Papers' numbers; None where `reported.toml` names none."""
    if not found:
        return None
    return Part(
        "Reported, not reproduced",
        "Numbers as papers give them, on their data and by their protocol. They are in no mean, "
        "interval, test or figure of this page, and are not comparable with it.",
        sheet=reported_sheet(found),
    )
