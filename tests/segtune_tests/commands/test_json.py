"""`--json`: the keys that `platform/README.md` promises, and nothing else on the output."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from support.report_tables import write_ablation

from segtune.cli import EXIT_CODES, main

README = (Path(__file__).parents[3] / "platform" / "README.md").read_text()
COMMANDS = {
    "list": ["list", "--json"],
    "show": [
        *("show", "demo", "--json"),
        *("--set", "data.train=8", "--set", "data.val=2", "--set", "data.test=2"),
    ],
    "status": ["status", "methods", "--json"],
    "report": ["report", "methods", "--json"],
    "doctor": ["doctor", "--json"],
}


def documented(command: str) -> list[str]:
    """The keys of a command's row in the table of the README."""
    (row,) = (line for line in README.splitlines() if line.startswith(f"| `{command} --json` |"))
    outside = re.sub(r"\([^)]*\)", "", row.split("|")[2])  # in brackets: what a key holds
    return re.findall(r"`([a-z_]+)`", outside)


def printed(capsys: pytest.CaptureFixture[str], command: str) -> Any:
    assert main(COMMANDS[command]) in (0, 2)
    told = capsys.readouterr()
    assert not told.err
    return json.loads(told.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.mark.parametrize("command", COMMANDS)
def test_the_keys_are_those_that_are_documented(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_ablation(tmp_path / "results")
    found = printed(capsys, command)
    if command == "report":
        found = found["methods"]
        assert documented(command) == ["study", "claim"]
        assert all(isinstance(claim, dict) for claim in found.values())
        assert any(name.startswith("scores of") for name in found), list(found)[:20]
        return
    assert documented(command) == list(found)


def test_exit_codes_are_documented() -> None:
    for code, meaning in EXIT_CODES.items():
        assert f"| {code} | {meaning} |" in README


def test_the_version_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert re.fullmatch(r"segtune \d+\.\d+\S*\n", capsys.readouterr().out)
