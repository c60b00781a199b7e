"""Files of tables, read so that a damaged one is told from the others, and by its name."""

import errno
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from segtune.results.storage import Place

STREAMS = 16
"""Files that are read at a time, where each is asked for by itself."""
PATIENCES = (0.025, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds before each further try to read a file: a network's storage may be gone for a moment, and
an object may be replaced meanwhile."""


class DamagedTable(ValueError):
    """Files of a study's tables are no Parquet files; the message names them."""

    def __init__(self, study: str, files: Mapping[Place, str]) -> None:
        named = "\n".join(f"{file} is damaged: {why}" for file, why in files.items())
        super().__init__(f"{named}\n`segtune run {study}` trains again what was in it")


def rows_of(
    files: Sequence[Place], schema: pa.Schema, odd: Callable[[pa.Table], str | None]
) -> tuple[pa.Table, dict[Place, str]]:
    """All rows of the files of a table, and the files that are none of its, with the reason.

    Args:
        files: the files.
        schema: of the table; it gives the rows of an older version the columns of this one, as
            nulls.
        odd: of rows, what shows that they are not the table's; None where nothing does.

    Raises:
        OSError: the storage does not give a file; the message names it.
    """
    if not files:
        return schema.empty_table(), {}
    try:
        rows = _dataset(files, schema).to_table()
        if odd(rows) is None:
            return rows, {}
    except (pa.ArrowException, OSError):  # which file it is, it does not always say
        pass
    reasons = {f: _reason(f) or _other(f, schema, odd) for f in files if f.is_file()}
    good = [file for file, why in reasons.items() if why is None]
    rows = _dataset(good, schema).to_table() if good else schema.empty_table()
    return rows, {file: why for file, why in reasons.items() if why is not None}


def damaged(files: Sequence[Place]) -> dict[Place, str]:
    """Files whose ends, which say what is in them, are not those of a Parquet file, and why. The
    rest of a file is not looked at.

    Raises:
        OSError: the storage does not give a file; the message names it.
    """

    def check(file: Place) -> str | None:
        try:
            pq.read_metadata(file.path, filesystem=file.filesystem)
        except (pa.ArrowException, OSError):
            return _reason(file)
        return None

    with ThreadPoolExecutor(STREAMS) as streams:
        reasons = dict(zip(files, streams.map(check, files), strict=True))
    return {file: why for file, why in reasons.items() if why is not None}


def _dataset(files: Sequence[Place], schema: pa.Schema) -> ds.Dataset:
    if files[0].local is not None:
        return ds.dataset([f.path for f in files], schema=schema, format="parquet")
    parquet = ds.ParquetFileFormat()
    with ThreadPoolExecutor(STREAMS) as streams:
        whole = list(streams.map(_whole, files))
    fragments = [parquet.make_fragment(pa.BufferReader(content)) for content in whole]
    return ds.FileSystemDataset(fragments, schema, parquet)


def _reason(file: Place) -> str | None:
    """Why a file is no Parquet file; None where it is one."""
    try:
        pq.read_table(pa.BufferReader(_whole(file)))
    except OSError as error:
        if error.errno is None:  # Arrow's own, of what it has read
            return _first_line(error)
        raise
    except pa.ArrowException as error:
        return _first_line(error)
    return None


def _other(file: Place, schema: pa.Schema, odd: Callable[[pa.Table], str | None]) -> str | None:
    """Why a Parquet file is no file of a table; None where it is one."""
    try:
        return odd(_dataset([file], schema).to_table())
    except pa.ArrowException as error:  # columns of other types
        return _first_line(error)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _whole(file: Place) -> bytes:
    """The content of a Parquet file, asked for again where the storage does not give it. An object
    that is replaced while it is read comes in pieces of both: it is asked for again too.

    Raises:
        OSError: the storage does not give it; the message names it.
        pa.ArrowInvalid: it is no Parquet file, however often it is read.
    """
    for patience in (*PATIENCES, 0):
        try:
            content = file.read()
        except OSError as error:
            if not patience or isinstance(error, FileNotFoundError):
                raise OSError(error.errno or errno.EIO, f"can't read {file}: {error}") from error
        else:
            try:
                pq.read_metadata(pa.BufferReader(content))
                return content
            except (pa.ArrowException, OSError):
                if not patience or file.local is not None:  # which is replaced as a whole
                    raise
        time.sleep(patience)
    raise AssertionError
