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


def oddness(table: TableName, rows: pa.Table) -> str | None:
    """What shows that rows are none of a table's; None where nothing does.

    Args:
        table: which one.
        rows: as they were read, in the table's own schema.
    """
    empty = [name for name in NEEDED[table] if rows[name].null_count]
    odd = [
        name
        for name in _OBJECTS.get(table, ())
        if not pc.all(pc.starts_with(rows[name], "{"), min_count=0).as_py()
    ]
    if not (empty or odd):
        return None
    return f"its {', '.join(dict.fromkeys((*empty, *odd)))} are not what segtune writes"
