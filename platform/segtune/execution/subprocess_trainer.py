"""A training in a process of its own, forked from one that has imported everything.

It starts in a fraction of a second, shares no memory with the training before it, and takes nothing
down with it when it dies: who started it reads why, and starts it again from its checkpoint.
"""

import multiprocessing
import os
import threading
from contextlib import suppress
from multiprocessing.connection import Connection

from segcore.training.runtime import Runtime, local_runtime
from segtune.execution.recorder import Metrics
from segtune.execution.worker import Job, in_words, work
from segtune.results.tables import next_attempt
from segtune.results.trial_rows import record_failure

RETRIES = 1
"""How often a training goes on from its checkpoint after its process died. What the training itself
raises would only be raised again: it ends the trial."""
ENDING = 10.0
"""Seconds that a training has to end by itself once it has told all."""
_FORKSERVER = multiprocessing.get_context("forkserver")
_FORKSERVER.set_forkserver_preload(["ray", "segcore.presets", "segtune.execution.worker"])


class ProcessDied(RuntimeError):
    """A training's process ended without a word."""


class TrainingProcess:
    """A trial's training, an evaluation at a time."""

    def __init__(self, job: Job) -> None:
        """Start it."""
        self._job, self._deaths = job, 0
        self._start()

    @property
    def pid(self) -> int | None:
        """Of the process that trains now."""
        return self._process.pid

    def next(self) -> Metrics:
        """What its next evaluation told; until it is asked again it waits.

        Returns:
            What `Recorder.add` returns, or `error`: why the trial failed, as the tables say too.
        """
        try:
            metrics = self._receive()
        except ProcessDied as died:
            self._deaths += 1
            if self._deaths <= RETRIES:
                self._start()
                return self.next()
            metrics = {"error": str(died)}
        if "error" in metrics:
            job, error = self._job, str(metrics["error"])
            with suppress(OSError):  # a full disk: who listens hears of it all the same
                record_failure(job.storage, job.study, job.trial, job.origin, 1, error)
        return metrics

    def end(self) -> None:
        """Kill it where it still trains. It writes by renaming: nothing is left half-written."""
        if self._told_all:
            self._process.join(ENDING)
        self._process.kill()
        self._process.join()
        self._connection.close()

    def _start(self) -> None:
        self._connection, theirs = _FORKSERVER.Pipe()
        self._process = _FORKSERVER.Process(target=_train, args=(self._job, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self._waits = self._told_all = False

    def _receive(self) -> Metrics:
        try:
            if self._waits:
                self._connection.send("go on")
            metrics: Metrics = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            raise ProcessDied(_death(self._process.exitcode, self._job)) from None
        self._waits = True
        self._told_all = _is_last(metrics)
        return metrics


def _train(job: Job, connection: Connection) -> None:
    """What the process does."""
    threading.Thread(target=_die_with_parent, daemon=True).start()

    def tell(metrics: Metrics) -> None:
        connection.send(metrics)
        if not _is_last(metrics):
            connection.recv()  # who listens may decide to end the trial here

    try:
        work(job, local_runtime() if job.on_gpu else Runtime(), tell)
    except Exception as error:
        connection.send({"error": in_words(error)})


def _is_last(metrics: Metrics) -> bool:
    return bool(metrics.get("final")) or "error" in metrics


def _die_with_parent() -> None:
    """A training whose driver was killed must not keep the GPU for the rest of an epoch."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _death(exitcode: int | None, job: Job) -> str:
    attempt = next_attempt(job.storage, job.study, job.trial.trial_id) - 1
    hang = job.stacks(attempt)
    if hang.is_file() and (stacks := hang.read_text()):
        # Reading the stacks of threads that run may itself end the process by a signal: half a file
        where = _innermost(stacks) if exitcode == 1 else "an unknown place"
        kept = job.folder / hang.name
        if kept.local is None:  # the machine may be gone tomorrow
            with suppress(OSError):
                kept.write(stacks.encode())
        return (
            f"hung: no step for {job.patience / 60:g} minutes, in {where}. Where each thread was "
            f"is in {kept}"
        )
    if exitcode is not None and exitcode < 0:
        return f"the training's process was killed by signal {-exitcode}" + (
            ", as a machine does that runs out of memory" if exitcode == -9 else ""
        )
    return f"the training's process ended with exit code {exitcode}"


def _innermost(stacks: str) -> str:
    """Where the main thread was: it stands last, its innermost call first."""
    main = stacks.split("\n\n")[-1]
    calls = [line.strip() for line in main.splitlines() if line.strip().startswith("File ")]
    return calls[0] if calls else "an unknown place"
