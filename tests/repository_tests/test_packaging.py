"""pyproject.toml declares what the code imports, and constraints.txt holds versions alone."""

import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.imports import imports

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OPTIONAL = ("figures", "submit", "importance")
"""Extras of what few users need. The others are for those who work on segtune."""
OWN = {"segtune", "segcore", "srft_galore", "search_spaces", "support", "benchmarks"}


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
    """Distribution -> files of these folders that import it.

    A package of several distributions (`google`, say) would need a choice; there is none so far.
    """
    distributions = importlib.metadata.packages_distributions()
    found: dict[str, set[str]] = {}
    for root in roots:
        for file in sorted((ROOT / root).rglob("*.py")):
            for package in {name.partition(".")[0] for name in imports(file)}:
                if package not in sys.stdlib_module_names and package not in OWN:
                    (distribution,) = set(distributions.get(package, [package]))
                    found.setdefault(canonicalize_name(distribution), set()).add(str(file))
    return found


@pytest.mark.parametrize(
    ("roots", "extras"),
    [
        (("platform", "model", "search_spaces"), OPTIONAL),
        (("tests",), ("test",)),
    ],
)
def test_every_import_is_declared(roots: tuple[str, ...], extras: tuple[str, ...]) -> None:
    found, known = imported(roots), declared(*extras)
    assert {name: files for name, files in found.items() if name not in known} == {}


def test_every_dependency_is_imported() -> None:
    assert declared() - imported(("platform", "model", "search_spaces")).keys() == set()


def test_tests_have_what_few_users_need() -> None:
    assert declared(*OPTIONAL) <= declared("test")


def test_constraints_are_names_and_versions() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    pinned = {canonicalize_name(line.partition("==")[0]) for line in lines}
    assert declared("test", "lint") - pinned == set()
