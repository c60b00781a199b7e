"""Where a study stands, told from tables that its own writers wrote."""

import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from support.score_kinds import KINDS

from segtune.cli import main
from segtune.commands.status import duration, status_screen
from segtune.results import study_file, tables
from segtune.results.status.study import StudyStatus, read_status
from segtune.results.status.trials import SILENT_EPOCHS, TrialStatus

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
ARMS = {"frozen": {}, "lora": {"method": "lora", "schedule.epochs": 20}}
DEFINITION = {
    "scores": {name: KINDS[name] for name in ("dice", "assd")},
    "kind": "ablation",
    "question": "Is it worth it?",
    "baseline": {"method": "frozen", "schedule.epochs": 10},
    "baseline_arm": "frozen",
    "arms": ARMS,
    "seeds": [0, 1],
    "tune": {},
}


def begin(storage: Path, **changes: Any) -> None:
    study_file.write(storage, "mine", DEFINITION | changes)


def train(
    storage: Path,
    trial_id: str,
    done: range,
    *,
    pace: float = 60.0,
    quiet: timedelta = timedelta(0),
    dice: dict[int, float] | None = None,
    **row: Any,
) -> None:
    """Tables of one attempt that finished `done`, the last of them `quiet` ago."""
    row = {"attempt": 1, "status": "running", "epochs": 10, **row}
    key = {"trial_id": trial_id, "attempt": row["attempt"]}
    written = NOW - quiet
    started = written - timedelta(seconds=pace * max(1, len(done)))
    scores = [
        {"epoch": e, "split": "val", "resolution": "128x128", "class_name": "macro",
         "metric": metric, **KINDS[metric],
         "protocol": protocol, "value": (dice or {}).get(e, 0.5 + e / 100) * scale}
        for e in done
        for metric, protocol, scale in (("dice", "per_image", 1), ("assd", "per_class_px", 10),
                                        ("dice", "stacked", 0.1))
    ]  # fmt: skip
    steps = [{"epoch": e, "step": 2 * e + i, "peak_memory_bytes": 10**9 + e}
             for e in done for i in (0, 1)]  # fmt: skip
    if done:
        tables.write(storage, "mine", "scores", [key | s for s in scores])
        tables.write(storage, "mine", "steps", [key | s for s in steps])
    ended = None if row["status"] == "running" else written
    trial = {"arm": trial_id.rpartition("-")[0], "started": started, "ended": ended, **row}
    file = tables.write(storage, "mine", "trials", [key | trial])
    os.utime(file.path, (written.timestamp(), written.timestamp()))


def seen(storage: Path) -> dict[str, TrialStatus]:
    return {t.trial_id: t for t in read_status(storage, "mine", NOW).trials}


def test_a_running_trial_at_its_best_epoch_and_its_own_pace(tmp_path: Path) -> None:
    begin(tmp_path)
    train(tmp_path, "frozen-s0", range(1, 5), pace=30, dice={2: 0.9})
    trial = seen(tmp_path)["frozen-s0"]
    assert (trial.state, trial.epoch, trial.epochs, trial.best_epoch) == ("running", 4, 10, 2)
    assert trial.scores == {"dice": 0.9, "assd": 9.0}
    assert (trial.epoch_seconds, trial.seconds_left) == (30, 180)
    assert trial.memory_bytes == 10**9 + 4


def test_what_a_trial_uses_of_its_machine(tmp_path: Path) -> None:
    begin(tmp_path)
    train(tmp_path, "frozen-s0", range(1, 3))
    assert seen(tmp_path)["frozen-s0"].cpus_used is None
    assert "CPUs" not in shown(read_status(tmp_path, "mine", NOW), 120)
    machine = {"cpus_used": 1.74, "gpu_utilisation": 0.83, "gpu_memory_bytes": 12_300_000_000}
    for trial_id, used in (("frozen-s1", {"cpus_used": 0.5}), ("lora-s0", machine)):
        train(tmp_path, trial_id, range(1, 3))
        steps = tables.read(tmp_path, "mine", "steps", trial_id=trial_id).to_pylist()
        tables.write(tmp_path, "mine", "steps", [row | used for row in steps])
    trial = seen(tmp_path)["lora-s0"]
    assert {name: getattr(trial, name) for name in machine} == machine
    assert isinstance(trial.gpu_memory_bytes, int)
    text = shown(read_status(tmp_path, "mine", NOW), 120)
    rows = {words[0]: words for words in map(str.split, text.splitlines()) if words}
    assert " ".join(rows["trial"]).endswith("memory CPUs GPU GPU mem try")
    assert " ".join(rows["lora-s0"]).endswith("1.0 GB 1.7 83 % 12.3 GB 1")
    assert " ".join(rows["frozen-s1"]).endswith("1.0 GB 0.5 - - 1")


