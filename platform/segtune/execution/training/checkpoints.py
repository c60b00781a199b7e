"""Checkpoints of a trial: `train/<trial>/epoch-<n>`, the newest one only, and of a trial that has
ended what its best epoch found alone.

The first worker writes them itself, not Ray Train, however many workers there are. So a trial can
resume with another number of workers, and a killed trial leaves no additional files.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pyarrow.fs import LocalFileSystem, copy_files

from segcore.training.checkpoint import CONFIG, LAST
from segcore.training.events import Evaluation
from segtune.results.evaluations import trial_of
from segtune.results.storage import Place
from segtune.study.trial import ARM_TRIAL, arm_trial_id


def newest(folder: Place, *, to_go_on: bool = False) -> Place | None:
    """A trial's newest whole checkpoint; None where there is none.

    Args:
        folder: the trial's.
        to_go_on: whether training is to go on from it, which takes more than to use it.
    """
    needed = (LAST, CONFIG) if to_go_on else (CONFIG,)
    whole = {
        _epoch(place): place
        for place in folder.folders("epoch-*")
        if all((place / name).is_file() for name in needed)
    }
    return whole[max(whole)] if whole else None


def keep(evaluation: Evaluation, folder: Place) -> None:
    """Write a checkpoint, then remove the one before."""
    kept = folder / f"epoch-{evaluation.epoch}"
    if folder.local is None:
        _send(evaluation, kept)
    else:
        _put(evaluation, folder.local, kept.name)
    for other in folder.folders("epoch-*"):
        if other != kept:
            other.remove()


def end(folder: Place) -> None:
    """Drop what only a training that goes on would need: optimizer, last weights, random state."""
    with suppress(OSError):  # what can't be removed takes room, and no result is worse for it
        for kept in folder.folders("epoch-*"):
            (kept / LAST).remove()


def of_all_seeds(checkpoint: Place) -> list[Place]:
    """The trials of an arm with all its seeds and folds, where an arm's name stands in the place of
    a trial's (`results/demo/train/lora` for `lora-s0`, `lora-s1`), or those of a seed with all its
    folds (`lora-s0` for `lora-s0-f0`, `lora-s0-f1`); else the checkpoint alone."""
    found = None if checkpoint.is_folder() else trial_of(checkpoint)
    if found is None:
        return [checkpoint]
    storage, study, name = found
    trials = {
        (int(parts["seed"]), int(parts["fold"] or 0)): place
        for place in (storage / study / "train").folders(f"{name}-*")
        if (parts := ARM_TRIAL.fullmatch(place.name))
        and name in (parts["arm"], arm_trial_id(parts["arm"], int(parts["seed"])))
    }
    return [trials[place] for place in sorted(trials)] or [checkpoint]


@contextmanager
def on_this_machine(checkpoint: Place) -> Iterator[Path]:
    """A checkpoint's folder, or a copy of it for as long as it is needed.

    Args:
        checkpoint: its folder; in an object store also its trial's.

    Raises:
        ValueError: an object store has no checkpoint there.
    """
    if checkpoint.local is not None:
        yield checkpoint.local
        return
    if not (checkpoint / CONFIG).is_file():
        found = newest(checkpoint)
        if found is None:
            raise ValueError(
                f"{checkpoint} holds no checkpoint: give a trial's folder, such as "
                "s3://BUCKET/FOLDER/demo/train/lora-s0"
            )
        checkpoint = found
    with tempfile.TemporaryDirectory(prefix="segtune-checkpoint-") as copied:
        copy_files(
            checkpoint.path,
            copied,
            source_filesystem=checkpoint.filesystem,
            destination_filesystem=LocalFileSystem(),
        )
        yield Path(copied)


def _put(evaluation: Evaluation, folder: Path, name: str) -> None:
    """Write the checkpoint under another name, then rename it, so that it is never incomplete."""
    folder.mkdir(parents=True, exist_ok=True)
    for unfinished_before in folder.glob(".epoch-*"):  # by a process that was killed
        shutil.rmtree(unfinished_before)
    kept, unfinished = folder / name, folder / f".{name}.{os.getpid()}"
    unfinished.mkdir()
    try:
        _save(evaluation, unfinished)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    if kept.exists():  # an epoch that was trained again
        shutil.rmtree(kept)
    unfinished.rename(kept)


def _send(evaluation: Evaluation, kept: Place) -> None:
    """Send the checkpoint. An object store renames nothing, so `config.json`, which marks it whole,
    is last."""
    kept.remove()  # an epoch that was trained again, or of which not all was sent
    with tempfile.TemporaryDirectory(prefix="segtune-checkpoint-") as written:
        _save(evaluation, Path(written))
        for file in sorted(Path(written).iterdir(), key=lambda f: f.name == CONFIG):
            copy_files(
                str(file),
                (kept / file.name).path,
                source_filesystem=LocalFileSystem(),
                destination_filesystem=kept.filesystem,
            )


def _save(evaluation: Evaluation, folder: Path) -> None:
    """Write a checkpoint's files into a folder.

    Raises:
        OSError: the disk takes no more. Libraries that write tensors raise errors of their own,
            which do not say so.
    """
    try:
        evaluation.save(folder)
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


def _epoch(folder: Place) -> int:
    return int(folder.name.removeprefix("epoch-"))
