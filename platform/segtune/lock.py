"""One run of a study at a time: two would train the same trials into the same files."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = "running.lock"
HOLDER = "running.txt"


class AlreadyRunning(ValueError):
    """Another process runs this study now."""


@contextmanager
def only_run(storage: Path, study: str) -> Iterator[None]:
    """Hold a study for as long as this process runs it.

    The operating system lets go of it when the process ends, however it ends.

    Raises:
        AlreadyRunning: another process holds it; says which, and what to do.
    """
    folder = storage / study
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise AlreadyRunning(
            f"{study} is being run already ({_holder(folder)}). Watch that run, or give this one "
            f"another --name."
        ) from None
    try:
        since = datetime.now(UTC).isoformat(" ", "seconds")
        (folder / HOLDER).write_text(
            f"process {os.getpid()} on {socket.gethostname()} since {since}"
        )
        yield
    finally:
        (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


def _holder(folder: Path) -> str:
    try:
        return (folder / HOLDER).read_text()
    except FileNotFoundError:
        return "it has just begun"
