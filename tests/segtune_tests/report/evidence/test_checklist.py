"""What a reviewer asks: answers come from the record, and what is not there is said."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.report_values import found
from support.studies.known_study import NANO, STEADY, rewrite_trials, write_study

from segtune.report.evidence.checklist.item import Item
from segtune.report.parts.lookup.checklist import checklist_part, checklist_sheet
from segtune.report.summarize import findings
from segtune.results import data_facts, tables
from segtune.results.data_facts import SetFacts, SharedFacts, SplitFacts
from segtune.results.study_rows import load
from segtune.results.study_scores import derive

HASH = "d" * 64
LEAKY = SetFacts(
    name="folder",
    role="data",
    content_hash=HASH,
    names_patients=True,
    splits={
        "train": SplitFacts(60, 12, {"ridge": 45}, {"ridge": 0.031}),
        "test": SplitFacts(24, 8, {"ridge": 20}, {"ridge": 0.029}),
    },
    sizes={"192x256": 84},
    shared=(SharedFacts(("train", "test"), 2, 1),),
    repeated=0,
)
REAL = {**NANO, "data": {"name": "folder", "fractions": [0.7, 0.1, 0.2]}}


def asked(items: tuple[Item, ...], words: str) -> Item:
    [item] = [item for item in items if words in item.question]
    return item


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """A study of a set that is not rendered, whose data were counted."""
    write_study(tmp_path, STEADY, config=REAL, data_hash=HASH)
    data_facts.write(tmp_path, "known", [LEAKY])
    return tmp_path


def test_what_is_not_on_record_is_said_with_how_to_have_it(real: Path) -> None:
    items = found(real, "known").summary.checklist
    assert len({item.question for item in items}) == len(items)
    assert all(item.answer or item.lacking for item in items)
    assert asked(items, "Who are the patients").status == "not recorded"
    assert asked(items, "data from elsewhere").status == "not recorded"
    assert asked(items, "Which data were used").status == "in part"
    assert asked(items, "How was the network chosen").status == "answered"
    assert "5 seeds" in asked(items, "How sure are the numbers").answer
    assert "8 test patients" in asked(items, "How sure are the numbers").answer
    assert "fractions=[0.7, 0.1, 0.2]" in asked(items, "How were images assigned").answer


def test_counts_leaks_and_prevalence_are_those_that_were_counted(real: Path) -> None:
    items = found(real, "known").summary.checklist
    assert "train 60 images of 12 patients" in asked(items, "How many patients").answer
    assert asked(items, "in two splits").answer == "train and test share 2 images and 1 patient."
    shown = asked(items, "How often does each class").answer
    assert "Train: ridge in 45 of 60 images (3.1 % of pixels)" in shown
    unnamed = replace(LEAKY, names_patients=False, shared=(SharedFacts(("train", "test"), 0, 0),))
    data_facts.write(real, "known", [unnamed])
    item = asked(found(real, "known").summary.checklist, "in two splits")
    assert item.answer.startswith("No image (byte for byte) is in two splits.")
    assert "each counts as a patient" in item.lacking


def test_counts_of_other_files_are_not_taken(real: Path) -> None:
    data_facts.write(real, "known", [replace(LEAKY, content_hash="e" * 64)])
    item = asked(found(real, "known").summary.checklist, "How often does each class")
    assert item.status == "not recorded"
    assert "segtune data describe" in item.lacking


def test_a_test_split_that_was_seen_twice_is_told(real: Path) -> None:
    once = asked(found(real, "known").summary.checklist, "Was the test split").answer
    assert once.startswith("Once: each of 10 tested trainings")
    rows = tables.read(real, "known", "scores", trial_id="up-s1").to_pylist()
    again = [{**r, "epoch": 1} for r in rows if r["split"] == "test"]
    tables.write(real, "known", "scores", [*rows, *again])
    twice = asked(found(real, "known").summary.checklist, "Was the test split").answer
    assert twice.startswith("No: up-s1")


def test_uncommitted_code_and_hours_are_told(real: Path) -> None:
    rewrite_trials(real, lambda row: {"git_commit": "abc123", "git_dirty": True})
    code = asked(found(real, "known").summary.checklist, "Which code ran")
    assert "abc123 + uncommitted changes" in code.answer
    assert code.lacking.startswith("10 trainings ran from uncommitted code")


def test_the_part_is_folded_and_its_table_is_exported_whole(real: Path) -> None:
    items = findings(derive(load(real, "known"))).summary.checklist
    part, sheet = checklist_part(items), checklist_sheet(items)
    assert part.folded
    assert len(sheet.rows) == len(sheet.raw_rows) == len(items)
    assert {row[2] for row in sheet.raw_rows} == {"answered", "in part", "not recorded"}
    assert "\\begin{longtable}" in sheet.latex
    assert sheet.latex.count(" & ") == 3 * (1 + len(items))


def test_a_damaged_record_of_the_data_says_how_to_write_it_anew(real: Path) -> None:
    file = real / "known" / "data.json"
    for content in ("{", json.dumps({"version": 1, "sets": [{"name": 3}]}), "[]"):
        file.write_text(content)
        with pytest.raises(ValueError, match="segtune data describe known"):
            load(real, "known")


def test_looks_and_weights_of_patients_are_told(real: Path) -> None:
    definition = json.loads((real / "known" / "study.json").read_text())
    more = {"weights": "patients", "sequential": {"at_least": 3, "looks": [3, 5]}}
    (real / "known" / "study.json").write_text(json.dumps(definition | more))
    items = found(real, "known").summary.checklist
    assert "over patients (on test" in asked(items, "How are images, classes").answer
    assert "0 further" not in asked(items, "Is it allowed for").answer
    assert "after 3 and 5 seeds" in asked(items, "Is it allowed for").answer
    told = "Which arms got further seeds was decided by verdicts on test"
    assert told in asked(items, "Was the test split looked at once").answer
