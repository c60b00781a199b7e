"""Pairs of arms that a study declares, besides each arm with the baseline."""

from pathlib import Path

import pytest
from support.studies.known_study import write_study

from segtune.report import build, summarize

SEEDS = (0.0, 0.002, -0.002, 0.001, -0.001)
ARMS = {
    "base": tuple(0.6 + s for s in SEEDS),
    "galore": tuple(0.7 + s for s in SEEDS),
    "srft": (0.7003, 0.7018, 0.6981, 0.7012, 0.6989),
    "lora": tuple(0.75 + 0.9 * s for s in SEEDS),
}
DECLARED = {"contrasts": [["srft", "galore"], ["lora", "galore"]], "margin": {"dice": 0.01}}


def test_a_pair_is_judged_as_if_its_reference_were_the_baseline(tmp_path: Path) -> None:
    write_study(tmp_path / "declared", ARMS, defined=DECLARED)
    found = summarize(tmp_path / "declared", "known")
    (pairs,) = (c for c in found.contrasts if c.measure.metric == "dice")
    assert pairs.baseline == "galore"
    assert [d.verdict.word for d in pairs.differences] == ["as good", "better"]
    order = ("galore", "base", "srft", "lora")
    other = {arm: ARMS[arm] for arm in order if arm != "base"}
    write_study(tmp_path / "other", other, defined={"margin": {"dice": 0.01}})
    same = summarize(tmp_path / "other", "known").comparisons[0]
    for one, two in zip(pairs.differences, same.differences, strict=True):
        assert one.arm == two.arm
        assert one.per_seed == pytest.approx(two.per_seed, abs=5e-3)
        assert one.verdict.word == two.verdict.word


def test_it_changes_no_verdict_against_the_baseline(tmp_path: Path) -> None:
    write_study(tmp_path / "declared", ARMS, defined=DECLARED)
    write_study(tmp_path / "plain", ARMS, defined={"margin": {"dice": 0.01}})
    declared, plain = (summarize(tmp_path / name, "known") for name in ("declared", "plain"))
    assert plain.contrasts == ()
    assert declared.comparisons == plain.comparisons
    assert declared.caveats == plain.caveats


def test_the_answer_and_a_part_of_the_report_say_it(tmp_path: Path) -> None:
    write_study(tmp_path, ARMS, defined=DECLARED)
    answer = summarize(tmp_path, "known").answer
    assert "than base" in answer[0]
    assert "lora (+0.050" in answer[1]
    assert "is better than galore" in answer[1]
    assert "is as good as galore within 0.01 Dice" in answer[1]
    page = build(tmp_path, ["known"], tmp_path / "r.html").read_text()
    assert "Differences between other arms" in page


def test_rows_say_what_an_arm_is_compared_with_where_references_differ(tmp_path: Path) -> None:
    two = {"contrasts": [["lora", "galore"], ["lora", "srft"]]}
    write_study(tmp_path, ARMS, defined=two)
    tables = tmp_path / "tables"
    page = build(tmp_path, ["known"], tmp_path / "r.html", tables).read_text()
    assert "minus galore" in page
    assert "minus srft" in page
    (paper,) = tables.rglob("*paired_contrasts*.tex")
    assert ", minus galore" in paper.read_text()
    assert "Differences to other arms on the test split" in paper.read_text()
