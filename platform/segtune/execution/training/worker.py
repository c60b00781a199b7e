"""What one worker of a training does: train, keep checkpoints, write the tables.

Knows no Ray: `subprocess_trainer` runs it in a process of its own, `distributed` in the workers of
a Ray Train run.
"""

import contextlib
import errno
import faulthandler
from collections.abc import Callable, Iterator
from pathlib import Path

from segcore.train import TrainingDiverged, train
from segcore.training.runtime import Runtime
from segtune.execution.training import checkpoints
from segtune.execution.training.checkpoint_writer import CheckpointWriter
from segtune.execution.training.job import Job, Metrics
from segtune.execution.training.recorder import Recorder, TrialStopped
from segtune.execution.training.trial_log import kept_output
from segtune.execution.training.utilisation import Meter
from segtune.study.trial import TESTED


def work(
    job: Job,
    runtime: Runtime,
    tell: Callable[[Metrics], None],
    alive: Callable[[], None] | None = None,
) -> None:
    """Train a trial from its newest checkpoint on; only the first worker writes, and only what it
    prints is kept.

    Args:
        job: what to train.
        runtime: this worker's device and place.
        tell: called after each evaluation, when its rows are on disk and its checkpoint is under
            way; the checkpoint before is on disk.
        alive: called after each step and each predicted batch, for who watches from outside.
    """
    first = runtime.rank == 0
    output = kept_output(job.storage, job.study, job.trial.trial_id)
    with output if first else contextlib.nullcontext():
        _work(job, runtime, tell, alive)


def _work(
    job: Job,
    runtime: Runtime,
    tell: Callable[[Metrics], None],
    alive: Callable[[], None] | None,
) -> None:
    first, trial = runtime.rank == 0, job.trial.unpack()
    recorder = Recorder(job.storage, job.study, trial, job.origin, runtime.world, job.price)
    if first:
        recorder.start()
    runtime.test = trial.role in TESTED
    stacks, meter = job.stacks(recorder.attempt), Meter(runtime.device)
    newest = checkpoints.newest(job.folder, to_go_on=True) if first else None
    try:
        with (
            _watched(stacks, job.patience, runtime.rank, alive) as lives,
            checkpoints.to_go_on_from(newest, runtime) as runtime.restore_from,
            CheckpointWriter(job.folder, newest) if first else contextlib.nullcontext() as writer,
        ):

            def beat() -> None:
                lives()
                meter.look()

            runtime.beat = beat
            for evaluation in train(trial.config, runtime):
                metrics: Metrics = recorder.add(evaluation, meter.take()) if first else {}
                if writer is not None and evaluation.final:
                    writer.end()
                elif writer is not None:
                    writer.keep(evaluation)
                tell(metrics)
    except TrialStopped:
        return
    except TrainingDiverged as error:  # on every worker at the same step
        cause = cause_of(error)
        if first:
            recorder.fail(cause)
        tell({"error": cause})


def cause_of(error: BaseException) -> str:
    """The first cause of an error, and for the commonest ones what to do."""
    while error.__cause__ is not None:
        error = error.__cause__
    message = f"{type(error).__name__}: {error}"
    if type(error).__name__ == "OutOfMemoryError":
        message += (
            ". Give a smaller schedule.microbatch_size (the result stays the same), fewer trials "
            "at a time, or a larger GPU"
        )
    elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        message += ". Make room there: the same command goes on from the last checkpoint"
    return message


@contextlib.contextmanager
def _watched(
    file: Path, patience: float, rank: int, alive: Callable[[], None] | None
) -> Iterator[Callable[[], None]]:
    """End this process when nothing has called the yielded function for too long.

    `faulthandler` watches in a thread that does not need Python's global lock, so that it works
    even during a call that never returns. A process that is frozen as a whole freezes this thread
    too: who started the process watches from outside.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    for left in file.parent.glob("hang-a[1-9]*.txt") if rank == 0 else ():
        if not left.stat().st_size:  # left by an attempt that was killed, not by one that hung
            left.unlink()
    name = file if rank == 0 else file.with_stem(f"{file.stem}-{rank}")
    try:
        with name.open("w") as traces:

            def beat() -> None:
                faulthandler.dump_traceback_later(patience, exit=True, file=traces)
                if alive is not None:
                    alive()

            beat()
            try:
                yield beat
            finally:
                faulthandler.cancel_dump_traceback_later()
    finally:
        name.unlink()
