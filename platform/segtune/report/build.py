"""From result tables to files."""

from collections.abc import Sequence
from pathlib import Path

from segtune.report.ablation import ablation_parts
from segtune.report.export import export, write_atomically
from segtune.report.head import banners, facts, failures
from segtune.report.load import StudyRows, load
from segtune.report.notes import notes
from segtune.report.page import render
from segtune.report.searching import search_parts
from segtune.report.section import Part, Section
from segtune.report.sheets import failure_sheet


def build(
    storage: Path | str, studies: Sequence[str], out: Path, tables: Path | None = None
) -> Path:
    """Write the report of one or more studies as one self-contained HTML file.

    Args:
        storage: the folder that holds the studies.
        studies: their names, in the order of their sections.
        out: the file to write; it appears only once it is whole.
        tables: a folder for `<study>-<table>.csv`, `.tex` and `.md`; none are written without.

    Returns:
        `out`.

    Raises:
        ValueError: no study was named, or one of them has no trial on record.
    """
    if not studies:
        raise ValueError("name at least one study to report on")
    sections = [section(load(storage, study)) for study in dict.fromkeys(studies)]
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, render(sections))
    if tables is not None:
        for one in sections:
            for sheet in one.exported:
                export(sheet, Path(tables) / f"{one.name}-{sheet.name}")
    return out


def section(rows: StudyRows) -> Section:
    """Everything that the page says of one study."""
    parts: list[Part] = []
    if rows.kind == "search":
        parts += search_parts(rows)
    if rows.kind != "search" or len(rows.of("arm")):
        parts += ablation_parts(rows)
    stopped = failures(rows)
    if stopped:
        parts.append(
            Part(
                "Trials that did not finish",
                f"Failed, pruned and cancelled trials (n={len(stopped)}), their latest attempt.",
                sheet=failure_sheet(stopped),
            )
        )
    return Section(
        name=rows.name,
        question=str(rows.definition.get("question") or ""),
        banners=banners(rows),
        facts=facts(rows),
        parts=tuple(parts),
        notes=notes(rows),
    )
