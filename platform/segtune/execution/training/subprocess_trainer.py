"""A training on CPUs in a process of its own, forked from one that has imported everything.

Such a process starts in a fraction of a second and shares no memory with the training before it.
When it dies, only it dies: the process that started it reads why, and starts the training again
from its checkpoint. The same where it is frozen, and can neither go on nor end itself.
"""

import ctypes
import math
import multiprocessing
import os
import threading
from contextlib import suppress
from multiprocessing.connection import Connection

from segtune.execution.training.job import Job, Metrics
from segtune.results.tables import next_attempt
from segtune.results.trial_rows import record_failure

RETRIES = 1
"""How often a training resumes from its checkpoint after its process died. An error that the
training itself raises ends the trial at once: it would only be raised again."""
ENDING = 10.0
"""Seconds that a training's process has to end by itself after its last report."""
GRACE = 60.0
"""Seconds after its patience that a training has to end itself and to say where it hung, before it
is killed from outside."""
LOOK = 1.0
"""Seconds between two looks at whether a training is alive."""
PRELOADED = ("ray", "segcore.data.decoded", "segtune.execution.training.worker")
"""What every training imports. The second hashes the code that decodes, which the third imports."""
GO_ON, STOP = "go on", "stop"
"""What a training is answered when it has reported an evaluation."""
_FORKSERVER = multiprocessing.get_context("forkserver")


class ProcessDied(RuntimeError):
    """A training's process ended without a report."""


class TrainingProcess:
    """A trial's training in a process, which is asked for one evaluation after another."""

    def __init__(self, job: Job) -> None:
        """Start the process, and before the first one that which it is forked from."""
        _FORKSERVER.set_forkserver_preload([*PRELOADED, *job.trial.imports])
        self._job, self._deaths, self._told = job, 0, 0
        self._start()

    @property
    def pid(self) -> int | None:
        """Id of the process that trains now."""
        return self._process.pid

    def next(self) -> Metrics:
        """Wait for the next evaluation. The training then waits until it is asked again.

        Returns:
            What `Recorder.add` returns, or `error`: why the trial failed, as the tables say too.
        """
        try:
            metrics = self._receive()
            while _epoch(metrics) <= self._told:  # trained again, from the checkpoint before
                metrics = self._receive()
        except ProcessDied as died:
            self._deaths += 1
            if self._deaths <= RETRIES:
                self._start()
                return self.next()
            metrics = {"error": str(died)}
        if not _is_last(metrics):
            self._told = int(metrics["epoch"])
        if "error" in metrics:
            job, error = self._job, str(metrics["error"])
            with suppress(OSError):  # the disk is full: the error is still returned
                record_failure(job.storage, job.study, job.trial.unpack(), job.origin, 1, error)
        return metrics

    def end(self) -> None:
        """End the process once it has written its checkpoint, and kill it if it still trains. Since
        files are renamed into place, none is incomplete."""
        if self._waits:
            with suppress(OSError):  # it is dead
                self._connection.send(STOP)
        if self._waits or self._has_reported_all:
            self._process.join(ENDING)
        self._process.kill()
        self._process.join(ENDING)  # one that waits for a disk may take for ever
        self._connection.close()

    def _start(self) -> None:
        self._connection, other_end = _FORKSERVER.Pipe()
        self._beats = _FORKSERVER.RawValue(ctypes.c_uint64)
        given = (self._job, other_end, self._beats)
        self._process = _FORKSERVER.Process(target=_train, args=given, daemon=True)
        self._process.start()
        other_end.close()
        self._waits = self._has_reported_all = False

    def _receive(self) -> Metrics:
        try:
            if self._waits:
                self._connection.send(GO_ON)
            self._waits = False
            self._wait_for_report()
            metrics: Metrics = self._connection.recv()
        except (EOFError, OSError):
            self._process.join(ENDING)
            raise ProcessDied(_death(self._process.exitcode, self._job)) from None
        self._has_reported_all = _is_last(metrics)
        self._waits = not self._has_reported_all
        return metrics

    def _wait_for_report(self) -> None:
        """Wait until there is a report, or until the process has ended.

        Raises:
            ProcessDied: it showed no sign of life for too long, and was killed.
        """
        seen, silent = self._beats.value, 0.0
        while not self._connection.poll(LOOK):
            # Looks are counted, no clock is read: a laptop that slept has not looked meanwhile.
            silent = silent + LOOK if self._beats.value == seen else 0.0
            seen = self._beats.value
            if silent > self._job.patience + GRACE:
                self._process.kill()
                self._process.join(ENDING)
                obeyed = "" if self._process.exitcode is not None else ", which it has not obeyed"
                raise ProcessDied(
                    f"frozen: no sign of life for {silent / 60:.1f} minutes, not even where it "
                    f"hangs, so it was killed{obeyed}"
                )


def _train(job: Job, connection: Connection, beats: "ctypes.c_uint64") -> None:
    """Run the training; the main function of its process."""
    # Imported by what this process was forked from. Ray's process of the trial, which has this
    # module too, needs neither torch nor segcore.
    from segcore.training.runtime import Runtime
    from segtune.execution.training.recorder import TrialStopped
    from segtune.execution.training.worker import cause_of, work

    threading.Thread(target=_die_with_parent, daemon=True).start()

    def tell(metrics: Metrics) -> None:
        connection.send(metrics)
        if not _is_last(metrics) and connection.recv() == STOP:
            raise TrialStopped(job.trial.trial_id)

    def alive() -> None:
        beats.value += 1

    try:
        work(job, Runtime(cpus=job.whole_cpus), tell, alive)
    except Exception as error:
        connection.send({"error": cause_of(error)})


def _epoch(metrics: Metrics) -> float:
    """Of an evaluation that is told once; the last report is told always."""
    return math.inf if _is_last(metrics) else float(metrics["epoch"])


def _is_last(metrics: Metrics) -> bool:
    return bool(metrics.get("final")) or "error" in metrics


def _die_with_parent() -> None:
    """End this process when its driver is killed, so that it does not keep the CPUs."""
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
        if kept.local is None:  # this machine may soon be gone
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
    """The innermost call of the main thread, which is the last in the file."""
    main = stacks.split("\n\n")[-1]
    calls = [line.strip() for line in main.splitlines() if line.strip().startswith("File ")]
    return calls[0] if calls else "an unknown place"