def test_the_whole_definition_is_counted(tmp_path: Path) -> None:
    begin(tmp_path, tune={"lora": {"optim.lr": [1, 2, 3]}})
    train(tmp_path, "frozen-s0", range(1, 11), status="finished")
    train(tmp_path, "frozen-s1", range(1, 3), status="failed", error="RuntimeError: no")
    train(tmp_path, "lora-t0", range(1, 2))
    study = read_status(tmp_path, "mine", NOW)
    assert study.total == 4 + 3
    assert study.counts == {"running": 1, "failed": 1, "finished": 1}
    assert study.waiting == 4
    assert [t.state for t in study.trials] == ["running", "failed", "finished"]


def test_looks_to_come_are_told(tmp_path: Path) -> None:
    looks = {"at_least": 1, "looks": [1, 3]}
    begin(tmp_path, seeds=[0, 1, 2], sequential=looks)
    told = "looked at after 1, 3 seeds: trials that a look to come may add are not counted"
    assert told in shown(read_status(tmp_path, "mine", NOW), 120)
    begin(tmp_path)
    assert told not in shown(read_status(tmp_path, "mine", NOW), 120)


def test_nothing_has_begun(tmp_path: Path) -> None:
    begin(tmp_path)
    study = read_status(tmp_path, "mine", NOW)
    assert (study.total, study.waiting, study.time_left, study.trials) == (4, 4, None, ())


@pytest.mark.parametrize(
    ("pace", "quiet", "state"),
    [
        (600, timedelta(seconds=600 * SILENT_EPOCHS - 1), "running"),
        (600, timedelta(seconds=600 * SILENT_EPOCHS + 1), "silent"),
        (1, timedelta(seconds=119), "running"),  # quick epochs: a new worker takes longer
        (1, timedelta(seconds=121), "silent"),
    ],
)
def test_silent_by_the_trials_own_epochs(
    tmp_path: Path, pace: float, quiet: timedelta, state: str
) -> None:
    begin(tmp_path)
    train(tmp_path, "frozen-s0", range(1, 3), pace=pace, quiet=quiet)
    trial = seen(tmp_path)["frozen-s0"]
    assert trial.state == state
    assert trial.written == NOW - quiet


def test_rows_that_come_with_seldom_evaluations_are_waited_for(tmp_path: Path) -> None:
    begin(tmp_path)
    config = json.dumps({"evaluation": {"every": 10}})
    quiet = timedelta(minutes=40)
    train(tmp_path, "frozen-s0", range(1, 11), quiet=quiet, config=config, epochs=100)
    train(tmp_path, "frozen-s1", range(1, 11), quiet=quiet, epochs=100)
    assert {name: t.state for name, t in seen(tmp_path).items()} == {
        "frozen-s0": "running",
        "frozen-s1": "silent",
    }


def test_silent_before_the_first_epoch_goes_by_the_others_or_a_fixed_time(tmp_path: Path) -> None:
    begin(tmp_path)
    train(tmp_path, "frozen-s0", range(0), quiet=timedelta(minutes=14), epochs=None)
    assert seen(tmp_path)["frozen-s0"].state == "running"
    train(tmp_path, "lora-s0", range(1, 2), pace=10)
    assert seen(tmp_path)["frozen-s0"].state == "silent"


def test_a_resumed_trial_counts_all_epochs_and_paces_by_the_new_attempt(tmp_path: Path) -> None:
    begin(tmp_path)
    train(tmp_path, "frozen-s0", range(1, 6), pace=100, quiet=timedelta(hours=3), dice={3: 0.8})
    train(tmp_path, "frozen-s0", range(0), attempt=2, epochs=None)
    again = seen(tmp_path)["frozen-s0"]
    assert (again.attempt, again.epoch, again.epoch_seconds) == (2, 5, None)
    train(tmp_path, "frozen-s0", range(6, 8), attempt=2, pace=20)
    trial = seen(tmp_path)["frozen-s0"]
    assert (trial.epoch, trial.best_epoch, trial.scores["dice"]) == (7, 3, 0.8)
    assert (trial.epoch_seconds, trial.seconds_left) == (20, 60)


