"""Two people who run one study at the same time."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from filelock import FileLock

from segtune.cli import main
from segtune.execution.lock import AlreadyRunning, only_run
from segtune.execution.lock.one_run import HOLDER, LOCK

HOLD = textwrap.dedent("""
    import sys, time
    from pathlib import Path
    from segtune.execution.lock import only_run
    with only_run(Path(sys.argv[1]), "demo"):
        print("held", flush=True)
        time.sleep(60)
""")


def test_a_second_run_is_refused_and_the_first_may_end(tmp_path: Path) -> None:
    with (
        only_run(tmp_path, "demo"),
        pytest.raises(AlreadyRunning, match=rf"demo.*process {os.getpid()} on .*--name"),
        only_run(tmp_path, "demo"),
    ):
        pass
    with only_run(tmp_path, "demo"), only_run(tmp_path, "other"):
        pass


def test_a_killed_run_holds_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert main(["run", "demo", "--storage", str(tmp_path)]) == 2
        assert f"process {process.pid}" in capsys.readouterr().err
        assert not (tmp_path / "demo" / "study.json").exists()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    with only_run(tmp_path, "demo"):
        pass


def test_a_killed_run_is_not_named_as_the_holder(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    process.kill()
    process.wait()
    left = (tmp_path / "demo" / HOLDER).read_text()
    assert f"process {process.pid}" in left
    with (
        FileLock(tmp_path / "demo" / LOCK),  # the next run, before it has written its name
        pytest.raises(AlreadyRunning, match="it has just begun"),
        only_run(tmp_path, "demo"),
    ):
        pass
