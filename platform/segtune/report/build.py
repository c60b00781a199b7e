"""From result tables to files."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from segtune.report.evidence.across.same import across as put_across
from segtune.report.page.files import export, write_figures
from segtune.report.page.look import Looks, looks
from segtune.report.page.page import Part, Section, render
from segtune.report.page.text import LONGEST_NAME
from segtune.report.parts.budget import budget_part, tuning_part
from segtune.report.parts.classes import classes_part
from segtune.report.parts.cost import memory_part, refreshes_part, time_part
from segtune.report.parts.differences.across import (
    across_answer,
    across_part,
    names_of,
    ranks_part,
)
from segtune.report.parts.differences.joint import joint_part
from segtune.report.parts.differences.looks import looks_part
from segtune.report.parts.differences.part import contrasts_part, differences_part, external_part
from segtune.report.parts.differences.resampled import resampled_part
from segtune.report.parts.domains import domains_part
from segtune.report.parts.factors import factors_part
from segtune.report.parts.head.first_screen import first_screen
from segtune.report.parts.head.ran import banners, facts, unlike_banners
from segtune.report.parts.lookup.checklist import checklist_part
from segtune.report.parts.lookup.evaluated import evaluated_part
from segtune.report.parts.lookup.protocols import protocols_part
from segtune.report.parts.notes import notes
from segtune.report.parts.per_image import agreement_part, spread_part
from segtune.report.parts.pictures import arms_gallery_part, search_gallery_part
from segtune.report.parts.reported import reported_part
from segtune.report.parts.scores import scores_part
from segtune.report.parts.searches.best_trials import best_trials_part, trial_looks
from segtune.report.parts.searches.history import history_part, pareto_part
from segtune.report.parts.searches.importance import importance_part
from segtune.report.parts.searches.rank_by_interval import rank_by_interval_part
from segtune.report.parts.searches.settings import parallel_part, slices_part
from segtune.report.parts.searches.training import search_training_part
from segtune.report.parts.tradeoff import arms_tradeoff_part, search_tradeoff_part
from segtune.report.parts.training import training_part
from segtune.report.parts.unfinished import unfinished_part
from segtune.report.parts.validity import validity_part
from segtune.report.summarize import Findings, findings
from segtune.report.together import (
    comparable,
    looks_within,
    shared_protocol,
    together,
    unlike_baselines,
)
from segtune.results.storage import Place, Storage
from segtune.results.study_rows import load
from segtune.results.study_scores import StudyScores, derive

Beside = Literal["compared", "separate", "across"]
"""How several studies share a page: `compared`, the arms of all against the first one's baseline,
where that is fair; `separate`, uncompared; `across`, the same arms on several data sets, of which
it is first said what holds over all."""


def build(
    storage: Storage,
    studies: Sequence[str],
    out: Path,
    tables: Path | None = None,
    *,
    figures: Path | None = None,
    beside: Beside = "compared",
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
        beside: how several studies share a page.
        tell: is called with one line that says why figures could not be written as files.

    Returns:
        `out`.

    Raises:
        ValueError: no study was named, one of them has no trial on record, or comparing them would
            be unfair (`together.UnfairError`: every field that differs), or their arms are not the
            same (`evidence.across.same.UnlikeError`).
    """
    sections = assemble(storage, studies, beside)
    Place.of(out).write(render(sections).encode())
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


def assemble(
    storage: Storage, studies: Sequence[str], beside: Beside = "compared"
) -> list[Section]:
    """The sections of a page, as `build` writes them and the live report serves them.

    Raises:
        ValueError: as for `build`.
    """
    if not studies:
        raise ValueError("name at least one study to report on")
    scores = [derive(load(storage, study)) for study in dict.fromkeys(studies)]
    if beside == "across":
        alone = [study_section(findings(study), _arm_looks(study)) for study in scores]
        return [across_section(scores), *alone]
    tested = [study for study in scores if comparable(study.rows)]
    if len(tested) < 2 or beside == "separate":
        return [study_section(findings(study), _arm_looks(study)) for study in scores]
    whole = together(tested)
    alone = [study_section(findings(s), looks_within(s.rows, whole.rows)) for s in scores]
    return [comparison_section(whole, tested), *alone]


def across_section(studies: Sequence[StudyScores]) -> Section:
    """The same arms on several data sets.

    Args:
        studies: each on a data set of its own.

    Raises:
        UnlikeError: their arms are not the same.
    """
    found = put_across(studies)
    arm_looks = looks(tuple(names_of(found)), found.baseline)
    warned = dict.fromkeys(banner for study in studies for banner in banners(study.rows))
    return Section(
        name=" + ".join(found.studies),
        question="What holds on all of these data sets?",
        answer=across_answer(found),
        glance=None,
        banners=tuple(warned),
        facts=(),
        parts=(
            across_part(found, arm_looks, unlike_baselines(studies)),
            *filter(None, [ranks_part(found.ranks, arm_looks)]),
        ),
        notes=(),
        long_names=tuple(a for a in names_of(found) if len(a) > LONGEST_NAME),
    )


