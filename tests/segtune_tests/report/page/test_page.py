"""The page as a whole: built from tables written here, complete or spoilt."""

import itertools
import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from support.report_tables import ARMS, DICE, write_ablation, write_search, write_trial
from support.report_values import markup

from segtune.report import build
from segtune.report.page.files import to_latex, to_markdown
from segtune.report.page.sheet import Cell, Sheet
from segtune.results import study_file, tables


@pytest.fixture(scope="module")
def page(storage: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    return build(storage, ["methods", "rank"], folder / "report.html", folder / "tables")


def test_page_asks_no_address_and_holds_plotly_once(page: Path) -> None:
    html = page.read_text()
    assert html.count("plotly.js v") == 1
    assert "showSendToCloud: false" in html
    assert "default-src 'none'" in html
    assert not re.findall(r"(?:src|href)\s*=\s*[\"']?\s*(?:https?:|//)", markup(page))
    assert not re.findall(r"url\(|@import|https?://", markup(page))
    assert [p.name for p in page.parent.glob(".report*")] == []


def test_page_has_a_section_per_study(page: Path) -> None:
    html = markup(page)
    assert '<a href="#study-0"><bdi>methods</bdi></a><a href="#study-1"><bdi>rank</bdi></a>' in html
    for title in ("Scores on the test split", "Differences to the baseline", "Pareto front",
                  "Which setting matters", "How to read this"):  # fmt: skip
        assert title in html
    assert "RuntimeError: out of memory" in html
    assert "0.706" in html


def test_tables_are_written(page: Path) -> None:
    folder = page.parent / "tables"
    names = {p.name for p in folder.iterdir()}
    assert {"methods-summary.csv", "methods-paired.tex", "rank-summary.md"} <= names
    head, first = (folder / "methods-summary.csv").read_text().splitlines()[:2]
    assert head.startswith("arm,seeds,dice_macro_mean,dice_macro_low")
    assert float(first.split(",")[2]) == pytest.approx(np.mean(DICE["full"]))
    latex = (folder / "methods-summary.tex").read_text()
    assert "\\toprule" in latex
    assert "srft\\_galore & 3 of 3 & \\textbf{0.708 $\\pm$ 0.004}" in latex


def test_exported_words_are_escaped() -> None:
    sheet = Sheet("x", ("a_b",), ((Cell("5 % | \u2212{1}", left=True),),))
    assert "5 \\% | $-$\\{1\\} \\\\" in to_latex(sheet)
    assert "| 5 % \\| \u2212{1} |" in to_markdown(sheet)


HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "%{x}<b>&amp;",
    "\u202eright to left\u202c \u05e9\u05dc\u05d5\u05dd",
    "\U0001f9ea\U0001f52c",
    "long-" + "x" * 400,
)


def test_names_and_errors_from_outside_are_text_and_nothing_else(tmp_path: Path) -> None:
    """As the study's question, its arms, an error and a class; a study's name is a folder's."""
    arms = {name: {"method": name} for name in HOSTILE}
    study = "a<b>&amp; \u05e9\u05dc\u05d5\u05dd"
    study_file.write(tmp_path, study, {
        "schema_version": 2, "study": study, "kind": "ablation", "question": HOSTILE[0],
        "baseline": {"method": "full"}, "baseline_arm": "full", "arms": arms, "seeds": [0, 1],
    })  # fmt: skip
    for number, (arm, seed) in enumerate(itertools.product(["full", *arms], (0, 1))):
        write_trial(tmp_path, study, f"a{number}", 0.5 + 0.01 * number, role="arm", arm=arm,
                    seed=seed, changes=json.dumps(arms.get(arm, {})))  # fmt: skip
    write_trial(tmp_path, study, "bad", 0.5, role="arm", arm=HOSTILE[0], seed=2, status="failed",
                error="\n".join(HOSTILE))  # fmt: skip
    page = build(tmp_path, [study], tmp_path / "r.html", tmp_path / "tables")
    html, shown = page.read_text(), markup(page)
    assert "<script>alert" not in html
    assert "<img src=x" not in html
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in shown
    specs = re.findall(r'data-plot="[^"]*">(.*?)</script>', html)
    assert len(specs) > 10
    for spec in map(json.loads, specs):
        said = strings({**spec, "layout": {**spec["layout"], "meta": None}})
        assert not [t for t in said if "<script" in t or "<img" in t or "%{x}<b>" in t]


