"""The README is the map: it names every file, and its commands are real."""

import re
from pathlib import Path
from typing import Any

import pytest

from segtune import catalog
from segtune.cli import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_every_module_and_study_is_on_the_map() -> None:
    files = [
        *(ROOT / "platform" / "segtune").rglob("*.py"),
        *(ROOT / "model" / "segcore").rglob("*.py"),
        *(ROOT / "search_spaces").glob("*.py"),
        *(ROOT / "tests" / "benchmarks").glob("*.py"),
    ]
    missing = [f.name for f in files if f.name != "__init__.py" and f"`{f.name}`" not in README]
    assert not missing


def test_optimizers_own_readme_maps_its_files() -> None:
    folder = ROOT / "model" / "srft_galore"
    readme = (folder / "README.md").read_text()
    missing = [f.name for f in folder.glob("*.py") if f"`{f.name}`" not in readme]
    assert missing in ([], ["__init__.py"])


def test_pictures_and_links_are_there() -> None:
    links = re.findall(r"\]\(([^)#]+)", README)
    assert links
    for link in links:
        assert link.startswith("http") or (ROOT / link).exists(), link


@pytest.mark.parametrize("command", sorted(set(re.findall(r"bin/segtune (\w+)", README))))
def test_commands_are_real(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert command in capsys.readouterr().out


def test_the_study_it_shows_is_the_one_that_runs() -> None:
    shown = re.search(r"```python\n(from segcore.presets.*?)```", README, re.DOTALL)
    assert shown is not None
    written: dict[str, Any] = {}
    exec(shown.group(1), written)
    assert written["study"]() == catalog.find("demo").study
