"""Writes checkpoints of a trial in a thread, while the trial trains on.

The first worker writes them itself, not Ray Train, however many workers there are. So a trial can
resume with another number of workers, and a killed trial leaves no additional files.
"""

import os
import shutil
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from pyarrow.fs import LocalFileSystem, copy_files

from segcore.training.checkpoint import BEST, CONFIG, LAST, Checkpoint
from segcore.training.events import Evaluation
from segtune.execution.training.checkpoints import EPOCHS
from segtune.results.storage import Place


class CheckpointWriter:
    """Writes one checkpoint after the other, then removes the one before.

    What is written is copied first, so that the training may go on. One is under way at most. A
    killed process leaves the last whole one. An error of a write is raised by what comes after it:
    the next `keep`, `wait`, or the end of the `with` block.
    """

    def __init__(self, folder: Place, restored: Place | None = None) -> None:
        """
        Args:
            folder: the trial's.
            restored: the checkpoint that the training goes on from, in that folder.
        """
        self._folder, self._newest = folder, restored
        self._others = folder.folders(EPOCHS)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None

    def keep(self, evaluation: Evaluation) -> None:
        """Begin to write a checkpoint, once the one before is written.

        Raises:
            OSError: the storage did not take the one before; the message names the file.
        """
        self.wait()
        copied = evaluation.checkpoint()
        kept = self._folder / f"epoch-{evaluation.epoch}"
        self._writing = self._thread.submit(self._write, copied, kept, evaluation.is_best)

    def wait(self) -> None:
        """Wait until nothing is under way.

        Raises:
            OSError: the storage did not take it; the message names the file.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def end(self) -> None:
        """Leave of the newest checkpoint what the best epoch found alone: nothing will go on from
        it.

        Raises:
            OSError: as `wait`.
        """
        self.wait()
        if self._newest is None:
            return
        with suppress(OSError):  # what can't be removed takes room, and no result is worse for it
            for kept in self._others:
                (kept / LAST if kept == self._newest else kept).remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        try:
            self.wait()
        except Exception as unwritten:
            if error is None:
                raise
            print(f"the last checkpoint was not written: {unwritten}")  # to the trial's log
        finally:
            self._thread.shutdown()

    def _write(self, copied: Checkpoint, kept: Place, is_best: bool) -> None:
        """Write a checkpoint, its best tensors only where the one before has others."""
        # Where this write fails, the one after it must not take the best from the one before it.
        before, self._newest = self._newest, None
        same = None if is_best or before is None else before / BEST
        if kept.local is None:
            _send(copied, kept, same)
        else:
            _put(copied, kept.local, None if same is None else same.local)
        for other in self._others:
            if other != kept:
                other.remove()
        self._newest, self._others = kept, [kept]


def _put(copied: Checkpoint, kept: Path, same: Path | None) -> None:
    """Write the checkpoint under another name, then rename it, so that it is never incomplete."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    for unfinished_before in kept.parent.glob(f".{EPOCHS}"):  # by a process that was killed
        shutil.rmtree(unfinished_before)
    unfinished = kept.with_name(f".{kept.name}.{os.getpid()}")
    unfinished.mkdir()
    try:
        _save(copied, unfinished, best=same is None)
        if same is not None:  # last: what failed before has not touched it
            _link(same, unfinished / BEST)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    if kept.exists():  # an epoch that was trained again
        shutil.rmtree(kept)
    unfinished.rename(kept)


def _link(same: Path, to: Path) -> None:
    """The same file under another name, or a copy where the file system knows no such thing."""
    try:
        os.link(same, to)
    except OSError:
        shutil.copyfile(same, to)


def _send(copied: Checkpoint, kept: Place, same: Place | None) -> None:
    """Send the checkpoint. An object store renames nothing, so `config.json`, which marks it whole,
    is last."""
    kept.remove()  # an epoch that was trained again, or of which not all was sent
    if same is not None:
        try:  # the store copies by itself
            kept.filesystem.copy_file(same.path, (kept / BEST).path)
        except NotImplementedError:
            same = None
    with tempfile.TemporaryDirectory(prefix="segtune-checkpoint-") as written:
        _save(copied, Path(written), best=same is None)
        for file in sorted(Path(written).iterdir(), key=lambda f: f.name == CONFIG):
            copy_files(
                str(file),
                (kept / file.name).path,
                source_filesystem=LocalFileSystem(),
                destination_filesystem=kept.filesystem,
            )


def _save(copied: Checkpoint, folder: Path, *, best: bool) -> None:
    """Write a checkpoint's files into a folder.

    Raises:
        OSError: the disk takes no more. Libraries that write tensors raise errors of their own,
            which do not say so.
    """
    try:
        copied.save(folder, best=best)
    except Exception:
        for written in folder.iterdir():
            _write_more(written)
        raise


def _write_more(file: Path) -> None:
    """Write on into a file, so that the system says why it takes no more, if it does not.

    Raises:
        OSError: it takes no more; the message names the file.
    """
    try:
        with file.open("ab") as stream:
            stream.write(bytes(2**16))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file)) from None
