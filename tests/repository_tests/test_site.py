"""The site that `make docs` builds: whole, with a strict build that finds every link."""

import importlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from segtune.cli import COMMANDS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "platform" / "docs"
PUBLIC = {
    "segtune": "api/segtune.html",
    "segtune.results": "api/results.html",
    "segtune.report": "api/results.html",
    "segcore.presets": "api/presets.html",
    "segcore.train": "api/training.html",
    "segcore.predict": "api/predict.html",
    "srft_galore": "api/srft_galore.html",
}
"""Module with `__all__` -> the page that describes its names."""

EXTRA = ("material", "mkdocstrings", "nbclient", "nbformat", "ipykernel")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.ray,  # the notebook's study
    pytest.mark.skipif(
        any(importlib.util.find_spec(m) is None for m in EXTRA),
        reason="the extra docs is not installed",
    ),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file",
         str(DOCS / "mkdocs.yml"), "--site-dir", str(folder)],
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_is_described(site: Path, module: str) -> None:
    page = (site / PUBLIC[module]).read_text()
    for name in importlib.import_module(module).__all__:
        described = getattr(importlib.import_module(module), name)
        if hasattr(described, "__qualname__"):
            assert f'id="{described.__module__}.{described.__qualname__}"' in page, name
        else:  # a constant does not know where it comes from
            assert re.search(rf'id="{module}\.[\w.]*\b{name}"', page), name


def test_every_command_is_described(site: Path) -> None:
    page = (site / "api" / "commands.html").read_text()
    for name in [*COMMANDS, "data make"]:
        assert f"usage: segtune {name} [-h]" in page, name


def test_links_to_code_and_figures_lead_somewhere(site: Path) -> None:
    """What a README links to and is no page of its own: a package, a benchmark, its figures."""
    start, measured = site / "index.html", site / "tests" / "benchmarks" / "index.html"
    assert 'href="platform/segtune/__init__.py.html"' in start.read_text()
    shown = (site / "platform" / "segtune" / "__init__.py.html").read_text()
    assert "Studies of fine-tuning" in shown
    assert 'href="results/demo.json"' in measured.read_text()
    there = (measured.parent / "results" / "demo.json").read_bytes()
    assert there == (ROOT / "tests" / "benchmarks" / "results" / "demo.json").read_bytes()


def test_the_notebook_leads_from_a_study_to_its_answer(site: Path) -> None:
    page = (site / "platform" / "docs" / "first_study.ipynb.html").read_text()
    assert re.search(r"best val Dice .*\(6/6\)", page)  # what the run printed, to its end
    assert page.count("<td>lora</td>") == 3  # the table, a row for each seed
    assert "Plotly.newPlot(" in page
    assert re.search(r"On Dice \(60 test images of 12 patients\) .*lora", page)
    assert "\x1b[" not in page
