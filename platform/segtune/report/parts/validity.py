"""Threats to validity: what would change the conclusion."""

from collections.abc import Sequence

from segtune.report.evidence.objections.caveat import Caveat
from segtune.report.page.page import Part


def validity_part(found: Sequence[Caveat]) -> Part | None:
    """What would change the conclusion; None where nothing was found."""
    if not found:
        return None
    return Part(
        "What would change this conclusion",
        "Found in the study's own numbers; other objections are the reader's.",
        sentences=tuple(f"{c.title[0].upper()}{c.title[1:]}. {c.text}" for c in found),
    )