def test_time_left_takes_the_pace_of_the_arm_for_what_has_not_begun(tmp_path: Path) -> None:
    begin(tmp_path)
    train(tmp_path, "frozen-s0", range(1, 6), pace=10)  # 50 s left
    train(tmp_path, "lora-s0", range(1, 11), pace=100, epochs=20)  # 1000 s left
    left = read_status(tmp_path, "mine", NOW).time_left
    assert left is not None
    # frozen-s1: 10 epochs of 10 s; lora-s1: 20 of 100 s, which nothing can shorten.
    assert (left.seconds, left.concurrent, left.guessed) == (2000, 2, 2)
    train(tmp_path, "lora-s0", range(1, 21), pace=100, epochs=20, status="finished")
    left = read_status(tmp_path, "mine", NOW).time_left
    assert left is not None
    assert (left.seconds, left.concurrent) == (50 + 100 + 2000, 1)


@pytest.mark.parametrize(
    ("changes", "at_most"),
    [
        ({}, False),
        ({"baseline": {"schedule.epochs": 10, "evaluation.patience": None}}, False),
        ({"baseline": {"schedule.epochs": 10, "evaluation.patience": 3}}, True),
        ({"arms": ARMS | {"patient": {"evaluation.patience": 3}}}, True),
        ({"tune": {"lora": {"evaluation.patience": [2, 3]}}}, True),
        ({"scheduler": {"name": "asha", "grace_period": 1}}, True),
    ],
)
def test_time_left_is_the_most_there_is_where_trials_may_end_early(
    tmp_path: Path, changes: dict[str, Any], *, at_most: bool
) -> None:
    begin(tmp_path, **changes)
    train(tmp_path, "frozen-s0", range(1, 6), pace=10)
    study = read_status(tmp_path, "mine", NOW)
    assert study.time_left is not None
    assert study.time_left.at_most is at_most
    assert ("at most about" in shown(study, 200)) is at_most


def test_a_search_waits_for_its_samples(tmp_path: Path) -> None:
    begin(tmp_path, kind="search", num_samples=5)
    train(tmp_path, "t0", range(1, 11), status="finished", arm=None, number=0)
    train(tmp_path, "t1", range(1, 3), arm=None, number=1, pace=60)
    study = read_status(tmp_path, "mine", NOW)
    assert (study.total, study.waiting) == (5, 3)
    assert study.time_left is not None
    assert study.time_left.seconds == 8 * 60 + 3 * 10 * 60


def test_finalists_that_others_have_overtaken_are_waited_for_no_more(tmp_path: Path) -> None:
    begin(
        tmp_path, kind="search", num_samples=1, finalists=1, finalist_seeds=[100, 101], chosen=[4]
    )
    train(tmp_path, "t0", range(1, 11), status="finished", arm=None, number=0)
    for trial in ("t2-s100", "t2-s101", "t4-s100"):
        train(tmp_path, trial, range(1, 11), status="finished", number=int(trial[1]))
    assert read_status(tmp_path, "mine", NOW).waiting == 1


def test_no_epoch_yet_takes_the_number_of_epochs_from_the_configuration(tmp_path: Path) -> None:
    begin(tmp_path)
    config = json.dumps({"schedule": {"epochs": 7}})
    train(tmp_path, "lora-s0", range(0), epochs=None, config=config)
    trial = seen(tmp_path)["lora-s0"]
    assert (trial.epoch, trial.epochs, trial.scores, trial.seconds_left) == (0, 7, {}, None)


def test_it_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    begin(tmp_path)
    train(tmp_path, "frozen-s0", range(1, 2))
    stop, faults = threading.Event(), []

    def rewrite() -> None:
        n = 2
        while not stop.is_set():
            train(tmp_path, "frozen-s0", range(1, n % 9 + 2))
            n += 1

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        for _ in range(30):
            trial = seen(tmp_path)["frozen-s0"]
            if trial.state != "running" or not 1 <= trial.epoch <= 10:
                faults.append(trial)
    finally:
        stop.set()
        writer.join()
    assert not faults


