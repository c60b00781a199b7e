"""pyproject.toml declares what the code imports, and constraints.txt holds versions alone."""

import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.imports import imports

from segtune.extras import OFFERED, extra_of

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SOURCES = ("platform/segtune", "model/segcore", "search_spaces")
EXAMPLES = ("model/srft_galore/examples",)
SITE = ("platform/docs",)
OWN = {"segtune", "segcore", "search_spaces", "support", "benchmarks"}
OPTIMIZER = "srft-galore"
"""A distribution of its own, made of this tree."""


def declared(*extras: str) -> set[str]:
    """Normalised names of the distributions that are installed with some extras of segtune."""
    found = set()
    for requirement in requirements(*extras):
        if requirement.name == "segtune":
            found |= declared(*requirement.extras)
        else:
            found.add(canonicalize_name(requirement.name))
    return found


def requirements(*extras: str) -> Iterator[Requirement]:
    yield from map(Requirement, PROJECT["dependencies"])
    for extra in extras:
        yield from map(Requirement, PROJECT["optional-dependencies"][extra])


def imported(roots: Iterable[str]) -> dict[str, set[str]]:
    """Top-level module -> files of these folders that import it."""
    found: dict[str, set[str]] = {}
    for root in roots:
        for file in sorted((ROOT / root).rglob("*.py")):
            for module in {name.partition(".")[0] for name in imports(file)}:
                if module not in sys.stdlib_module_names and module not in OWN:
                    found.setdefault(module, set()).add(str(file))
    return found


def brings() -> Callable[[str], str]:
    """Module -> normalised name of the distribution that brings it.

    A module of several distributions (`google`, say) would need a choice; there is none so far.
    """
    distributions = importlib.metadata.packages_distributions()

    def distribution(module: str) -> str:
        (name,) = set(distributions.get(module, [module]))
        return canonicalize_name(name)

    return distribution


@pytest.mark.parametrize(
    ("roots", "extras"),
    [
        (SOURCES, OFFERED),
        (SITE, ("docs",)),
        (EXAMPLES, ("test",)),
        (("tests",), ("test",)),
    ],
)
def test_every_import_is_declared(roots: tuple[str, ...], extras: tuple[str, ...]) -> None:
    distribution, known = brings(), declared(*extras)
    found = {m: files for m, files in imported(roots).items() if distribution(m) not in known}
    assert found == {}


def test_every_dependency_is_imported() -> None:
    """Those that everybody installs, by the platform: they are there for no training's sake."""
    distribution = brings()
    assert declared() - {*map(distribution, imported(("platform/segtune",)))} == set()
    by_torch = {"nvidia-ml-py"}  # `torch.cuda.utilization` asks it
    assert declared("train") - {*map(distribution, imported(SOURCES))} - by_torch == set()


def test_the_extra_of_every_import_is_known() -> None:
    """By it a failed import is explained: what has other names as a module stands in a table."""
    distribution = brings()
    for module in imported(SOURCES):
        extras = [e for e in OFFERED if distribution(module) in declared(e)]
        expected = None if distribution(module) in declared() else extras[0]
        assert extra_of(module) == expected, module


def test_tests_have_what_few_users_need() -> None:
    assert declared(*OFFERED) <= declared("test")


def test_constraints_are_names_and_versions() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    pinned = {canonicalize_name(line.partition("==")[0]) for line in lines}
    assert declared("test", "lint", "docs") - pinned == {OPTIMIZER}, "the tree has its version"


def test_the_optimizer_is_a_distribution_of_its_own() -> None:
    """With its own version, which segtune takes, and the same licence; it needs torch alone."""
    folder = ROOT / "model" / "srft_galore"
    settings = tomllib.loads((folder / "pyproject.toml").read_text())
    project = settings["project"]
    assert [Requirement(r).name for r in project["dependencies"]] == ["torch"]
    (wanted,) = [r for r in requirements("train") if canonicalize_name(r.name) == OPTIMIZER]
    assert project["version"] in wanted.specifier
    assert (folder / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    (packages,) = re.findall(r"^packages = (.*)$", (ROOT / "pyproject.toml").read_text(), re.M)
    assert "srft_galore" not in packages


def test_no_index_is_asked_for_the_optimizer() -> None:
    """Wherever segtune is installed from the tree with what trains, so is the optimizer."""
    found = []
    for name in ("Makefile", "README.md", "platform/README.md"):
        text = (ROOT / name).read_text().replace("\\\n", " ")
        found += re.findall(r"pip install [^`\n]*'\.\[[^`\n]*", text)
    assert len(found) == 4
    assert [command for command in found if "./model/srft_galore" not in command] == []
