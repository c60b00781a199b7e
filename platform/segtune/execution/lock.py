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
"""In an object store: the folder in which each run rewrites a file of its own at intervals."""
RENEWED = 15.0
"""Seconds between two writes of that file."""
GONE = timedelta(seconds=60)
"""A run whose file is older, by the store's own clock, was killed."""

LOOKS, BETWEEN_LOOKS = 5, 0.1
"""How often, and with how many seconds between, one that is refused looks for who holds a study."""


class AlreadyRunning(ValueError):
    """Another process runs this study now."""


@contextmanager
def only_run(storage: Storage, study: str) -> Iterator[None]:
    """Hold a study for as long as this process runs it.

    On a file system the operating system releases the lock when the process ends, however it ends.
    An object store has no locks: there a run whose file is too old counts as killed. A run that
    was only suspended, as a sleeping laptop is, looks for another run when it wakes up, and
    interrupts itself if there is one.

    Raises:
        AlreadyRunning: another process runs it; the message names it and says what to do.
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
        (Place.of(folder) / HOLDER).write(f"{_this_run()}\n{_processes()}+{os.getpid()}".encode())
        yield
    finally:
        (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


@contextmanager
def _lease(folder: Place, study: str) -> Iterator[None]:
    """Hold a study in an object store.

    A run writes its file before it looks for others. So of two that start at once at least one
    sees the other, and gives up; it may be both. That exactly one wins takes a write that fails
    where the object is there (`If-None-Match: *`), which S3 has and pyarrow's file system does not.
    """
    mine = folder / f"{_processes()}+{os.getpid()}+{uuid.uuid4().hex}"
    content = _this_run().encode()
    mine.write(content)
    ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(mine, folder, content, ended), daemon=True)
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
        with suppress(OSError):  # if not removed, it is soon too old to count
            mine.remove()


def _renew(mine: Place, folder: Place, content: bytes, ended: threading.Event) -> None:
    written = time.time()  # unlike time.monotonic, it goes on while the machine sleeps
    while not ended.wait(RENEWED):
        with suppress(OSError):  # the network may come back
            mine.write(content)
            silent, written = time.time() - written, time.time()
            if silent > GONE.total_seconds() and (others := _alive(folder, mine)):
                print(f"segtune: {others[0]} has taken the place of this run", file=sys.stderr)
                # A script that starts a program in the background has it ignore the first.
                ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
                os.kill(os.getpid(), signal.SIGTERM if ignored else signal.SIGINT)
                return


def _alive(folder: Place, mine: Place) -> list[str]:
    """Descriptions of the other runs that are alive; the files of killed ones are removed."""
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
    """Identifies the machine or container, and its start, within which process ids are comparable.

    The name of the host is not enough: two containers may share one.
    """
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
    """Who holds a study: not who held it before, and was killed before it could say that it ended.

    A run holds the lock for a moment before its name is written.
    """
    for _ in range(LOOKS):
        with suppress(FileNotFoundError):
            holder, _, process = (folder / HOLDER).read_text().partition("\n")
            if not _died_here(process):
                return holder
        time.sleep(BETWEEN_LOOKS)
    return "it has just begun"
