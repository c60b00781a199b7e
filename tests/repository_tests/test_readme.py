"""Commands, links, map and study of the READMEs are real; each package lists its files."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from segtune.cli import main
from segtune.results import tables
from segtune.study import catalog

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
READMES = {
    str(file.relative_to(ROOT)): file.read_text()
    for file in [
        ROOT / "README.md",
        ROOT / "platform" / "README.md",
        ROOT / "model" / "README.md",
        ROOT / "model" / "srft_galore" / "README.md",
        ROOT / "tests" / "benchmarks" / "README.md",
        ROOT / "cluster" / "README.md",
    ]
}
COMMANDS = {c for text in READMES.values() for c in re.findall(r"bin/segtune (\w+)", text)}
PACKAGES = [
    folder.parent
    for root in ("platform/segtune", "model/segcore")
    for folder in sorted((ROOT / root).rglob("__init__.py"))
]


def links(text: str) -> list[str]:
    """Targets of a README's links and pictures within the repository."""
    return [t for t in re.findall(r"\]\(([^)\s]+)\)", text) if not t.startswith("http")]


def anchors(text: str) -> set[str]:
    """What can stand after `#` in a link to a file: its headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
def test_a_package_lists_its_files(package: Path) -> None:
    docstring = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
    listed = {line.split()[0] for line in docstring.splitlines() if line.strip()}
    files = {f.stem for f in package.glob("*.py")} - {"__init__"}
    folders = {f"{f.parent.name}/" for f in package.glob("*/__init__.py")}
    assert files | folders <= listed


def test_optimizers_own_readme_maps_its_files() -> None:
    folder = ROOT / "model" / "srft_galore"
    readme = READMES["model/srft_galore/README.md"]
    files = {f.name for f in folder.rglob("*.py")} - {"__init__.py"}
    assert files == set(re.findall(r"^\| `(\w+\.py)` \|", readme, re.MULTILINE))


def test_benchmarks_readme_maps_its_files() -> None:
    folder = ROOT / "tests" / "benchmarks"
    there = {f.name for f in folder.glob("*.py")}
    there |= {str(f.relative_to(folder)) for f in folder.glob("*/__init__.py")}
    there |= {f"results/{f.name}" for f in (folder / "results").glob("*.json")}
    assert there <= set(links(READMES["tests/benchmarks/README.md"]))


def test_the_map_has_a_row_for_each_package() -> None:
    """Packages inside of a system's, a report's and the like are listed where they lie, those of
    the optimizer in its own README."""
    table = README.partition("## Map")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| \[`([\w.]+)`\]\(([^)]+)\)", table, re.MULTILINE)
    assert len(rows) == len(set(rows))
    packages = {
        ".".join(file.parent.relative_to(ROOT / root).parts): file.parent
        for root in ("platform", "model")
        for depth in ("*", "*/*")
        for file in (ROOT / root).glob(f"{depth}/__init__.py")
        if file.parent.parent.name != "srft_galore"
    }
    packages["search_spaces"] = ROOT / "search_spaces"
    assert packages.keys() | {"tests", "cluster"} == {name for name, _ in rows}
    for name, link in rows:
        if name in packages:
            assert (ROOT / link).parent == packages[name]


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= 160


@pytest.mark.parametrize("name", READMES)
def test_pictures_and_links_are_there(name: str) -> None:
    folder = (ROOT / name).parent
    for link in links(READMES[name]):
        path, _, anchor = link.partition("#")
        target = (folder / path).resolve() if path else ROOT / name
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text()), link


def test_every_picture_is_shown() -> None:
    shown = {
        ((ROOT / name).parent / link).resolve()
        for name, text in READMES.items()
        for link in links(text)
    }
    assert set((ROOT / "platform" / "pictures").iterdir()) <= shown


@pytest.mark.parametrize("name", READMES)
def test_files_that_are_named_are_there(name: str) -> None:
    """Paths in backquotes, from the root or from the README's own folder or its packages."""
    folder = (ROOT / name).parent
    starts = [ROOT, folder, *(f.parent for f in folder.glob("*/__init__.py"))]
    for path in re.findall(r"`((?:[\w.-]+/)*[\w-]+\.py)`", READMES[name]):
        assert any((start / path).exists() for start in starts) or _somewhere(path), path


def _somewhere(path: str) -> bool:
    """Whether it is the bare name of a file of segcore or segtune, which its sentence places."""
    return "/" not in path and any(
        list((ROOT / root).rglob(path)) for root in ("platform", "model")
    )


@pytest.mark.parametrize("command", sorted(COMMANDS))
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


def test_tables_are_read_by_the_name_it_gives() -> None:
    from segtune.results import read

    assert read is tables.read
