"""The README's commands, links and study are real; each package lists its files."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from segtune.cli import main
from segtune.study import catalog

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


PACKAGES = [
    folder.parent
    for root in ("platform/segtune", "model/segcore")
    for folder in sorted((ROOT / root).rglob("__init__.py"))
    if folder.parent.name not in ("segtune", "segcore")
]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
def test_a_package_lists_its_files(package: Path) -> None:
    docstring = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
    listed = {line.split()[0] for line in docstring.splitlines() if line.strip()}
    files = {f.stem for f in package.glob("*.py")} - {"__init__"}
    folders = {f"{f.parent.name}/" for f in package.glob("*/__init__.py")}
    assert files | folders <= listed


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
