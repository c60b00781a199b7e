"""What a trial's training printed, warnings and tracebacks included: `train/<trial>/log.txt`.

Every attempt adds to the file. Of a training of several workers it is what the first one printed.
In an object store the file appears when the attempt ends; until then it lies on the machine that
trains.
"""

import os
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from segtune.results import tables
from segtune.results.storage import Place, Storage, local_folder
from segtune.results.study_rows import recorded_trials

PAUSE = 0.5
"""Seconds between two looks at a log that is followed."""


@contextmanager
def kept_output(storage: Storage, study: str, trial_id: str) -> Iterator[None]:
    """Send what this process and those below it print to a trial's log, for a while."""
    file = local_file(storage, study, trial_id)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as log:
        print(f"--- {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC, process {os.getpid()}", file=log)
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND)
    streams = {1: sys.stdout, 2: sys.stderr}
    _flush(*streams.values())
    before = {number: os.dup(number) for number in streams}
    for number in streams:
        os.dup2(descriptor, number)
    os.close(descriptor)
    try:
        yield
    except Exception:
        traceback.print_exc()
        raise
    finally:
        _flush(*streams.values())
        for number, kept in before.items():
            os.dup2(kept, number)
            os.close(kept)
        place = place_of(storage, study, trial_id)
        if place.local is None:
            with suppress(OSError):  # the log is not worth a trial
                place.write(file.read_bytes())


def local_file(storage: Storage, study: str, trial_id: str) -> Path:
    """The log on the machine that trains, or on a file system that all machines share."""
    return local_folder(storage, study) / "train" / trial_id / "log.txt"


def place_of(storage: Storage, study: str, trial_id: str) -> Place:
    """The log where the study is kept."""
    return Place.of(storage) / study / "train" / trial_id / "log.txt"


def read(storage: Storage, study: str, trial_id: str) -> str:
    """A trial's log.

    Raises:
        ValueError: there is no such trial, or none of its output was kept; what to do.
    """
    file, place = local_file(storage, study, trial_id), place_of(storage, study, trial_id)
    if file.is_file():
        return file.read_text(errors="replace")
    if place.is_file():
        return place.read().decode(errors="replace")
    states = {row["trial_id"]: row["status"] for row in recorded_trials(storage, study)}
    if trial_id not in states:
        raise ValueError(f"{study} has no trial {trial_id!r} yet; it has {', '.join(states)}")
    there = " on this machine: in an object store it appears when the attempt ends"
    running = states[trial_id] == "running" and place.local is None
    raise ValueError(
        f"no log of {trial_id} is kept{there if running else ''}. Trials have one since segtune "
        "writes logs; an earlier one's output is in Ray's, while its session is there"
    )


def follow(storage: Storage, study: str, trial_id: str) -> Iterator[str]:
    """A trial's log, piece by piece, until the trial has ended.

    Raises:
        ValueError: as `read`.
    """
    shown = 0
    while True:
        rows = tables.read(storage, study, "trials", trial_id=trial_id).to_pylist()
        text = read(storage, study, trial_id)
        if len(text) > shown:
            yield text[shown:]
            shown = len(text)
        if not rows or rows[0]["status"] != "running":
            return
        time.sleep(PAUSE)


def _flush(*streams: TextIO | None) -> None:
    for stream in streams:
        if stream is not None:
            with suppress(OSError):
                stream.flush()
