"""A hash of every row of a table, and a row's name in words.

A row is hashed in a form of its own, not as Parquet's bytes: one cell after another as text (floats
with all their digits, times as microseconds since 1970 in UTC, pictures as their SHA-256), so that
a file which was written anew with the same values has the same rows.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from segtune.results.tables import KEYS, TableName

DIGITS = 16
"""Hexadecimal digits of a row's hash. It only finds the place: files have a whole SHA-256."""
NAMED = 8
"""Rows of one file that are named; the others are counted."""
_KEYS = {
    **KEYS,
    "evaluations": (
        *("evaluation", "trial_id", "arm", "data", "split", "resolution"),
        *("class_name", "metric", "protocol"),
    ),
    "evaluated_images": (
        *("evaluation", "trial_id", "split", "resolution", "sample_id"),
        *("class_name", "metric", "protocol"),
    ),
}
_WORDS = {"trial_id": "trial", "class_name": "class", "sample_id": "sample"}
"""Columns that are called otherwise in a sentence."""


@dataclass(frozen=True)
class Hashes:
    """What a table's file holds, as hashes."""

    rows: tuple[str, ...]
    """In the order of the file."""
    columns: Mapping[str, str]
    """Column -> hash of all its cells, top to bottom."""


def sha256(content: bytes) -> str:
    """64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def hash_rows(table: pa.Table) -> Hashes:
    """Hash each row and each column of a table."""
    columns = {name: _cells(table[name]) for name in table.schema.names}
    rows = zip(*columns.values(), strict=True)
    return Hashes(
        tuple(_short(cells) for cells in rows),
        {name: _short(cells) for name, cells in columns.items()},
    )


def name_row(table: pa.Table, kind: TableName, place: int) -> str:
    """A row by what makes it one of a kind: `trial lora-s0, epoch 5, split test, class ridge`."""
    there = [key for key in _KEYS[kind] if key in table.schema.names]
    values = {key: table[key][place].as_py() for key in there}
    return ", ".join(f"{_WORDS.get(k, k)} {v}" for k, v in values.items() if v is not None)


def differences(recorded: Hashes, table: pa.Table, kind: TableName) -> list[str]:
    """What differs between a table as it was recorded and as it is now, row by row.

    Args:
        recorded: its hashes at the time.
        table: as it is now.
        kind: which table it is of.
    """
    now = hash_rows(table)
    if now.rows == recorded.rows and now.columns == recorded.columns:
        return ["was written anew; its rows are the same"]
    if now.columns.keys() != recorded.columns.keys():
        gone, new = recorded.columns.keys() - now.columns, now.columns.keys() - recorded.columns
        found = [f"column {c} is missing" for c in sorted(gone)]
        return found + [f"column {c} was added" for c in sorted(new)]
    if len(now.rows) == len(recorded.rows):
        if Counter(now.rows) == Counter(recorded.rows):
            return ["its rows stand in another order"]
        columns = [c for c, of in now.columns.items() if of != recorded.columns[c]]
        pairs = enumerate(zip(recorded.rows, now.rows, strict=True))
        places = [place for place, (before, after) in pairs if before != after]
        return _told(places, lambda place: _changed(table, kind, place, columns))
    added, missing = Counter(now.rows), Counter(recorded.rows)
    missing.subtract(now.rows)
    added.subtract(recorded.rows)
    places_new = [i for i, row in enumerate(now.rows) if added[row] > 0]
    places_gone = [i for i, row in enumerate(recorded.rows) if missing[row] > 0]
    out = _told(places_new, lambda i: f"row {i + 1} is new or was changed: {_name(table, kind, i)}")
    of = f"of {len(recorded.rows)}"
    return out + _told(places_gone, lambda i: f"row {i + 1} {of} is gone or was changed")


def _changed(table: pa.Table, kind: TableName, place: int, columns: Sequence[str]) -> str:
    where = f"row {place + 1}: {_name(table, kind, place)}"
    if len(columns) == 1:
        value = table[columns[0]][place].as_py()
        shown = "" if isinstance(value, bytes) else f" (now {value})"
        return f"{where}: {columns[0]} was changed{shown}"
    return f"{where}: something was changed among {', '.join(columns)}"


def _name(table: pa.Table, kind: TableName, place: int) -> str:
    return name_row(table, kind, place) or "without a name"


def _told(places: Sequence[int], tell: Callable[[int], str]) -> list[str]:
    out = [tell(place) for place in places[:NAMED]]
    more = len(places) - NAMED
    return [*out, f"and {more} more rows"] if more > 0 else out


def _cells(column: pa.ChunkedArray) -> list[str]:
    """Each cell as text without a line break."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us", tz=kind.tz)).cast(pa.int64())
    values = column.to_pylist()
    if pa.types.is_floating(kind):
        return ["null" if value is None else repr(value) for value in values]
    if pa.types.is_string(kind):  # mostly the same few
        texts = {value: json.dumps(value) for value in set(values)}
        return [texts[value] for value in values]
    if pa.types.is_binary(kind):
        return ["null" if value is None else sha256(value) for value in values]
    return [json.dumps(value) for value in values]


def _short(cells: Sequence[str]) -> str:
    return sha256("\n".join(cells).encode())[:DIGITS]
