"""The result tables: Parquet files, one per trial attempt and table, or one per evaluation.

A file is put in place of the one before as a whole, so that a reader never sees half of one. Files
of several attempts overlap where a trial went on from a checkpoint: `read` keeps the latest. A disk
may still damage a file: `read` names it, and `segtune run` trains again what was in it.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from segtune.results.integrity.columns import oddness
from segtune.results.integrity.parquet_files import DamagedTable, rows_of
from segtune.results.schemas import KEYS, SCHEMAS, TABLES, TRIAL_TABLES, TableName, TrialTable
from segtune.results.storage import Place, Storage
from segtune.study.definition import SCHEMA_VERSION

__all__ = [
    "KEYS",
    "SCHEMAS",
    "TABLES",
    "TRIAL_TABLES",
    "TableName",
    "TrialTable",
    "last_written",
    "next_attempt",
    "put",
    "read",
    "read_attempts",
    "read_file",
    "table_dir",
    "trial_of",
    "write",
]

_NOT_WIDE = ("metric", "protocol", "value", "n", "direction", "unit", "label")
"""Columns that the wide form of a table has no place for: they differ from metric to metric."""


def table_dir(storage: Storage, study: str, table: TableName) -> Place:
    """The folder that holds a table's files."""
    return Place.of(storage) / study / "tables" / table


def write(
    storage: Storage, study: str, table: TrialTable, rows: Iterable[Mapping[str, Any]]
) -> Place:
    """Write all rows of one trial attempt, in place of what was written of it before.

    Args:
        storage: the folder that holds the studies.
        study: its name.
        table: which table.
        rows: at least one row; all of one `trial_id` and `attempt`. A column that a row leaves
            out is null.

    Raises:
        KeyError: a row has a column that the schema lacks.
    """
    written = list(rows)
    name = _file(written[0]["trial_id"], written[0]["attempt"])
    return put(storage, study, table, name, written)


def put(
    storage: Storage, study: str, table: TableName, name: str, rows: Iterable[Mapping[str, Any]]
) -> Place:
    """Write a file of a table, in place of the one that had its name.

    Args:
        storage: the folder that holds the studies.
        study: its name.
        table: which table.
        name: of the file.
        rows: all that the file is to hold. A column that a row leaves out is null.

    Raises:
        KeyError: a row has a column that the schema lacks.
    """
    schema = SCHEMAS[table]
    filled = []
    for row in rows:
        if unknown := set(row) - set(schema.names):
            raise KeyError(f"{table} has no column {', '.join(sorted(unknown))}")
        filled.append({"study": study, **row})
    data = pa.Table.from_pylist(filled, schema=schema).replace_schema_metadata(
        {"schema_version": str(SCHEMA_VERSION)}
    )
    content = pa.BufferOutputStream()
    pq.write_table(data, content)
    file = table_dir(storage, study, table) / name
    file.write(content.getvalue())
    return file


def read(
    storage: Storage,
    study: str,
    table: TableName,
    *,
    wide: bool = False,
    trial_id: str | None = None,
    damaged: dict[Place, str] | None = None,
) -> pa.Table:
    """A table of a study: the latest attempt's state, never a row twice.

    Args:
        storage: the folder that holds the studies.
        study: its name.
        table: which table.
        wide: one column per metric and protocol (`dice.per_image`) in place of the columns
            `metric`, `protocol`, `value`; for `scores` and `images`.
        trial_id: the rows of this trial alone, without a look at the others' files.
        damaged: is given the files that are no Parquet files, and why, and the rest is read; None:
            there must be none.

    Returns:
        The rows of each trial together, in the order in which they were written; no row where
        nothing was written yet.

    Raises:
        ValueError: `wide` is asked of a table without metrics.
        DamagedTable: files are no Parquet files.
        OSError: the storage does not give a file; the message names it.
    """
    schema = SCHEMAS[table]
    if wide and "metric" not in schema.names:
        raise ValueError(f"{table} has no metrics to widen: wide=True is for scores and images")
    folder = table_dir(storage, study, table)
    keys = KEYS.get(table)
    if keys is None:  # a file of evaluations has the name of its own
        rows = _rows(study, folder.files("*.parquet"), table, damaged)
        if trial_id is not None:
            rows = rows.filter(pc.equal(rows["trial_id"], trial_id))
        return _pivot(rows) if wide else rows
    files = folder.files(_file("*" if trial_id is None else trial_id, "*"))
    if trial_id is not None:  # `x-a1` is another trial than `x`
        files = [f for f in files if trial_of(f) == trial_id]
    rows = _rows(study, files, table, damaged)
    if len({trial_of(f) for f in files}) < len(files):
        rows = _latest(rows, list(keys))
    return _pivot(rows) if wide else rows


