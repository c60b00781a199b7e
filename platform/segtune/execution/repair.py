"""Before a study goes on: what is lost of it is made ready to be trained again."""

import os
import sys
from collections.abc import Mapping
from contextlib import suppress

from segtune.execution.training.job import trial_folder
from segtune.results import tables
from segtune.results.integrity.parquet_files import DamagedTable, damaged
from segtune.results.storage import Place, Storage
from segtune.results.trial_rows import record_spoilt

SET_ASIDE = "damaged"
"""The folder of a study to which damaged files of its tables are moved."""


def begin_again(storage: Storage, study: str, lost: Mapping[str, str]) -> None:
    """Have trials trained again from their beginning, and say so.

    Their checkpoints go, since the epochs before them were lost too. Killed halfway, it is done
    again: what says that a trial is lost goes last.

    Args:
        storage: the folder that holds the studies.
        study: its name; nothing else runs it.
        lost: trial -> what of it is lost (`segtune.results.integrity.damage.find_damage`).

    Raises:
        OSError: the storage does not take it.
    """
    for trial_id, what in lost.items():
        with suppress(DamagedTable):  # it is the row itself
            record_spoilt(storage, study, trial_id, f"{what}; it is to be trained again")
        for checkpoint in trial_folder(storage, study, trial_id).folders("epoch-*"):
            checkpoint.remove()
        print(f"segtune: {trial_id} is trained again: {what}", file=sys.stderr)
    for table in reversed(tables.TRIAL_TABLES):  # rows of trials last
        for file in damaged(tables.table_dir(storage, study, table).files("*.parquet")):
            _move(file, Place.of(storage) / study / SET_ASIDE / table / file.name)


def remove_leftovers(storage: Storage, study: str) -> None:
    """Remove files of tables that killed processes have left half-written.

    Args:
        storage: the folder that holds the studies.
        study: its name; nothing else runs it.
    """
    for table in tables.TRIAL_TABLES:
        folder = tables.table_dir(storage, study, table).local
        for unfinished in () if folder is None else folder.glob(".*.parquet.*"):
            unfinished.unlink(missing_ok=True)


def _move(file: Place, to: Place) -> None:
    if file.local is not None and to.local is not None:
        to.local.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file.local, to.local)
        return
    to.write(file.read())
    file.remove()
