"""Checkpoints of a trial: `train/<trial>/epoch-<n>`, one at a time.

The training's first worker writes them itself, however many workers there are, so that a trial goes
on from the same files whoever started it, and a killed trial leaves no more of them than another.
"""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from segcore.checkpoint import LAST
from segcore.evaluation import Evaluation


def trial_folder(storage: Path, study: str, trial_id: str) -> Path:
    """Where a trial's checkpoints lie."""
    return storage / study / "train" / trial_id


def newest(folder: Path) -> Path | None:
    """The checkpoint to go on from; None where there is none."""
    whole = {_epoch(p): p for p in folder.glob("epoch-*") if (p / LAST).is_file()}
    return whole[max(whole)] if whole else None


def keep(evaluation: Evaluation, folder: Path) -> None:
    """Write a checkpoint in place of the one before, which stays until this one is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    _remove(folder.glob(".epoch-*"))  # a process that was killed may have left one
    kept = folder / f"epoch-{evaluation.epoch}"
    unfinished = folder / f".{kept.name}.{os.getpid()}"
    unfinished.mkdir()
    evaluation.save(unfinished)
    if kept.exists():  # an epoch that was trained again
        shutil.rmtree(kept)
    unfinished.rename(kept)
    _remove(p for p in folder.glob("epoch-*") if p != kept)


def _remove(folders: Iterable[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder)


def _epoch(folder: Path) -> int:
    return int(folder.name.removeprefix("epoch-"))
