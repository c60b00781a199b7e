"""Whether a file of a table holds what a table of segtune's does: Parquet is not enough."""

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from segtune.results.schemas import TableName

NEEDED: Mapping[TableName, Sequence[str]] = {
    "trials": ("trial_id", "attempt"),
    "steps": ("trial_id", "attempt"),
    "scores": ("trial_id", "attempt"),
    "images": ("trial_id", "attempt"),
    "pictures": ("trial_id", "attempt"),
    "evaluations": ("evaluation",),
    "evaluated_images": ("evaluation",),
}
"""Columns without which a row says nothing; every version of segtune has written them."""
_OBJECTS: Mapping[TableName, Sequence[str]] = {"trials": ("config", "changes", "versions")}
"""Columns of JSON objects."""


def check_columns(rows: pa.Table, table: TableName, where: object) -> None:
    """See that rows are a table's.

    Args:
        rows: as they were read, in the table's own schema.
        table: which one.
        where: its folder, for the message.

    Raises:
        ValueError: some lack what every row has, or hold something else in its place.
    """
    empty = [name for name in NEEDED[table] if rows[name].null_count]
    odd = [
        name
        for name in _OBJECTS.get(table, ())
        if not pc.all(pc.starts_with(rows[name], "{"), min_count=0).as_py()
    ]
    if empty or odd:
        raise ValueError(
            f"{where} has a file of other columns or values than segtune writes: "
            f"{', '.join(dict.fromkeys((*empty, *odd)))} can't be read. Move away what was put "
            "there; a trial whose file is gone is trained again by the same `segtune run`"
        )
