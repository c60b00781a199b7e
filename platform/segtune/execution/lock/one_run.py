"""Hold a study for as long as this process runs it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from segtune.execution.lock.holders import AlreadyRunning, died_here, processes, refusal, this_run
from segtune.results.storage import Place, Storage

LOCK = "running.lock"
HOLDER = "running.txt"
LOOKS, BETWEEN_LOOKS = 5, 0.1
"""How often, and with how many seconds between, one that is refused looks for who holds a study."""


@contextmanager
def only_run(storage: Storage, study: str) -> Iterator[None]:
    """Hold a study for as long as this process runs it.

    On a file system the operating system releases the lock when the process ends, however it ends.
    An object store has no locks: there a run whose object is too old counts as killed. A run that
    was only suspended, as a sleeping laptop is, looks for another run when it wakes up, and
    interrupts itself if there is one.

    Raises:
        AlreadyRunning: another process runs it; the message names it and says what to do.
    """
    folder = Place.of(storage) / study
    if folder.local is not None:
        with _lock(folder.local, study):
            yield
        return
    # Brings boto3: half a second, for runs on object stores alone.
    from segtune.execution.lock.lease import RUNS, lease

    with lease(folder / RUNS, study):
        yield


@contextmanager
def _lock(folder: Path, study: str) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise AlreadyRunning(refusal(study, _holder(folder))) from None
    try:
        (Place.of(folder) / HOLDER).write(f"{this_run()}\n{processes()}+{os.getpid()}".encode())
        yield
    finally:
        (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


def _holder(folder: Path) -> str:
    """Who holds a study: not who held it before, and was killed before it could say that it ended.

    A run holds the lock for a moment before its name is written.
    """
    for _ in range(LOOKS):
        with suppress(FileNotFoundError):
            holder, _, process = (folder / HOLDER).read_text().partition("\n")
            if not died_here(process):
                return holder
        time.sleep(BETWEEN_LOOKS)
    return "it has just begun"
