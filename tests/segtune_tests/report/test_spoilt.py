"""Trials that failed, were stopped, still run or ran uncommitted code are in no number and figure.

Each of them has all rows of a finished one, with a Dice of 99 and steps of a day: whatever lets one
in is seen.
"""

import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.report_tables import ABSURD, SPOILT, spoil, write_ablation, write_search
from support.report_values import found as findings_of

from segtune.report import build
from segtune.report.build import ablation_parts
from segtune.report.evidence.differences.compare import compare
from segtune.report.evidence.objections.fairness import budget
from segtune.report.evidence.overview import Overview
from segtune.report.evidence.search_results import SearchResults
from segtune.report.page.look import looks
from segtune.report.parts.classes import class_scores
from segtune.report.parts.cost import step_costs
from segtune.report.parts.domains import shifts
from segtune.report.parts.factors import factors
from segtune.report.parts.per_image import agreements, spreads
from segtune.report.parts.pictures import arms_gallery_part, gallery
from segtune.report.parts.searches.importance import importances
from segtune.report.parts.searches.rank_by_interval import rank_by_interval
from segtune.report.parts.training import learning_curves
from segtune.report.summarize import Findings
from segtune.results import tables

FAILED = "failed trainings are in no mean"
"""The one caveat that trials in no mean add: how many there are."""


def overview_of(f: Findings) -> Overview:
    assert f.summary.overview is not None
    return f.summary.overview


OF_ARMS: Mapping[str, Callable[[Findings], Any]] = {
    "summary": lambda f: [(a.arm, a.seeds, a.values, a.patients) for a in f.summary.summary.arms],
    "differences": lambda f: compare(f.study),
    "differences elsewhere": lambda f: compare(f.study, "external"),
    "caveats": lambda f: [c for c in f.summary.caveats if c.title != FAILED],
    "answer": lambda f: f.summary.answer[:-1],  # the last sentence names caveats
    "first screen": lambda f: [replace(line, note="") for line in overview_of(f).lines],
    "budget": lambda f: budget(f.study.rows),
    "factors": lambda f: factors(f.study.rows),
    "classes": lambda f: class_scores(f.study),
    "spread": lambda f: spreads(f.study),
    "agreement": lambda f: agreements(f.study),
    "shift": lambda f: shifts(f.study),
    "costs": lambda f: f.costs.arms,
    "refreshes": lambda f: step_costs(f.study.rows),
    "curves": lambda f: learning_curves(f.study),
    "rank by interval": lambda f: rank_by_interval(f.study, "arm"),
    "gallery": lambda f: arms_gallery_part(f.study),
}


def search_of(f: Findings) -> SearchResults:
    assert f.search is not None
    return f.search


OF_SEARCHES: Mapping[str, Callable[[Findings], Any]] = {
    "best": lambda f: search_of(f).best(50),
    "front": lambda f: [t for t in search_of(f).trials if t.on_front],
    "importances": lambda f: importances(search_of(f)),
    "costs": lambda f: f.costs.of_trials(
        str(t) for t in f.study.rows.of("search", status="finished")["trial_id"]
    ),
    "rank by interval": lambda f: rank_by_interval(f.study, "search"),
    "answer": lambda f: f.summary.answer,
    "pictures": lambda f: gallery(
        f.study, [(t.trial_id, t.trial_id) for t in search_of(f).best(4)]
    ),
}


def written(value: Any) -> str:
    """A value as text; of its numbers the digits that do not hang on the order of a sum."""
    return re.sub(r"\d+\.\d+(e-?\d+)?", lambda found: f"{float(found[0]):.9g}", repr(value))


def both(folder: Path, study: str) -> tuple[Findings, Findings]:
    """A study clean, and with trials in it that count for nothing; ranks and intervals vary."""
    trials = tables.read(folder / "clean", study, "trials").to_pylist()
    names = sorted({t["arm"] or t["trial_id"] for t in trials})
    for row in trials:
        k = names.index(row["arm"] or row["trial_id"])
        drawn = {"method.rank": (4, 8)[k % 2], "method.update_proj_gap": (5, 20)[k // 2 % 2]}
        changes = json.dumps({**json.loads(row["changes"]), **drawn})
        tables.write(folder / "clean", study, "trials", [{**row, "changes": changes}])
    shutil.copytree(folder / "clean", folder / "spoilt")
    spoil(folder / "spoilt", study)
    return findings_of(folder / "clean", study), findings_of(folder / "spoilt", study)


@pytest.fixture(scope="module")
def ablations(tmp_path_factory: pytest.TempPathFactory) -> tuple[Findings, Findings]:
    folder = tmp_path_factory.mktemp("spoilt")
    write_ablation(folder / "clean", elsewhere=-0.2)
    return both(folder, "methods")


@pytest.fixture(scope="module")
def searches(tmp_path_factory: pytest.TempPathFactory) -> tuple[Findings, Findings]:
    folder = tmp_path_factory.mktemp("spoilt")
    write_search(folder / "clean", trials=26)
    return both(folder, "rank")


def test_the_spoilt_study_is_spoilt(ablations: tuple[Findings, Findings]) -> None:
    clean, spoilt = (found.study.rows for found in ablations)
    assert len(spoilt.trials) == len(clean.trials) + len(SPOILT) * len(clean.arms)
    assert set(spoilt.trials["status"]) == {"finished", *SPOILT}
    for split in ("test", "external"):
        assert (spoilt.images.loc[spoilt.images["split"] == split, "value"] > 1).any()
    assert ABSURD in set(spoilt.scores["value"])


@pytest.mark.parametrize("what", OF_ARMS)
def test_nothing_of_an_ablation_moves(what: str, ablations: tuple[Findings, Findings]) -> None:
    clean, spoilt = (OF_ARMS[what](found) for found in ablations)
    assert clean
    assert written(spoilt) == written(clean)


@pytest.mark.parametrize("what", OF_SEARCHES)
def test_nothing_of_a_search_moves(what: str, searches: tuple[Findings, Findings]) -> None:
    clean, spoilt = (OF_SEARCHES[what](found) for found in searches)
    assert clean
    assert written(spoilt) == written(clean)


def test_every_table_of_the_page_is_the_same(ablations: tuple[Findings, Findings]) -> None:
    """But for the counts: how many of the trials that were started finished."""
    sheets = []
    for found in ablations:
        rows = found.study.rows
        parts = ablation_parts(found, looks(rows.arms, rows.baseline))
        sheets.append({p.sheet.name: p.sheet.raw_rows for p in parts if p and p.sheet})
    assert sheets[0] == sheets[1]
    assert {"summary", "paired", "paired_external", "budget", "time", "memory"} <= set(sheets[0])


def test_they_are_counted_and_named(tmp_path: Path) -> None:
    write_ablation(tmp_path)
    spoil(tmp_path, "methods")
    html = build(tmp_path, ["methods"], tmp_path / "r.html").read_text()
    assert "12 finished, 4 dirty, 4 running, 4 pruned, 4 failed, 4 cancelled" in html
    assert "lora 1 cancelled, 1 dirty, 1 failed, 1 pruned, 1 running" in html