def read_attempts(
    storage: Storage, study: str, damaged: dict[Place, str] | None = None
) -> pa.Table:
    """The rows of `trials` of every attempt, not of the latest alone: what all of them took.

    Args:
        storage: the folder that holds the studies.
        study: its name.
        damaged: as of `read`.
    """
    files = table_dir(storage, study, "trials").files("*.parquet")
    return _rows(study, files, "trials", damaged)


def read_attempt(
    storage: Storage, study: str, trial_id: str, attempt: int
) -> dict[str, Any] | None:
    """The row of `trials` of one attempt, without a look at which files there are; None where it
    has none."""
    for row in read_file(storage, study, "trials", _file(trial_id, attempt)).to_pylist():
        return dict(row)
    return None


def read_file(storage: Storage, study: str, table: TableName, name: str) -> pa.Table:
    """The rows of one file of a table; none where there is no such file."""
    file = table_dir(storage, study, table) / name
    return _rows(study, [file] if file.is_file() else [], table)


def trial_of(file: Place) -> str:
    """The trial that a file of a trial's table is of."""
    return file.name.rpartition("-a")[0]


def next_attempt(storage: Storage, study: str, trial_id: str) -> int:
    """1 for a trial that never ran, else one more than its last attempt."""
    return 1 + max(
        (
            int(f.name.removesuffix(".parquet").rpartition("-a")[2])
            for f in table_dir(storage, study, "trials").files(_file(trial_id, "*"))
            if trial_of(f) == trial_id
        ),
        default=0,
    )


def last_written(storage: Storage, study: str, trial_id: str, attempt: int) -> datetime | None:
    """When a trial's row was last rewritten, which every epoch does; None where it has none."""
    return (table_dir(storage, study, "trials") / _file(trial_id, attempt)).modified()


def _rows(
    study: str, files: Sequence[Place], table: TableName, damaged: dict[Place, str] | None = None
) -> pa.Table:
    rows, bad = rows_of(files, SCHEMAS[table], partial(oddness, table))
    if damaged is not None:
        damaged |= bad
    elif bad:
        raise DamagedTable(study, bad)
    return rows


def _file(trial_id: str, attempt: int | str) -> str:
    return f"{trial_id}-a{attempt}.parquet"


def _latest(rows: pa.Table, keys: list[str]) -> pa.Table:
    """Of rows that several attempts of a trial wrote, those of the latest."""
    frame = rows.select([*keys, "attempt"]).to_pandas()
    frame["row"] = range(len(frame))
    latest = frame.sort_values([*keys, "attempt"], kind="stable").drop_duplicates(keys, keep="last")
    return rows.take(pa.array(np.sort(latest["row"].to_numpy())))


def _pivot(rows: pa.Table) -> pa.Table:
    frame = rows.to_pandas()
    frame["column"] = frame["metric"] + "." + frame["protocol"]
    index = [c for c in rows.schema.names if c not in _NOT_WIDE]
    wide = frame.pivot(index=index, columns="column", values="value").reset_index()
    return pa.Table.from_pandas(wide.rename_axis(columns=None), preserve_index=False)
