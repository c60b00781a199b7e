"""Trials that failed, were stopped, still run or ran uncommitted code are in no number and figure.

Each of them has all rows of a finished one, with a Dice of 99 and steps of a day: whatever lets one
in is seen.
"""

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.report_tables import ABSURD, SPOILT, spoil, write_ablation, write_search

from segtune.report import build
from segtune.report.ablation import ablation_parts
from segtune.report.agreement import agreements
from segtune.report.budget import budget
from segtune.report.cost import arm_costs, step_costs, trial_costs
from segtune.report.curves import learning_curves
from segtune.report.factors import factors
from segtune.report.heat import rank_by_interval
from segtune.report.importance import importances
from segtune.report.paired import compare
from segtune.report.panels import gallery_part
from segtune.report.perclass import class_scores
from segtune.report.pictures import grid
from segtune.report.search import read_search
from segtune.report.shift import shifts
from segtune.report.spread import spreads
from segtune.report.summarize import summarize_rows
from segtune.report.summary import summarise
from segtune.results import tables
from segtune.results.study_rows import StudyRows, load

OF_ARMS: Mapping[str, Callable[[StudyRows], Any]] = {
    "summary": lambda rows: [(a.arm, a.seeds, a.values, a.patients) for a in summarise(rows).arms],
    "paired": compare,
    "paired elsewhere": lambda rows: compare(rows, "external"),
    "caveats": lambda rows: summarize_rows(rows).caveats,
    "answer": lambda rows: summarize_rows(rows).answer,
    "budget": budget,
    "factors": factors,
    "classes": class_scores,
    "spread": spreads,
    "agreement": agreements,
    "shift": shifts,
    "costs": arm_costs,
    "updates": step_costs,
    "curves": learning_curves,
    "heat": lambda rows: rank_by_interval(rows, "arm"),
    "gallery": gallery_part,
}
OF_SEARCHES: Mapping[str, Callable[[StudyRows], Any]] = {
    "best": lambda rows: read_search(rows).best(50),
    "front": lambda rows: [t for t in read_search(rows).trials if t.on_front],
    "importances": lambda rows: importances(read_search(rows)),
    "costs": trial_costs,
    "heat": lambda rows: rank_by_interval(rows, "search"),
    "answer": lambda rows: summarize_rows(rows).answer,
    "pictures": lambda rows: grid(
        rows, [(t.trial_id, t.trial_id) for t in read_search(rows).best(4)]
    ),
}


def written(value: Any) -> str:
    """A value as text; of its numbers the digits that do not hang on the order of a sum."""
    return re.sub(r"\d+\.\d+(e-?\d+)?", lambda found: f"{float(found[0]):.9g}", repr(value))


def both(folder: Path, study: str) -> tuple[StudyRows, StudyRows]:
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
    return load(folder / "clean", study), load(folder / "spoilt", study)


@pytest.fixture(scope="module")
def ablations(tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyRows, StudyRows]:
    folder = tmp_path_factory.mktemp("spoilt")
    write_ablation(folder / "clean", elsewhere=-0.2)
    return both(folder, "methods")


@pytest.fixture(scope="module")
def searches(tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyRows, StudyRows]:
    folder = tmp_path_factory.mktemp("spoilt")
    write_search(folder / "clean", trials=26)
    return both(folder, "rank")


def test_the_spoilt_study_is_spoilt(ablations: tuple[StudyRows, StudyRows]) -> None:
    clean, spoilt = ablations
    assert len(spoilt.trials) == len(clean.trials) + len(SPOILT) * len(clean.arms)
    assert set(spoilt.trials["status"]) == {"finished", *SPOILT}
    for split in ("test", "external"):
        assert (spoilt.images.loc[spoilt.images["split"] == split, "value"] > 1).any()
    assert ABSURD in set(spoilt.scores["value"])


@pytest.mark.parametrize("what", OF_ARMS)
def test_nothing_of_an_ablation_moves(what: str, ablations: tuple[StudyRows, StudyRows]) -> None:
    clean, spoilt = (OF_ARMS[what](rows) for rows in ablations)
    assert clean
    assert written(spoilt) == written(clean)


@pytest.mark.parametrize("what", OF_SEARCHES)
def test_nothing_of_a_search_moves(what: str, searches: tuple[StudyRows, StudyRows]) -> None:
    clean, spoilt = (OF_SEARCHES[what](rows) for rows in searches)
    assert clean
    assert written(spoilt) == written(clean)


def test_every_table_of_the_page_is_the_same(ablations: tuple[StudyRows, StudyRows]) -> None:
    """But for the counts: how many of the trials that were started finished."""
    sheets = []
    for rows in ablations:
        parts = ablation_parts(rows, summarize_rows(rows))
        sheets.append({p.sheet.name: p.sheet.raw_rows for p in parts if p.sheet is not None})
    assert sheets[0] == sheets[1]
    assert {"summary", "paired", "paired_external", "budget", "time", "memory"} <= set(sheets[0])


def test_they_are_counted_and_named(tmp_path: Path) -> None:
    write_ablation(tmp_path)
    spoil(tmp_path, "methods")
    html = build(tmp_path, ["methods"], tmp_path / "r.html").read_text()
    assert "12 finished, 4 dirty, 4 running, 4 pruned, 4 failed, 4 cancelled" in html
    assert "lora 1 cancelled, 1 dirty, 1 failed, 1 pruned, 1 running" in html
