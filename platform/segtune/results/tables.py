"""The result tables: Parquet files, one per trial attempt and table.

A file is put in place of the one before as a whole, so that a reader never sees half of one. Files
of several attempts overlap where a trial went on from a checkpoint: `read` keeps the latest.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from segtune.results.storage import Place, Storage
from segtune.study.definition import SCHEMA_VERSION

TableName = Literal["trials", "steps", "scores", "images", "pictures"]
TABLES: tuple[TableName, ...] = get_args(TableName)

_TRIAL = [("study", pa.string()), ("trial_id", pa.string()), ("attempt", pa.int32())]
_SCORE = [
    ("class_name", pa.string()),
    ("metric", pa.string()),
    ("protocol", pa.string()),
    ("value", pa.float64()),
]
_RESOLUTION = ("resolution", pa.string())  # of the masks compared: 128x192 (height first) or image
SCHEMAS: Mapping[TableName, pa.Schema] = {
    "trials": pa.schema(
        [
            *_TRIAL,
            ("role", pa.string()),  # arm | tune | search | finalist: what the trial is for
            ("arm", pa.string()),  # null in a search
            ("seed", pa.int64()),
            ("number", pa.int64()),  # of a search's or a tuning's candidate, else null
            ("status", pa.string()),  # running, finished, pruned, failed or cancelled
            ("error", pa.string()),
            ("config", pa.string()),  # JSON
            ("changes", pa.string()),  # JSON: dotted field -> value, against the baseline
            ("config_hash", pa.string()),
            ("train_run", pa.string()),
            ("git_commit", pa.string()),
            ("git_dirty", pa.bool_()),
            (
                "study_commit",
                pa.string(),
            ),  # of the study's file, where it has a repository of its own
            ("versions", pa.string()),  # JSON: package -> version
            ("command", pa.string()),  # that ran the study
            ("device", pa.string()),
            ("workers", pa.int32()),
            ("data_hash", pa.string()),
            ("weights_hash", pa.string()),
            ("trainable_parameters", pa.int64()),
            ("total_parameters", pa.int64()),
            ("adapted_lr", pa.float64()),  # peak rate of what the method adapts, else null
            ("epochs", pa.int64()),
            ("best_epoch", pa.int64()),
            ("stopped_epoch", pa.int64()),  # after which a scheduler stopped it, else null
            ("started", pa.timestamp("us", tz="UTC")),
            ("ended", pa.timestamp("us", tz="UTC")),
        ]
    ),
    "steps": pa.schema(
        [
            *_TRIAL,
            ("step", pa.int64()),
            ("epoch", pa.int64()),
            ("loss", pa.float64()),
            ("lr", pa.float64()),  # of the head
            ("gradient_norm", pa.float64()),  # before it was clipped
            ("seconds_data", pa.float64()),
            ("seconds_forward", pa.float64()),
            ("seconds_backward", pa.float64()),
            ("seconds_optimizer", pa.float64()),
            ("seconds_refresh", pa.float64()),
            ("images_per_second", pa.float64()),
            ("reduced_bytes", pa.int64()),  # handed over to be summed over workers
            ("weights_bytes", pa.int64()),
            ("gradient_bytes", pa.int64()),
            ("optimizer_state_bytes", pa.int64()),
            ("peak_memory_bytes", pa.int64()),
        ]
    ),
    "scores": pa.schema(
        [
            *_TRIAL,
            ("step", pa.int64()),
            ("epoch", pa.int64()),
            ("split", pa.string()),
            _RESOLUTION,
            *_SCORE,
            ("n", pa.int64()),
            ("direction", pa.string()),  # maximize or minimize: which values are better
            ("unit", pa.string()),  # fraction, px, mm or another
            ("label", pa.string()),  # the metric as it is written for a person
            ("prompts", pa.string()),  # boxes that the system was told: none, truth, ...
        ]
    ),
    "images": pa.schema(
        [
            *_TRIAL,
            ("split", pa.string()),
            _RESOLUTION,
            ("sample_id", pa.string()),  # of a case's value, the case's
            ("patient_id", pa.string()),
            ("scope", pa.string()),  # whether the value is of the image or of its case
            ("case_id", pa.string()),  # the volume that the image is a slice of, or the sample
            *_SCORE,
        ]
    ),
    "pictures": pa.schema(
        [
            *_TRIAL,
            ("split", pa.string()),
            ("sample_id", pa.string()),
            ("kind", pa.string()),  # image, depth, truth, prediction, or a map of the system's own
            ("png", pa.binary()),
        ]
    ),
}
KEYS: Mapping[TableName, tuple[str, ...]] = {
    "trials": ("trial_id",),
    "steps": ("trial_id", "step"),
    "scores": ("trial_id", "epoch", "split", "resolution", "class_name", "metric", "protocol"),
    "images": ("trial_id", "split", "resolution", "sample_id", "class_name", "metric", "protocol"),
    "pictures": ("trial_id", "split", "sample_id", "kind"),
}
"""What makes a row of a table one of a kind, attempts apart."""
STREAMS = 16
"""Files of an object store that are read at a time."""
PATIENCES = (0.025, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds before each further try to read an object that was replaced meanwhile."""
_NOT_WIDE = ("metric", "protocol", "value", "n", "direction", "unit", "label")
"""Columns that the wide form of a table has no place for: they differ from metric to metric."""