def comparison_section(whole: StudyScores, studies: Sequence[StudyScores]) -> Section:
    """The arms of several studies side by side, on their common protocol.

    Args:
        whole: all studies put together.
        studies: each of them.
    """
    found = findings(whole)
    protocol = Part(
        "Common protocol",
        "Checked before anything was compared. Arms are paired by seed where studies share seeds.",
        sentences=shared_protocol(studies),
    )
    arm_looks = _arm_looks(whole)
    return _section(found, [protocol, *_score_parts(found, arm_looks)], arm_looks)


def study_section(found: Findings, arm_looks: Looks) -> Section:
    """Everything that the page says of one study.

    Args:
        found: what the study found.
        arm_looks: how its arms are drawn.
    """
    rows, tested = found.study.rows, found.finalists
    tested_looks = arm_looks if tested is None else _arm_looks(tested)
    parts = [] if tested is None else finalist_parts(found)
    parts += search_parts(found) if rows.kind == "search" else ablation_parts(found, arm_looks)
    parts += [evaluated_part(rows), unfinished_part(rows)]
    parts.append(checklist_part(found.summary.checklist))
    return _section(found, parts, tested_looks)


def ablation_parts(found: Findings, arm_looks: Looks) -> list[Part | None]:
    """Scores, differences, budget, costs, curves, spread and pictures of the arms."""
    study, costs = found.study, found.costs
    return [
        *_score_parts(found, arm_looks),
        time_part(costs, arm_looks),
        memory_part(study.rows, costs, arm_looks),
        refreshes_part(study.rows, arm_looks),
        rank_by_interval_part(study, "arm"),
        *_training_and_image_parts(study, arm_looks),
        tuning_part(study, arm_looks),
        protocols_part(study),
        reported_part(found.summary.reported),
    ]


def finalist_parts(found: Findings) -> list[Part | None]:
    """A search's finalists as arms: what was tested comes before what was searched."""
    arm_looks = _arm_looks(found.tested)
    parts = [
        *_score_parts(found, arm_looks),
        *_training_and_image_parts(found.tested, arm_looks),
    ]
    return [_of_finalists(p) for p in parts if p is not None]


def search_parts(found: Findings) -> list[Part | None]:
    """Best trials, Pareto front, settings, importances, costs and curves."""
    study, search = found.study, found.search
    if search is None or not search.trials:
        return [Part("Search", missing="No search trial was recorded yet.")]
    tested = found.finalists
    named = trial_looks(search, None if tested is None else tested.rows)
    finished = study.rows.of("search", status="finished")["trial_id"]
    costs = found.costs.of_trials(str(t) for t in finished)
    return [
        best_trials_part(study, search, costs),
        history_part(search),
        pareto_part(search),
        parallel_part(search),
        slices_part(search),
        rank_by_interval_part(study, "search"),
        importance_part(search),
        search_tradeoff_part(search, costs, named, tested=tested is not None),
        search_training_part(study, search, named, tested=tested is not None),
        search_gallery_part(study, search),
    ]


def _score_parts(found: Findings, arm_looks: Looks) -> list[Part | None]:
    """What arms are compared in, wherever they come from."""
    rows, summary = found.tested.rows, found.summary
    return [
        scores_part(summary.summary, summary.comparisons, arm_looks),
        differences_part(rows, summary.comparisons, arm_looks),
        contrasts_part(summary.contrasts, arm_looks),
        looks_part(rows),
        joint_part(summary.joint, arm_looks),
        external_part(summary.external, arm_looks),
        resampled_part(summary.resampled, arm_looks),
        factors_part(rows, arm_looks),
        validity_part(summary.caveats),
        budget_part(rows, summary.budget, arm_looks),
        arms_tradeoff_part(rows, summary.summary, found.tested_costs.arms, arm_looks),
    ]


def _training_and_image_parts(study: StudyScores, arm_looks: Looks) -> list[Part | None]:
    return [
        training_part(study, arm_looks),
        classes_part(study, arm_looks),
        spread_part(study, arm_looks),
        agreement_part(study, arm_looks),
        domains_part(study, arm_looks),
        arms_gallery_part(study),
    ]


def _of_finalists(part: Part) -> Part:
    """A part with a title and a file name that differ from those of the search's part."""
    sheet = part.sheet and replace(part.sheet, name=f"finalists_{part.sheet.name}")
    title = f"Finalists: {part.title[0].lower()}{part.title[1:]}"
    return replace(part, title=title, sheet=sheet)


def _section(found: Findings, parts: Sequence[Part | None], looks_: Looks) -> Section:
    study, summary = found.study, found.summary
    arms = found.tested.rows.arms
    unlike = () if found.finalists is None else unlike_banners(found.finalists.rows)
    return Section(
        name=study.rows.name,
        question=summary.question,
        answer=summary.answer,
        glance=first_screen(summary.overview, looks_),
        banners=(*banners(study.rows), *unlike),
        facts=facts(study.rows),
        parts=tuple(p for p in parts if p is not None),
        notes=notes(study),
        long_names=tuple(a for a in arms if len(a) > LONGEST_NAME),
    )


def _arm_looks(study: StudyScores) -> Looks:
    return looks(study.rows.arms, study.rows.baseline)
