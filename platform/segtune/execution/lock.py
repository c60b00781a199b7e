"""One run of a study at a time: two would train the same trials into the same files."""

import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from filelock import FileLock, Timeout

from segtune.results.storage import Place, Storage

LOCK = "running.lock"
HOLDER = "running.txt"
RUNS = "running"
"""In an object store: the folder with a file of each run, written again and again."""
RENEWED = 15.0
"""Seconds between two times."""
GONE = timedelta(seconds=60)
"""A run whose file is older, by the store's own clock, was killed."""


class AlreadyRunning(ValueError):
    """Another process runs this study now."""


@contextmanager
def only_run(storage: Storage, study: str) -> Iterator[None]:
    """Hold a study for as long as this process runs it.

    On a file system the operating system lets go of it when the process ends, however it ends. An
    object store has no locks: there a run that was killed is known by its silence. One that was
    silent and lives, as after an hour's sleep, looks whether another has taken its place, and is
    interrupted.

    Raises:
        AlreadyRunning: another process holds it; says which, and what to do.
    """
    folder = Place.of(storage) / study
    held = _lease(folder / RUNS, study) if folder.local is None else _lock(folder.local, study)
    with held:
        yield


@contextmanager
def _lock(folder: Path, study: str) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise AlreadyRunning(_refusal(study, _holder(folder))) from None
    try:
        (folder / HOLDER).write_text(_this_run())
        yield
    finally:
        (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


@contextmanager
def _lease(folder: Place, study: str) -> Iterator[None]:
    """Each run writes before it looks, so that of two at least one sees the other and gives way."""
    mine = folder / f"{_processes()}+{os.getpid()}+{uuid.uuid4().hex}"
    said = _this_run().encode()
    mine.write(said)
    ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(mine, folder, said, ended), daemon=True)
    renewing.start()
    try:
        if others := _alive(folder, mine):
            raise AlreadyRunning(
                f"{_refusal(study, others[0])} If that run was killed on another machine, wait "
                f"{GONE.seconds} seconds."
            )
        yield
    finally:
        ended.set()
        renewing.join()
        with suppress(OSError):  # else it is known by its silence
            mine.remove()


def _renew(mine: Place, folder: Place, said: bytes, ended: threading.Event) -> None:
    written = time.time()  # goes on while the machine sleeps
    while not ended.wait(RENEWED):
        with suppress(OSError):  # a network that may come back
            mine.write(said)
            silent, written = time.time() - written, time.time()
            if silent > GONE.total_seconds() and (others := _alive(folder, mine)):
                print(f"segtune: {others[0]} has taken the place of this run", file=sys.stderr)
                os.kill(os.getpid(), signal.SIGINT)
                return


def _alive(folder: Place, mine: Place) -> list[str]:
    """What the other runs say of themselves, without those that were killed."""
    now = mine.modified()
    assert now is not None
    found = []
    for other in folder.files():
        written = other.modified()
        if other == mine or written is None:
            continue
        if now - written > GONE or _died_here(other.name):
            other.remove()
        else:
            with suppress(FileNotFoundError):  # it has just ended
                found.append(other.read().decode())
    return found


def _died_here(name: str) -> bool:
    processes, _, rest = name.partition("+")
    pid = rest.partition("+")[0]
    if processes != _processes() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


def _processes() -> str:
    """Names the set of processes that this one can see: those of its machine, or container, since
    it was started. Two containers may bear one name."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()}-{boot}-{Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # no Linux
        return f"{socket.gethostname()}-{uuid.uuid4().hex}"


def _this_run() -> str:
    since = datetime.now(UTC).isoformat(" ", "seconds")
    return f"process {os.getpid()} on {socket.gethostname()} since {since}"


def _refusal(study: str, holder: str) -> str:
    return (
        f"{study} is being run already ({holder}). Watch that run, or give this one another --name."
    )


def _holder(folder: Path) -> str:
    try:
        return (folder / HOLDER).read_text()
    except FileNotFoundError:
        return "it has just begun"
