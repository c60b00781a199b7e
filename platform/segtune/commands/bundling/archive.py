"""The file itself: a zip that is written the same from the same results, and read with care.

    manifest.json                          what is in it, with hashes and claims
    STUDY/study.json, STUDY/reported.toml, STUDY/data.json, STUDY/label_noise.json
    STUDY/tables/TABLE/FILE.parquet        as they lay in the storage
    rows/TABLE/FILE.txt                    a hash of each row

Unpacked, it is a storage: `segtune report STUDY --storage FOLDER` works on it.
"""

import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from segtune.commands.bundling.manifest import NAME
from segtune.results.data_facts import FILE as DATA
from segtune.results.label_noise import FILE as NOISE
from segtune.results.reported import FILE as REPORTED
from segtune.results.tables import TABLES

DESCRIPTIONS = ("study.json", REPORTED, DATA, NOISE)
"""Files beside a study's tables that its report is made from."""
MOST_FILES = 100_000
LARGEST_RATIO = 100
"""A file that unpacks to more than so many times its size is refused (a zip bomb): tables are
compressed already, and text is nowhere near."""
SMALL = 1 << 20
"""Bytes; a file that unpacks to fewer may be as compressible as it likes."""
_TIME = (1980, 1, 1, 0, 0, 0)
"""Of all files: the earliest that a zip can say."""
_PLAIN_FILE = 0o100644 << 16
_LINK, _KIND = 0o120000, 0o170000


class NoBundleError(ValueError):
    """A file that is no bundle, or one that must not be unpacked."""


def table_file(study: str, table: str, name: str) -> str:
    """Where a table's file lies in the bundle."""
    return f"{study}/tables/{table}/{name}"


def rows_file(path: str) -> str:
    """Where the hashes of a table's rows lie."""
    *_, table, name = path.split("/")
    return f"rows/{table}/{name.removesuffix('.parquet')}.txt"


def table_of(path: str) -> str | None:
    """The table that a file of the bundle is of; None for other files."""
    parts = path.split("/")
    is_table = len(parts) == 4 and parts[1] == "tables" and parts[2] in TABLES
    return parts[2] if is_table and path.endswith(".parquet") else None


def write(out: Path, contents: Mapping[str, Path | bytes]) -> None:
    """Write the zip; it appears only once it is whole.

    Nothing is compressed (tables are, by Parquet) and no time of day is in it: other versions of
    zlib, and another day, give the same bytes.
    """
    from segcore.files import whole  # here, since verify does without segcore

    with whole(out) as unfinished, zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED) as file:
        for path in sorted(contents, key=lambda p: (p != NAME, p)):
            content = contents[path]
            entry = zipfile.ZipInfo(path, _TIME)
            entry.create_system, entry.external_attr = 3, _PLAIN_FILE
            file.writestr(entry, content if isinstance(content, bytes) else content.read_bytes())


def unpack(bundle: Path, into: Path) -> tuple[list[str], list[str]]:
    """Unpack a bundle into an empty folder.

    Returns:
        Paths that were unpacked, and those that are damaged: their checksum in the zip is wrong.

    Raises:
        NoBundleError: it is no zip, or holds what no bundle of segtune does: paths that leave the
            folder, links, a name twice, files that unpack to a multiple of their size.
        OSError: it is not there, or can't be read.
    """
    try:
        with zipfile.ZipFile(bundle) as file:
            entries = file.infolist()
            _refuse(bundle, entries)
            good, damaged = [], []
            for entry in entries:
                target = into / entry.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    with file.open(entry) as source, target.open("wb") as unpacked:
                        while part := source.read(SMALL):
                            unpacked.write(part)
                    good.append(entry.filename)
                except (zipfile.BadZipFile, zlib.error, EOFError):
                    target.unlink(missing_ok=True)
                    damaged.append(entry.filename)
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:
        raise NoBundleError(
            f"{bundle} is no bundle: {error}. Make one with segtune bundle STUDY"
        ) from None
    if NAME not in good:
        raise NoBundleError(
            f"{bundle} is no bundle, or it is damaged: it has no readable {NAME}. Make one with "
            "segtune bundle STUDY"
        )
    return good, damaged


def _refuse(bundle: Path, entries: list[zipfile.ZipInfo]) -> None:
    names = Counter(entry.filename for entry in entries)
    faults = [f"a name twice: {name!r}" for name, n in sorted(names.items()) if n > 1]
    if len(entries) > MOST_FILES:
        faults.append(f"{len(entries)} files, more than {MOST_FILES}")
    faults += [f"{fault}: {e.filename!r}" for e in entries if (fault := _fault(e))]
    if faults:
        raise NoBundleError(
            f"{bundle} is refused, nothing of it was unpacked. It holds\n  "
            + "\n  ".join(faults[:10])
        )


def _fault(entry: zipfile.ZipInfo) -> str | None:
    parts = entry.filename.split("/")
    if not all(re.fullmatch(r"[A-Za-z0-9][\w+.-]*", part, re.ASCII) for part in parts):
        return "a path that is none of a bundle's"
    if entry.external_attr >> 16 & _KIND == _LINK:
        return "a link"
    if entry.flag_bits & 1:
        return "an encrypted file"
    if entry.file_size > max(SMALL, LARGEST_RATIO * entry.compress_size):
        return f"a file that would unpack to {entry.file_size / 1e6:,.0f} MB"
    return None


def is_expected(path: str, study: str) -> bool:
    """Whether a bundle of a study may hold a file of this path."""
    if path in (NAME, *(f"{study}/{name}" for name in DESCRIPTIONS)):
        return True
    if table_of(path) is not None:
        return path.startswith(f"{study}/")
    parts = path.split("/")
    return len(parts) == 3 and parts[0] == "rows" and parts[1] in TABLES and path.endswith(".txt")
