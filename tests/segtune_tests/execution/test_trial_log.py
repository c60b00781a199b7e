"""What a training prints is kept with its study, and shown."""

import os
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from segtune.cli import main
from segtune.execution.training import trial_log
from segtune.results import tables
from segtune.results.storage import Place


def row(storage: Path | Place, status: str) -> None:
    tables.write(storage, "mine", "trials", [
        {"trial_id": "a-s0", "attempt": 1, "status": status, "started": datetime.now(UTC)},
    ])  # fmt: skip


def printed(storage: Path | Place, text: str) -> None:
    with trial_log.kept_output(storage, "mine", "a-s0"):
        os.write(1, text.encode())


def test_what_a_training_and_its_children_print_is_kept(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def train() -> None:
        with trial_log.kept_output(tmp_path, "mine", "a-s0"):
            os.write(2, b"a warning\n")
            subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
            raise RuntimeError("the cause")

    with pytest.raises(RuntimeError, match="the cause"):
        train()
    os.write(1, b"not of the trial\n")
    printed(tmp_path, "second attempt\n")
    assert capfd.readouterr().out == "not of the trial\n"
    assert main(["logs", "mine", "a-s0", "--storage", str(tmp_path)]) == 0
    shown = capfd.readouterr().out
    parts = ["a warning", "from a child", "second attempt"]
    assert [shown.count(part) for part in parts] == [1, 1, 1]
    assert shown.count("--- ") == 2, "a line for each attempt"
    assert "not of the trial" not in shown


def test_a_log_is_followed_until_the_trial_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_log, "PAUSE", 0.01)
    row(tmp_path, "running")
    printed(tmp_path, "one\n")
    pieces = trial_log.follow(tmp_path, "mine", "a-s0")
    assert next(pieces).endswith("one\n")

    def go_on() -> None:
        printed(tmp_path, "two\n")
        row(tmp_path, "finished")

    later = threading.Timer(0.1, go_on)
    later.start()
    assert "".join(pieces).endswith("two\n")
    later.join()


def test_what_there_is_no_log_of_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def said(*words: str) -> str:
        assert main(["logs", *words, "--storage", str(tmp_path)]) == 2
        return capfd.readouterr().err

    assert "no trials of a study 'mine'" in said("mine", "a-s0")
    row(tmp_path, "finished")
    assert "no trial 'b-s0' yet; it has a-s0" in said("mine", "b-s0")
    assert "no log of a-s0 is kept" in said("mine", "a-s0", "--follow")


def test_an_object_store_has_the_log_when_the_attempt_ends(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGTUNE_CACHE", str(tmp_path / "this machine"))
    storage = Place.of(f"s3://{bucket}/logs")
    printed(storage, "far away\n")
    monkeypatch.setenv("SEGTUNE_CACHE", str(tmp_path / "another machine"))
    assert trial_log.read(storage, "mine", "a-s0").endswith("far away\n")
