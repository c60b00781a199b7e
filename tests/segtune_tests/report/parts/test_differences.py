"""Differences to the baseline, on test and on images of another source."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from support.report_tables import DICE, IMAGES, PATIENTS, write_ablation
from support.report_values import found, scores
from support.studies.known_study import STEADY, write_study

from segtune.report import build, summarize
from segtune.report.evidence.differences.compare import compare
from segtune.report.evidence.differences.conclusions import conclusions
from segtune.report.evidence.estimate import Estimate
from segtune.report.page.look import arrowheads, looks, reach
from segtune.report.parts.differences.forest import KINDS, forest, forest_figure, forest_range
from segtune.report.parts.differences.paper import paper_table
from segtune.results import tables
from segtune.results.study_scores import StudyScores

TITLE = "Differences on the external set"


def test_differences_are_paired_by_seed(methods: StudyScores) -> None:
    dice, assd = compare(methods)
    assert [d.arm for d in dice.differences] == ["galore", "lora", "srft_galore"]
    p_values = []
    for d in dice.differences:
        expected = stats.ttest_rel(DICE[d.arm], DICE["full"])
        limits = expected.confidence_interval(0.95)
        assert (d.over_seeds.low, d.over_seeds.high) == pytest.approx((limits.low, limits.high))
        assert d.p_seeds == pytest.approx(expected.pvalue)
        assert (d.seeds, d.over_seeds.n) == ((0, 1, 2), 3)
        assert d.p is not None
        assert d.p >= expected.pvalue
        p_values.append(d.p)
    assert sorted(p_values) == [p_values[1], p_values[0], p_values[2]]
    corrected = [2 * p_values[0], 3 * p_values[1], p_values[2]]  # from the smallest: x3, x2, x1
    assert [d.p_holm for d in dice.differences] == pytest.approx(corrected)
    assert assd.differences[0].over_seeds.mean == pytest.approx(
        -30 * dice.differences[0].over_seeds.mean
    )


def test_patients_are_drawn_whole_and_empty_masks_left_out(methods: StudyScores) -> None:
    lora = compare(methods)[0].differences[1]
    assert lora.over_patients is not None
    assert (lora.over_patients.patients, lora.over_patients.images) == (PATIENTS, IMAGES)
    images = methods.rows.images
    dice = images[(images["metric"] == "dice") & (images["split"] == "test")]
    wide = dice.pivot_table(index=["class_name", "sample_id"], columns="trial_id", values="value")
    macro = {t: wide[t].groupby("class_name").mean().mean() for t in wide}
    expected = np.mean([macro[f"lora-s{s}"] - macro[f"full-s{s}"] for s in range(3)])
    assert lora.over_patients.mean == pytest.approx(expected)
    assert lora.over_patients.low < expected < lora.over_patients.high < 0


def test_conclusions_do_not_overclaim(methods: StudyScores, tmp_path: Path) -> None:
    said = " ".join(conclusions(compare(methods)[0]))
    assert "lora scored worse than full" in said
    assert (
        "one cannot tell galore and srft_galore from full with n = 3 seeds and 6 patients" in said
    )
    assert "not evidence that there is no difference" in said
    write_ablation(tmp_path, seeds=(0,))
    alone = compare(scores(tmp_path, "methods"))[0]
    assert {(d.over_seeds.low, d.p, d.p_holm) for d in alone.differences} == {(None, None, None)}
    assert "says nothing about" in " ".join(conclusions(alone))


def test_every_interval_is_in_the_forest(two_domains: StudyScores) -> None:
    for comparison in compare(two_domains):
        for d, row in zip(comparison.differences, forest(comparison).rows.values(), strict=True):
            assert [one.kind for one in row] == list(KINDS)
            assert [one.estimate for one in row[:2]] == [d.over_both, d.over_seeds]
            assert d.over_patients is not None
            assert row[2].estimate.low == d.over_patients.low
            assert row[2].over == f"over {PATIENTS} patients, {IMAGES} images"


def test_forest_plots_show_what_was_compared(two_domains: StudyScores) -> None:
    colors = looks(two_domains.rows.arms, two_domains.rows.baseline)
    for comparison in compare(two_domains):
        found = forest(comparison)
        drawn = forest_figure(found, colors, forest_range([found]))
        shown = {round(float(t.x[0]), 9) for t in drawn.data}
        for d in comparison.differences:
            assert round(d.shown.mean, 9) in shown
            assert d.over_patients is not None
            assert round(d.over_patients.mean, 9) in shown
        hovers = [t.hovertemplate for t in drawn.data if t.hoverinfo != "skip"]
        assert all("n=" in text or "over" in text for text in hovers)
        assert all("[" in text for text in hovers)


def test_the_arms_are_compared_there_too(tmp_path: Path) -> None:
    write_ablation(tmp_path, elsewhere=-0.2)
    external = found(tmp_path, "methods")
    rows, summary = external.study.rows, external.summary
    assert [(c.measure.metric, c.split) for c in summary.external] == [
        ("dice", "external"),
        ("assd", "external"),
    ]
    lora = next(d for d in summary.external[0].differences if d.arm == "lora")
    assert lora.p_seeds == pytest.approx(stats.ttest_rel(DICE["lora"], DICE["full"]).pvalue)
    assert lora.p is not None
    at_home = next(d for d in summary.comparisons[0].differences if d.arm == "lora")
    assert lora.per_patient != at_home.per_patient
    assert lora.verdict.word == "worse"
    home, away, _ = summary.answer
    assert home.startswith("On Dice (18 test images of 6 patients)")
    assert away.startswith("Elsewhere (external set, 18 images of 6 patients) lora (")
    assert "is worse than full" in away
    away_forest = forest(summary.external[0])
    ends = forest_range([away_forest])
    drawn = forest_figure(away_forest, looks(rows.arms, rows.baseline), ends)
    assert "Dice on external: arm minus full" in drawn.layout.xaxis.title.text


def test_its_part_and_table_are_there_only_with_it(tmp_path: Path) -> None:
    write_ablation(tmp_path, "home")
    write_ablation(tmp_path, "away", elsewhere=-0.2)
    pages = {}
    for study in ("home", "away"):
        out, tables = tmp_path / f"{study}.html", tmp_path / study
        pages[study] = build(tmp_path, [study], out, tables).read_text()
    assert TITLE in pages["away"]
    assert TITLE not in pages["home"]
    assert not (tmp_path / "home" / "home-paired_external.csv").exists()
    table = (tmp_path / "away" / "away-paired_external.csv").read_text().splitlines()
    assert len(table) == 1 + 2 * (len(DICE) - 1)


def test_an_interval_that_leaves_its_panel_ends_in_an_arrowhead() -> None:
    wide, narrow = Estimate(0.02, -5.0, 5.0, 2), Estimate(-0.01, -0.03, 0.01, 5)
    ends = reach([narrow, narrow, wide])
    assert ends[0] > -0.2
    assert ends[1] < 0.2
    heads = arrowheads(wide, 1.0, ends, "#000000")
    assert [(h["x"], h["marker"]["angle"]) for h in heads] == [([ends[0]], -90), ([ends[1]], 90)]
    assert arrowheads(narrow, 0.0, ends, "#000000") == []


def test_the_papers_table_has_four_columns(methods: StudyScores) -> None:
    text = paper_table(compare(methods), "paired")
    rows = [line for line in text.splitlines() if line.startswith(("galore", "lora", "srft"))]
    assert len(rows) == 2 * (len(DICE) - 1)
    assert {row.count(" & ") for row in rows} == {3}
    assert any(r"\num{-5.8} [" in row and r"\textbf{worse}" in row for row in rows)
    for needed in (r"\caption{", r"\label{tab:paired}", r"\toprule", "siunitx", r"\times"):
        assert needed in text
    assert "g over" not in text


def test_an_arm_that_scores_the_same_is_called_that(tmp_path: Path) -> None:
    write_study(tmp_path, {"base": STEADY["base"], "twin": STEADY["base"]})
    for table in ("scores", "images"):
        rows = tables.read(tmp_path, "known", table).to_pylist()
        for seed in range(len(STEADY["base"])):
            same = [r for r in rows if r["trial_id"] == f"base-s{seed}"]
            tables.write(
                tmp_path, "known", table, [{**r, "trial_id": f"twin-s{seed}"} for r in same]
            )
    found = summarize(tmp_path, "known")
    assert found.comparisons[0].differences[0].verdict.text == "cannot tell (identical scores)"
    assert "from base (identical scores)" in found.answer[0]
