"""A study that is kept in an object store, held by a run. A store has no locks."""

import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from segtune.execution.lock.conditional import ConditionalFile, NotOffered
from segtune.execution.lock.holders import AlreadyRunning, died_here, processes, refusal, this_run
from segtune.results.storage import Place

RUNS = "running"
"""The folder, in the study's, of the object that a run rewrites at intervals."""
LEASE = "lease"
"""Its name where the store makes conditional writes; else each run has one of its own."""
RENEWED = 15.0
"""Seconds between two writes of that object."""
GONE = timedelta(seconds=60)
"""A run whose object is older, by the store's own clock, was killed."""
TRIES = 5
"""How often a run tries to take what another one has just given up."""


@contextmanager
def lease(folder: Place, study: str) -> Iterator[None]:
    """Hold a study in an object store: by one object that all runs contend for, or, in a store that
    makes no conditional writes, by one of each run.

    Args:
        folder: of these objects.
        study: its name.

    Raises:
        AlreadyRunning: another run holds it.
    """
    try:
        mine: _Claimed | _Announced = _Claimed(ConditionalFile(folder / LEASE), study)
    except NotOffered:
        mine = _Announced(folder)
    ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(mine, folder, ended), daemon=True)
    renewing.start()
    try:
        if others := _alive(folder, mine.place):
            raise AlreadyRunning(_refusal_elsewhere(study, others[0]))
        yield
    finally:
        ended.set()
        renewing.join()
        with suppress(OSError):  # if not removed, it is soon too old to count
            mine.release()


class _Claimed:
    """An object that is written only where no other run has it, so that of runs that start at once
    exactly one gets it (`If-None-Match` and `If-Match`, which S3 has)."""

    def __init__(self, file: ConditionalFile, study: str) -> None:
        """Take it.

        Raises:
            AlreadyRunning: another run has it.
            NotOffered: the store makes no conditional writes.
        """
        self.place, self._file = file.place, file
        self._name, self._writes = f"{processes()}+{os.getpid()}+{uuid.uuid4().hex}", 0
        for _ in range(TRIES):
            if self._file.create(self._content()):
                self._file.check_that_conditions_count(self._content())
                return
            found = self._file.look()
            if found is None:  # it has just been given up
                continue
            holder, _, name = found.content.decode().partition("\n")
            if name.startswith(self._name):  # our own write, whose answer was lost
                self._file.version = found.version
                return
            if not (found.age > GONE or died_here(name)):
                raise AlreadyRunning(_refusal_elsewhere(study, holder))
            if self._file.replace(self._content(), found.version):
                return
        raise AlreadyRunning(_refusal_elsewhere(study, "it has just begun"))

    def renew(self) -> str | None:
        """Write it again; returns who has it if it is not this run any more."""
        if self._file.replace(self._content(), self._file.version):
            return None
        found = self._file.look()
        if found is None:
            return None if self._file.create(self._content()) else self.renew()
        holder, _, name = found.content.decode().partition("\n")
        if not name.startswith(self._name):
            return holder
        self._file.version = found.version  # our own write, whose answer was lost
        return None

    def release(self) -> None:
        """Give it up, unless another run has it."""
        found = self._file.look()
        if found is not None and found.version == self._file.version:
            self.place.remove()

    def _content(self) -> bytes:
        """Another one for each write, as `ConditionalFile` asks."""
        self._writes += 1
        return f"{this_run()}\n{self._name}+{self._writes}".encode()


class _Announced:
    """An object of this run's own, which it writes before it looks for those of others. So of two
    that start at once at least one sees the other, and gives up; it may be both."""

    def __init__(self, folder: Place) -> None:
        """Write it."""
        self.place = folder / f"{processes()}+{os.getpid()}+{uuid.uuid4().hex}"
        self._content = this_run().encode()
        self.place.write(self._content)

    def renew(self) -> None:
        """Write it again."""
        self.place.write(self._content)

    def release(self) -> None:
        """Remove it."""
        self.place.remove()


def _renew(mine: _Claimed | _Announced, folder: Place, ended: threading.Event) -> None:
    written = time.time()  # unlike time.monotonic, it goes on while the machine sleeps
    while not ended.wait(RENEWED):
        with suppress(OSError):  # the network may come back
            other = mine.renew()
            silent, written = time.time() - written, time.time()
            if other is None and silent > GONE.total_seconds():
                other = next(iter(_alive(folder, mine.place)), None)
            if other is not None:
                print(f"segtune: {other} has taken the place of this run", file=sys.stderr)
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
        if now - written > GONE or died_here(other.name):
            other.remove()
        else:
            with suppress(FileNotFoundError):  # it has just ended
                found.append(other.read().decode().partition("\n")[0])
    return found


def _refusal_elsewhere(study: str, holder: str) -> str:
    return (
        f"{refusal(study, holder)} If that run was killed on another machine, wait "
        f"{GONE.seconds} seconds."
    )
