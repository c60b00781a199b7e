"""What a shell gets that asks how a command line may go on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def answers(line: str, cwd: Path) -> list[str]:
    """As bash asks, after `register-python-argcomplete segtune`."""
    out = cwd / "answers"
    asked = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(out),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
    }
    command = [sys.executable, "-m", "segtune"]
    done = subprocess.run(command, env={**os.environ, **asked}, cwd=cwd, capture_output=True)
    assert done.returncode == 0, done.stderr
    return [word.strip() for word in out.read_text().split("\n")]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("segtune stat", ["status"]),
        ("segtune run demo --stor", ["--storage"]),
        ("segtune run demo", ["demo", "demo_search"]),
        ("segtune report mi", ["mine"]),
        ("segtune run my", ["my_own.yaml"]),
        ("segtune report mine --storage re", ["results/"]),
    ],
)
def test_what_may_follow(line: str, expected: list[str], tmp_path: Path) -> None:
    (tmp_path / "results" / "mine").mkdir(parents=True)
    (tmp_path / "results" / "mine" / "study.json").write_text("{}")
    (tmp_path / "my_own.yaml").touch()
    assert answers(line, tmp_path) == expected
