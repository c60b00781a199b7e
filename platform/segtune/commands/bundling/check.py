"""What of a bundle does not hold: files, rows and claims, each by its name."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pq

from segtune.commands.bundling import archive
from segtune.commands.bundling.archive import NoBundleError
from segtune.commands.bundling.claims import claims, unequal
from segtune.commands.bundling.manifest import NAME, File, Manifest, from_bytes
from segtune.commands.bundling.rows import DIGITS, Hashes, differences, sha256
from segtune.results.tables import TableName
from segtune.study.overrides import SpecError
from segtune.study.validate import check_name

MOST_ROWS = 20_000_000
"""Of one file: more are not read, whatever it claims to hold."""


@dataclass(frozen=True)
class Checked:
    """What a bundle says of itself, and what of it does not hold."""

    manifest: Manifest
    digest: str
    """SHA-256 of the manifest."""
    files: tuple[str, ...]
    """What differs among files and rows, in words."""
    claims: tuple[str, ...]
    """Claims that the tables do not give."""

    @property
    def holds(self) -> bool:
        """Whether nothing differs."""
        return not (self.files or self.claims)


def check(bundle: Path, into: Path) -> Checked:
    """Unpack a bundle, then compare hashes and compute its claims again.

    Args:
        bundle: the file.
        into: an empty folder, which is a storage with the study afterwards.

    Raises:
        NoBundleError: it is none, it must not be unpacked, or a later version wrote it.
        OSError: it is not there.
    """
    good, damaged = archive.unpack(bundle, into)
    content = (into / NAME).read_bytes()
    try:
        manifest = from_bytes(content)
        check_name(manifest.study)
    except SpecError:
        raise NoBundleError(f"{bundle} is no bundle: it names no study") from None
    except ValueError as error:
        raise NoBundleError(f"{bundle}: {error}") from None
    files = [f"{path} is damaged: its checksum in the zip is wrong" for path in damaged]
    files += _compare_files(manifest, into, set(good), set(damaged))
    try:
        differing = unequal(manifest.claims, claims(into, manifest.study))
    except Exception as error:  # whatever tables that were tampered with make of the report
        cause = f"{type(error).__name__}: {error}".splitlines()[0]
        differing = [f"none can be computed from these tables: {cause}"]
    return Checked(manifest, sha256(content), tuple(files), tuple(differing))


def _compare_files(manifest: Manifest, into: Path, there: set[str], damaged: set[str]) -> list[str]:
    found = []
    recorded = manifest.files
    for path in sorted(recorded.keys() - there - damaged):
        found.append(f"{path} is missing")
    for path in sorted((there | damaged) - recorded.keys() - {NAME}):
        known = archive.is_expected(path, manifest.study)
        found.append(
            f"{path} was added: the manifest does not have it"
            + ("" if known else ", and no bundle has such a file")
        )
    for path in sorted(recorded.keys() & there):
        content = (into / path).read_bytes()
        if sha256(content) == recorded[path].sha256:
            continue
        table = archive.table_of(path)
        if table is None:
            what = "hashes of rows" if path.startswith("rows/") else "the study's description"
            found.append(f"{path} was changed ({what})")
            continue
        where = f"table {table}, {path.rpartition('/')[2]}"
        found += [f"{where}: {text}" for text in _compare_rows(recorded, path, into, table)]
    return found


def _compare_rows(recorded: Mapping[str, File], path: str, into: Path, table: str) -> list[str]:
    try:
        rows = pq.ParquetFile(into / path).metadata.num_rows
        if rows > MOST_ROWS:
            return [f"was changed; it says that it has {rows:,} rows, which are not read"]
        now = pq.read_table(into / path)
    except (pa.ArrowException, OSError, ValueError) as error:
        return [f"was changed and can't be read: {str(error).splitlines()[0]}"]
    hashes = archive.rows_file(path)
    lines = (into / hashes).read_bytes() if (into / hashes).is_file() else b""
    columns, entry = recorded[path].columns, recorded.get(hashes)
    if columns is None or entry is None or sha256(lines) != entry.sha256:
        return ["was changed; in which row can't be told, since the rows' hashes were changed too"]
    before = tuple(re.findall(f"[0-9a-f]{{{DIGITS}}}", lines.decode()))
    return differences(Hashes(before, columns), now, cast(TableName, table))