def table_dir(storage: Storage, study: str, table: TableName) -> Place:
    """The folder that holds a table's files."""
    return Place.of(storage) / study / "tables" / table


def write(
    storage: Storage, study: str, table: TableName, rows: Iterable[Mapping[str, Any]]
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
    file = table_dir(storage, study, table) / _file(filled[0]["trial_id"], filled[0]["attempt"])
    file.write(content.getvalue())
    return file


def read(
    storage: Storage,
    study: str,
    table: TableName,
    *,
    wide: bool = False,
    trial_id: str | None = None,
) -> pa.Table:
    """A table of a study: the latest attempt's state, never a row twice.

    Args:
        storage: the folder that holds the studies.
        study: its name.
        table: which table.
        wide: one column per metric and protocol (`dice.per_image`) in place of the columns
            `metric`, `protocol`, `value`; for `scores` and `images`.
        trial_id: the rows of this trial alone, without a look at the others' files.

    Returns:
        The rows of each trial together, in the order in which they were written; no row where
        nothing was written yet.

    Raises:
        ValueError: `wide` is asked of a table without metrics.
    """
    schema = SCHEMAS[table]
    if wide and "metric" not in schema.names:
        raise ValueError(f"{table} has no metrics to widen: wide=True is for scores and images")
    folder = table_dir(storage, study, table)
    files = folder.files(_file("*" if trial_id is None else trial_id, "*"))
    if trial_id is not None:  # `x-a1` is another trial than `x`
        files = [f for f in files if _trial_of(f) == trial_id]
    if not files:
        return schema.empty_table()
    # The schema gives rows of an older version the columns of this one, as nulls.
    rows = _dataset(files, schema).to_table()
    if len({_trial_of(f) for f in files}) < len(files):
        rows = _latest(rows, list(KEYS[table]))
    return _pivot(rows) if wide else rows


def next_attempt(storage: Storage, study: str, trial_id: str) -> int:
    """1 for a trial that never ran, else one more than its last attempt."""
    return 1 + max(
        (
            int(f.name.removesuffix(".parquet").rpartition("-a")[2])
            for f in table_dir(storage, study, "trials").files(_file(trial_id, "*"))
            if _trial_of(f) == trial_id
        ),
        default=0,
    )


def last_written(storage: Storage, study: str, trial_id: str, attempt: int) -> datetime | None:
    """When a trial's row was last rewritten, which every epoch does; None where it has none."""
    return (table_dir(storage, study, "trials") / _file(trial_id, attempt)).modified()


def _dataset(files: Sequence[Place], schema: pa.Schema) -> ds.Dataset:
    if files[0].local is not None:
        return ds.dataset([f.path for f in files], schema=schema, format="parquet")
    parquet = ds.ParquetFileFormat()
    with ThreadPoolExecutor(STREAMS) as streams:
        whole = list(streams.map(_whole, files))
    fragments = [parquet.make_fragment(pa.BufferReader(content)) for content in whole]
    return ds.FileSystemDataset(fragments, schema, parquet)


def _whole(file: Place) -> bytes:
    """An object that is replaced while it is read comes in pieces of both: it is read again.

    Raises:
        ValueError: it is no Parquet file, however often it is read.
    """
    for patience in (*PATIENCES, 0):
        try:
            content = file.read()
            pq.read_metadata(pa.BufferReader(content))
            return content
        except (pa.ArrowInvalid, OSError):
            if not patience:
                raise
            time.sleep(patience)
    raise AssertionError


def _file(trial_id: str, attempt: int | str) -> str:
    return f"{trial_id}-a{attempt}.parquet"


def _trial_of(file: Place) -> str:
    return file.name.rpartition("-a")[0]


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
