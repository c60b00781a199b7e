"""Images of another source: the differences there, tested as those at home are."""

from pathlib import Path

import pytest
from scipy import stats
from support.report_tables import DICE, write_ablation

from segtune.report import build
from segtune.report.figures_differences import forest
from segtune.report.marks import arm_looks
from segtune.report.summarize import summarize_rows
from segtune.results.study_rows import load

TITLE = "Differences on the external set"


def test_the_arms_are_compared_there_too(tmp_path: Path) -> None:
    write_ablation(tmp_path, elsewhere=-0.2)
    rows = load(tmp_path, "methods")
    found = summarize_rows(rows)
    assert [(c.measure.metric, c.split) for c in found.external] == [
        ("dice", "external"),
        ("assd", "external"),
    ]
    lora = next(d for d in found.external[0].differences if d.arm == "lora")
    assert lora.p_seeds == pytest.approx(stats.ttest_rel(DICE["lora"], DICE["full"]).pvalue)
    assert lora.p is not None
    at_home = next(d for d in found.comparisons[0].differences if d.arm == "lora")
    assert lora.per_patient != at_home.per_patient
    assert lora.verdict.word == "worse"
    home, away, _, _ = found.answer
    assert home.startswith("On Dice (18 test images of 6 patients)")
    assert away.startswith("Elsewhere (external set, 18 images of 6 patients) lora (")
    assert "is worse than full" in away
    drawn = forest(found.external[0], arm_looks(rows))
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