def strings(value: Any, key: str = "") -> Iterator[str]:
    """What plotly would show: groups are names for the page's own script, and never shown."""
    if isinstance(value, str) and key not in ("legendgroup", "offsetgroup"):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from strings(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner, key)


def no_pictures(storage: Path) -> None:
    shutil.rmtree(storage / "methods" / "tables" / "pictures")


def no_images(storage: Path) -> None:
    shutil.rmtree(storage / "methods" / "tables" / "images")


def no_steps(storage: Path) -> None:
    shutil.rmtree(storage / "methods" / "tables" / "steps")


def no_scores(storage: Path) -> None:
    shutil.rmtree(storage / "methods" / "tables" / "scores")


def no_definition(storage: Path) -> None:
    (storage / "methods" / "study.json").unlink()


def only_trials(storage: Path) -> None:
    for name in ("pictures", "images", "steps", "scores"):
        shutil.rmtree(storage / "methods" / "tables" / name)


def baseline_is_missing(storage: Path) -> None:
    for file in (storage / "methods" / "tables").glob("*/full-*"):
        file.unlink()


def nothing_tested(storage: Path) -> None:
    for arm in ARMS:
        write_trial(storage, "methods", f"{arm}-s0", 0.5, role="arm", arm=arm, seed=0,
                    status="running", best_epoch=None, ended=None, device=None, versions=None,
                    data_hash=None, trainable_parameters=None)  # fmt: skip
    no_pictures(storage)
    no_images(storage)


def a_class_was_never_there(storage: Path) -> None:
    """Its name is known, and no image defines it."""
    names: tuple[tables.TrialTable, ...] = ("scores", "images")
    for name in names:
        for file in (storage / "methods" / "tables" / name).iterdir():
            rows = pq.read_table(file).to_pylist()
            lost = [{**r, "value": math.nan} if r["class_name"] == "ligament" else r for r in rows]
            tables.write(storage, "methods", name, lost)


def only_one_trial(storage: Path) -> None:
    for file in (storage / "methods" / "tables").glob("*/*.parquet"):
        if not file.name.startswith("lora-"):
            file.unlink()


def none_finished(storage: Path) -> None:
    for arm in ARMS:
        write_trial(storage, "methods", f"{arm}-s0", 0.5, role="arm", arm=arm, seed=0,
                    status="failed", best_epoch=None, error="RuntimeError: no")  # fmt: skip
    no_pictures(storage)
    no_images(storage)


def scores_are_nan(storage: Path) -> None:
    names: tuple[tables.TrialTable, ...] = ("scores", "images")
    for name in names:
        for file in (storage / "methods" / "tables" / name).iterdir():
            rows = pq.read_table(file).to_pylist()
            tables.write(storage, "methods", name, [{**r, "value": math.nan} for r in rows])


DAMAGES = (no_pictures, no_images, no_steps, no_scores, no_definition, only_trials,
           baseline_is_missing, nothing_tested, scores_are_nan, a_class_was_never_there,
           only_one_trial, none_finished)  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: d.__name__)
def test_partial_tables_say_what_is_missing(damage: Any, tmp_path: Path) -> None:
    write_ablation(tmp_path, seeds=(0,))
    damage(tmp_path)
    html = markup(build(tmp_path, ["methods"], tmp_path / "r.html", tmp_path / "tables"))
    assert 'class="missing"' in html or damage is no_definition
    assert ">nan<" not in html


@pytest.mark.parametrize("trials", [1, 4])
def test_a_search_that_has_just_begun(trials: int, tmp_path: Path) -> None:
    write_search(tmp_path, trials=trials)
    (tmp_path / "rank" / "tables" / "pictures").joinpath("t0-a1.parquet").unlink()
    assert 'class="missing"' in markup(build(tmp_path, ["rank"], tmp_path / "r.html"))


def test_unknown_studies_are_refused_with_those_that_are_there(
    storage: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="methods, rank"):
        build(storage, ["method"], tmp_path / "x.html")
    with pytest.raises(ValueError, match="at least one study"):
        build(storage, [], tmp_path / "x.html")
    assert not (tmp_path / "x.html").exists()


def test_the_same_tables_give_the_same_page(storage: Path, page: Path) -> None:
    again = build(storage, ["methods", "rank"], page.with_name("again.html"))
    assert again.read_bytes() == page.read_bytes()


def test_report_loads_neither_torch_nor_ray_nor_segcore() -> None:
    code = "import json, sys, segtune.report; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert not loaded & {"torch", "ray", "segcore", "srft_galore", "search_spaces"}
