"""Tables and figures as a paper takes them."""

import json
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.report_tables import DICE, write_ablation, write_finalists, write_search, write_trial

from segtune.report import build
from segtune.report.page.files import FORMATS, for_print, to_latex, write_figures
from segtune.report.page.look import Key, figure
from segtune.report.page.sheet import Cell, Sheet

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    write_ablation(folder)
    build(folder, ["methods"], folder / "r.html", folder / "tables")
    return folder / "tables"


def test_latex_has_mean_and_sd_the_best_in_bold_and_marks(tables: Path) -> None:
    lines = (tables / "methods-summary.tex").read_text().splitlines()
    assert lines[1].startswith("\\begin{tabular}{lr")
    assert [line for line in lines if line.endswith("rule")] == [
        "\\toprule", "\\midrule", "\\bottomrule",
    ]  # fmt: skip
    body = {line.split(" & ")[0]: line.split(" & ") for line in lines if line.endswith("\\\\")}
    columns = body["arm"].index("Dice")

    def shown(arm: str) -> str:
        return f"{np.mean(DICE[arm]):.3f} $\\pm$ {np.std(DICE[arm], ddof=1):.3f}"

    assert body["full (baseline)"][columns] == shown("full")
    assert body["srft\\_galore"][columns] == f"\\textbf{{{shown('srft_galore')}}}"
    assert body["lora"][columns] == f"{shown('lora')}$^{{\\dagger}}$"
    assert body["lora"][body["arm"].index("ASSD (px), per\\_class\\_px")].endswith("$^{\\dagger}$")
    assert "bold: best mean" in lines[-2]
    assert "\\multicolumn" in lines[-2]


ODD = "a_b & 50% #1 $x$ {y} ~^\\ <z> | \u00b5 \u00e9 \u201cq\u201d"
FOREIGN = "\u809d \U0001f52c \u05e9"


