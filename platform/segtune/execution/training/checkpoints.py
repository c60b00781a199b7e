"""Checkpoints of a trial: `train/<trial>/epoch-<n>`, the newest one only, and of a trial that has
ended what its best epoch found alone."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from pyarrow.fs import LocalFileSystem, copy_files

from segcore.training.checkpoint import BEST, CONFIG, LAST
from segcore.training.runtime import Runtime
from segtune.results.evaluations import trial_of
from segtune.results.storage import Place
from segtune.study.trial import ARM_TRIAL, arm_trial_id

EPOCHS = "epoch-*"
FILES = (BEST, CONFIG, LAST)
PIECE = 2**26
"""Bytes of a file that are sent to other workers at once."""


def newest(folder: Place, *, to_go_on: bool = False) -> Place | None:
    """A trial's newest whole checkpoint; None where there is none.

    Args:
        folder: the trial's.
        to_go_on: whether training is to go on from it, which takes more than to use it.
    """
    needed = (LAST, CONFIG) if to_go_on else (CONFIG,)
    whole = {
        _epoch(place): place
        for place in folder.folders(EPOCHS)
        if all((place / name).is_file() for name in needed)
    }
    return whole[max(whole)] if whole else None


@contextmanager
def to_go_on_from(newest: Place | None, runtime: Runtime) -> Iterator[Path | None]:
    """A checkpoint to go on from, on this machine: the first worker reads it and sends it to the
    others.

    Args:
        newest: the trial's, None where there is none. Of the others it is not looked at.
        runtime: this worker's place.
    """
    with ExitStack() as stack:
        first = runtime.rank == 0
        mine = stack.enter_context(on_this_machine(newest)) if first and newest else None
        if runtime.world > 1:
            received = tempfile.TemporaryDirectory(prefix="segtune-checkpoint-")
            mine = _sent_to_others(mine, Path(stack.enter_context(received)), runtime)
        yield mine


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


def _sent_to_others(mine: Path | None, folder: Path, runtime: Runtime) -> Path | None:
    """The first worker's checkpoint, on the others a copy of it.

    Args:
        mine: the first worker's, None where there is none. Of the others it is not looked at.
        folder: an empty one, in which the others find what they are sent.
        runtime: who is the first.
    """
    first = runtime.rank == 0
    none = [-1] * len(FILES)
    sizes = none if mine is None else [(mine / name).stat().st_size for name in FILES]
    told = torch.tensor(sizes, device=runtime.device)
    runtime.broadcast([told])
    if told.tolist() == none:
        return None
    there = folder if mine is None else mine
    for name, size in zip(FILES, told.tolist(), strict=True):
        with (there / name).open("rb" if first else "wb") as file:
            for start in range(0, size, PIECE):
                length = min(PIECE, size - start)
                piece = bytearray(file.read(length) if first else length)
                sent = torch.frombuffer(piece, dtype=torch.uint8).to(runtime.device)
                runtime.broadcast([sent])
                if not first:
                    file.write(sent.cpu().numpy().tobytes())
    return there


def _epoch(folder: Place) -> int:
    return int(folder.name.removeprefix("epoch-"))