def test_an_unknown_study_names_those_that_are_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(tmp_path)
    assert main(["status", "other", "--storage", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert "no study 'other'" in message
    assert "studies there: mine" in message
    assert main(["status", "other", "--storage", str(tmp_path / "nowhere")]) == 2
    assert "studies there: none" in capsys.readouterr().err


ERROR = "Traceback (most recent call last):\n  File [a]\nValueError: loss is not a number"


def shown(study: StudyStatus, width: int, height: int | None = None) -> str:
    text = io.StringIO()
    Console(file=text, width=width, height=height).print(status_screen(study, width, height))
    return text.getvalue()


def some(storage: Path) -> StudyStatus:
    begin(storage)
    train(storage, "frozen-s0", range(1, 11), status="finished")
    train(storage, "frozen-s1", range(1, 5), status="failed", error=ERROR)
    train(storage, "lora-s0", range(1, 3), quiet=timedelta(hours=1), epochs=20)
    return read_status(storage, "mine", NOW)


@pytest.mark.parametrize("width", [80, 140])
def test_the_screen_says_it_all(tmp_path: Path, width: int) -> None:
    text = shown(some(tmp_path), width)
    assert "mine: 4 trials, 1 silent, 1 failed, 1 finished, 1 not yet begun" in text
    assert "silent since" in " ".join(text.split())
    assert "the command that ran the study" in " ".join(text.split())
    for line in ERROR.splitlines():
        assert line in text
    (row,) = (line for line in text.splitlines() if line.startswith("lora-s0"))
    for value in ("lora-s0", "silent since", "2/20", "0.520", "5.20", "60.0", "18 min", "1.0 GB"):
        assert value in row
    # Shortened in the table too, where there is room.
    assert text.count("ValueError: loss is not a number") == (1 if width == 80 else 2)
    assert max(map(len, text.splitlines())) <= width


def test_a_long_error_takes_no_room_from_the_rest(tmp_path: Path) -> None:
    begin(tmp_path)
    error = "OutOfMemoryError: CUDA out of memory " + "and more " * 30
    train(tmp_path, "frozen-s0", range(1, 5), status="failed", error=f"{error}\n  and so on")
    lines = shown(read_status(tmp_path, "mine", NOW), 120).splitlines()
    table_line = next(line for line in lines if line.startswith("frozen-s0 "))
    assert re.match(r"frozen-s0 +failed +4/10 +0.540 +5.40 +4 +60.0 +- +1.0 GB +1 ", table_line)
    assert "OutOfMemoryError: CUDA out of" in table_line


def test_a_low_screen_counts_what_does_not_fit(tmp_path: Path) -> None:
    begin(tmp_path, seeds=list(range(40)))
    for seed in range(40):
        train(tmp_path, f"frozen-s{seed}", range(1, 3))
    study = read_status(tmp_path, "mine", NOW)
    text = shown(study, 80, 24)
    assert len(text.splitlines()) <= 24
    hidden = int(text.rpartition("and ")[2].split()[0])
    assert hidden + text.count("running") - 1 == 40


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (99.4, "99 s"), (100, "2 min"), (5999, "1 h 40"), (200_000, "2 d 8 h")],
)
def test_durations_as_a_person_says_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_watch_needs_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begin(tmp_path)
    assert main(["status", "mine", "--storage", str(tmp_path), "--watch"]) == 2
    assert "--watch redraws a terminal" in capsys.readouterr().err


def test_watch_ends_with_ctrl_c_and_no_traceback(tmp_path: Path) -> None:
    some(tmp_path)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "segtune", "status", "mine", "--storage", str(tmp_path)]
    watching = subprocess.Popen(
        [*command, "--watch"], stdin=theirs, stdout=theirs, stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"},
    )  # fmt: skip
    os.close(theirs)
    text, deadline, asked = b"", time.monotonic() + 120, False
    while time.monotonic() < deadline:
        if select.select([ours], [], [], 1)[0]:
            try:
                text += os.read(ours, 65536)
            except OSError:  # the other side is closed
                break
        if not asked and b"frozen-s1" in text:
            watching.send_signal(signal.SIGINT)
            asked = True
    assert watching.wait(30) == 130
    os.close(ours)
    assert b"silent since" in text
    assert b"most recent call last" not in text.replace(ERROR.splitlines()[0].encode(), b"")
