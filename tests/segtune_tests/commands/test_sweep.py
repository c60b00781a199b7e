"""Hundreds of generated wrong uses of the command line: each gets one message and exit code 2, or
does what was asked; none a traceback, a silent success or a changed table."""

import hashlib
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.report_tables import write_ablation
from support.sweep_cases import Case, cases

from segtune.cli import main
from segtune.execution import ray_cluster

CASES = cases()
REACHED = "all was in order, and Ray would start"
SECONDS = 60
"""More than any case takes: one that goes on for ever."""


@contextmanager
def no_ray(*_: Any) -> Iterator[None]:
    """In the place of a cluster."""
    raise ValueError(REACHED)
    yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of a study of four arms."""
    storage = tmp_path_factory.mktemp("finished") / "results"
    write_ablation(storage)
    return storage


@pytest.fixture
def prepared(
    request: pytest.FixtureRequest,
    finished: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Case:
    """The case, its files in the working folder."""
    case = CASES[request.param]()
    folder = tmp_path_factory.mktemp("sweep")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray_cluster, "cluster", no_ray)
    for name, content in case.files.items():
        Path(name).write_bytes(content)
    if case.spoil is not None:
        shutil.copytree(finished, "results")
        case.spoil(Path("results"))
    return case


def tables_in(folder: Path) -> dict[str, str]:
    """Every file of results, by the hash of what it holds."""
    found = (*folder.rglob("tables/**/*"), *folder.rglob("study.json"))
    files = (f for f in found if f.is_file())
    return {str(f): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def too_long(*_: Any) -> None:
    raise AssertionError(f"no end after {SECONDS} s")


@pytest.mark.slow
@pytest.mark.parametrize("prepared", CASES, indirect=True)
def test_one_message_and_nothing_changed(
    prepared: Case, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tables_in(Path())
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS)
    try:
        code = main(prepared.command)
    except SystemExit as ended:  # argparse's own refusal
        code = ended.code  # type: ignore[assignment]
        assert code == 2
    finally:
        signal.alarm(0)
    told = capsys.readouterr()
    assert code in (0, 2), told.err
    assert "Traceback" not in told.out + told.err
    assert "pydantic" not in told.err
    if code == 2:
        assert told.err.count("segtune: ") + told.err.count("usage: ") == 1, told.err
        assert told.err.startswith(("segtune: ", "usage: ")), told.err
        assert len(told.err.split("segtune: ", 1)[-1].strip()) > 10, told.err
    else:
        assert not told.err
    if prepared.command[0] != "run" or REACHED not in told.err:
        assert tables_in(Path()) == before


def test_there_are_hundreds_and_each_is_the_same_again() -> None:
    assert len(CASES) >= 400
    again = cases()
    assert all(CASES[name]().command == again[name]().command for name in list(CASES)[::7])
