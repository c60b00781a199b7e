"""From result tables to files."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from segtune.report.ablation import ablation_parts, comparison_parts, finalist_parts
from segtune.report.export import export, write_atomically
from segtune.report.figure_files import write_figures
from segtune.report.finalists import finalists
from segtune.report.head import banners, facts, unlike_banners
from segtune.report.notes import notes
from segtune.report.page import render
from segtune.report.searching import search_parts
from segtune.report.section import Part, Section
from segtune.report.sheets_search import failure_sheet
from segtune.report.stopped import failures, stopped_early
from segtune.report.summarize import summarize_rows
from segtune.report.together import comparable, placed, shared, together
from segtune.results.storage import Storage
from segtune.results.study_rows import StudyRows, load


def build(
    storage: Storage,
    studies: Sequence[str],
    out: Path,
    tables: Path | None = None,
    *,
    figures: Path | None = None,
    separate: bool = False,
    tell: Callable[[str], None] = warnings.warn,
) -> Path:
    """Write the report of one or more studies as one self-contained HTML file.

    Several studies whose arms were tested are compared first, where that is fair.

    Args:
        storage: the folder that holds the studies.
        studies: their names, in the order of their sections.
        out: the file to write; it appears only once it is whole.
        tables: a folder for `<study>-<table>.csv`, `.tex` and `.md`; none are written without.
        figures: a folder for `<study>-<figure>.svg`, `.pdf` and `.png`, likewise.
        separate: do not compare the studies, so that unlike ones may share a page.
        tell: is handed, in one line, why figures could not be written as files.

    Returns:
        `out`.

    Raises:
        ValueError: no study was named, one of them has no trial on record, or comparing them would
            be unfair (`together.UnfairError`: every field that differs).
    """
    sections = assemble(storage, studies, separate=separate)
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, render(sections))
    if tables is not None:
        for one in sections:
            for sheet in one.exported:
                export(sheet, Path(tables) / f"{one.file_name}-{sheet.name}")
    if figures is not None:
        drawn = [
            (Path(figures) / f"{one.file_name}-{name}", figure)
            for one in sections
            for name, figure in one.drawn
        ]
        if why_not := write_figures(drawn):
            tell(why_not)
    return out


def assemble(storage: Storage, studies: Sequence[str], *, separate: bool = False) -> list[Section]:
    """The sections of a page, as `build` writes them and the live report serves them.

    Raises:
        ValueError: as for `build`.
    """
    if not studies:
        raise ValueError("name at least one study to report on")
    rows = [load(storage, study) for study in dict.fromkeys(studies)]
    tested = [of_study for of_study in rows if comparable(of_study)]
    if len(tested) < 2 or separate:
        return [section(of_study) for of_study in rows]
    whole = together(tested)
    alone = [section(of_study) for of_study in placed(rows, whole)]
    return [comparison_section(whole, tested), *alone]


def comparison_section(rows: StudyRows, studies: Sequence[StudyRows]) -> Section:
    """The arms of several studies side by side, on their common protocol.

    Args:
        rows: of all studies, together.
        studies: each of them.
    """
    found = summarize_rows(rows)
    protocol = Part(
        "Common protocol",
        "Checked before anything was compared. Arms are paired by seed where studies share seeds.",
        sentences=shared(studies),
    )
    return Section(
        name=rows.name,
        question=found.question,
        answer=found.answer,
        banners=banners(rows),
        facts=facts(rows),
        parts=(protocol, *comparison_parts(rows, found)),
        notes=notes(rows),
    )


def section(rows: StudyRows) -> Section:
    """Everything that the page says of one study."""
    parts: list[Part] = []
    found, tested = summarize_rows(rows), finalists(rows)
    if tested is not None:
        parts += finalist_parts(tested, found)
    if rows.kind == "search":
        parts += search_parts(rows)
    else:
        parts += ablation_parts(rows, found)
    stopped, early = failures(rows), stopped_early(rows)
    if stopped or early:
        parts.append(
            Part(
                "Trials that did not finish",
                f"Failed, cancelled, stopped and still running trials (n={len(stopped)}), their "
                "latest attempt."
                if stopped
                else "",
                sheet=failure_sheet(stopped) if stopped else None,
                sentences=(early,) if early else (),
            )
        )
    return Section(
        name=rows.name,
        question=found.question,
        answer=found.answer,
        banners=(*banners(rows), *(unlike_banners(tested) if tested is not None else ())),
        facts=facts(rows),
        parts=tuple(parts),
        notes=notes(rows),
    )