@pytest.fixture(scope="module")
def latex(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Every table of an ablation and of a search with finalists; an arm has an odd name."""
    folder = tmp_path_factory.mktemp("latex")
    write_ablation(folder, elsewhere=-0.2)
    for seed in range(3):
        write_trial(folder, "methods", f"odd-s{seed}", 0.6 + 0.01 * seed, role="arm", arm=ODD,
                    seed=seed, changes=json.dumps({"method": ODD}), elsewhere=-0.1)  # fmt: skip
    write_search(folder)
    write_finalists(folder, "rank", {0: DICE["full"], 5: DICE["srft_galore"]})
    for study in ("methods", "rank"):
        build(folder, [study], folder / "r.html", folder / "tables")
    return {p.stem: p.read_text() for p in sorted((folder / "tables").glob("*.tex"))}


def test_latex_has_as_many_cells_in_every_row(latex: dict[str, str]) -> None:
    assert {"methods-summary", "methods-paired_external", "rank-finalists_paired"} <= set(latex)
    for text in latex.values():
        lines = [line for line in text.splitlines() if not line.startswith("%")]
        first, last = (
            k
            for k, line in enumerate(lines)
            if re.match(r"\\(begin|end)\{(tabular|longtable)", line)
        )
        floating = lines[0] == "\\begin{table}"
        assert lines[last + 1 :] == (["\\end{table}"] if floating else [])
        assert first == 0 or floating
        lines = lines[first : last + 1]
        found = re.fullmatch(r"\\begin\{(\w+)\}\{((?:[lrS]|p\{[^}]*\})+)\}", lines[0])
        assert found is not None
        assert lines[-1] == f"\\end{{{found[1]}}}"
        columns = len(re.findall(r"[lrS]|p\{[^}]*\}", found[2]))
        for row in lines[1:-1]:
            if not row.endswith(("rule", "\\endhead")):
                plain = re.sub(r"\\[\\&%$#_{}]", "", row.removesuffix(r" \\"))
                spans = sum(int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", row))
                assert row.endswith(r" \\")
                assert plain.count("&") + spans == columns - 1
                assert plain.count("{") == plain.count("}")
                assert plain.count("$") % 2 == 0
                in_text = re.sub(r"\$[^$]*\$", "", plain)
                assert not set("#%_~^<>") & set(in_text)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="LaTeX is not installed")
def test_latex_compiles(latex: dict[str, str], tmp_path: Path) -> None:
    whole = "\n\n".join(f"{{\\tiny\n{text}}}" for text in latex.values())
    page = "\\usepackage[a3paper,landscape,margin=1cm]{geometry}"
    page += "\\usepackage{booktabs,longtable,siunitx}"
    document = f"\\documentclass{{article}}{page}\\begin{{document}}{whole}\\end{{document}}"
    (tmp_path / "x.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "x.tex"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-2000:]
    assert (tmp_path / "x.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(("name", "told"), [(ODD, False), (FOREIGN, True)])
def test_letters_that_pdflatex_lacks_are_told(name: str, told: bool) -> None:
    text = to_latex(Sheet("a", ("arm",), ((Cell(name),),)))
    assert text.startswith("% has letters that LuaLaTeX") == told


def test_markdown_says_the_same(tables: Path) -> None:
    text = (tables / "methods-summary.md").read_text()
    assert "| **0.708 \u00b1 0.004** |" in text
    assert "\u2020 |" in text
    assert text.rstrip().endswith(".")


def test_csv_keeps_all_digits_and_every_number_of_a_verdict(tables: Path) -> None:
    header, *lines = (tables / "methods-paired.csv").read_text().splitlines()
    rows = [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines]
    lora = next(r for r in rows if (r["metric"], r["arm"]) == ("dice", "lora"))
    gaps = np.subtract(DICE["lora"], DICE["full"])
    assert float(lora["difference_mean"]) == pytest.approx(gaps.mean(), abs=1e-15)
    assert (lora["baseline"], lora["verdict"], lora["patients"]) == ("full", "worse", "6")
    assert float(lora["p_holm"]) >= float(lora["p"]) >= float(lora["p_seeds"])
    assert (
        float(lora["p_patients"]) == 2 / 2**6
    )  # six patients, all the same way: the least there is
    assert float(lora["both_low"]) < gaps.mean() < float(lora["both_high"]) < 0


def drawn() -> Any:
    trace = {"type": "scatter", "x": [1, 2], "y": [0.7, 0.8]}
    keys = [Key("a", "an arm", "#006cb4"), Key("b", "x" * 80, "#d86000")]
    return figure([trace], height=200, span="half", keys=keys)


def test_a_printed_figure_has_its_legend_and_leaves_the_pages_alone() -> None:
    original = drawn()
    before = original.to_json()
    printed = for_print(original)
    [legend] = printed.layout.annotations
    assert "an arm" in legend.text
    assert legend.text.count("<br>") == 1  # the long name has a line of its own
    assert printed.layout.height == 200 + 2 * 20
    assert original.to_json() == before


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_figures_are_written_in_every_format(tmp_path: Path) -> None:
    pytest.importorskip("kaleido")
    assert write_figures([(tmp_path / "new" / "study-curves", drawn())]) == ""
    files = {p.suffix[1:]: p for p in (tmp_path / "new").iterdir()}
    assert sorted(files) == sorted(FORMATS)
    assert "an arm" in "".join(ElementTree.parse(files["svg"]).getroot().itertext())
    assert files["pdf"].read_bytes().startswith(b"%PDF")
    with Image.open(files["png"]) as image:
        assert image.size == (3 * 620, 3 * 240)
        assert np.asarray(image.convert("RGB")).std() > 1


def test_no_browser_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("kaleido")
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "gone"))
    said = write_figures([(tmp_path / "a", drawn())])
    assert "Install Chromium, or say where it is in BROWSER_PATH" in said
    assert "\n" not in said
    assert list(tmp_path.iterdir()) == []


def test_no_kaleido_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kaleido", None)
    said = write_figures([(tmp_path / "a", drawn())])
    assert "kaleido is not installed" in said
    assert "\n" not in said
