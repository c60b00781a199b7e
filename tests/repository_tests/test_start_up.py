"""The command line answers at once: what a command does not need is not imported."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from segtune.cli import COMMANDS

HEAVY = {
    "matplotlib",
    "numpy",
    "optuna",
    "pandas",
    "plotly",
    "pyarrow",
    "ray",
    "scipy",
    "sklearn",
    "statsmodels",
    "torch",
    "transformers",
}
"""Packages that take a tenth of a second or more to import."""


def loaded_by_command(*words: str) -> set[str]:
    """Every module that a fresh process has loaded when `segtune <words>` has ended."""
    code = (
        "import json, sys\n"
        "from segtune.cli import main\n"
        "try:\n"
        "    code = main(sys.argv[1:])\n"
        "except SystemExit as ended:\n"
        "    code = ended.code\n"
        "print('\\n' + json.dumps(sorted(sys.modules)))\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help_imports_no_library(words: list[str]) -> None:
    loaded = loaded_by_command(*words)
    assert not loaded & {*HEAVY, "pydantic", "segcore"}


def test_list_imports_no_library_and_no_study() -> None:
    loaded = loaded_by_command("list")
    assert not loaded & {*HEAVY, "pydantic.dataclasses"}
    assert not [m for m in loaded if m.startswith("search_spaces.")]
