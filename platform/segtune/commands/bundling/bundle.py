"""`segtune bundle`: tables, definition, origin, hashes and claims of a study in one file."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from segtune.commands.shared import path, storage_argument

if TYPE_CHECKING:
    from segtune.commands.bundling.manifest import File, Manifest
    from segtune.results.storage import Place

HELP = "a study's tables, definition, hashes and claims in one file"


def arguments(parser: argparse.ArgumentParser) -> None:
    """A study, where its results lie, and the file."""
    parser.add_argument("study", metavar="STUDY", help="the name that it was run under")
    storage_argument(parser)
    parser.add_argument("--out", type=path, help="the file; default: STUDY.segtune.zip")


def run(args: argparse.Namespace, console: Console) -> int:
    """Write the bundle and say what is in it."""
    from segtune.commands.bundling.rows import sha256

    out = args.out or Path(f"{args.study}.segtune.zip")
    with Console(stderr=True).status("computing what the report says ..."):
        manifest, content = make(args.storage, args.study, out)
    for line in _told(manifest, out, sha256(content)):
        console.print(line, soft_wrap=True)
    return 0


def make(storage: "Place", study: str, out: Path) -> "tuple[Manifest, bytes]":
    """Write a study's bundle.

    Every file is read once, and the claims are computed from what was read: a study that still
    runs can't change between the two.

    Returns:
        Its manifest, and the bytes of that.

    Raises:
        ValueError: no trial of this name was ever recorded under `storage`.
        OSError: the storage can't be read, or the file not written.
    """
    import tempfile
    from datetime import UTC, datetime

    from segtune.commands.bundling import archive
    from segtune.commands.bundling.claims import claims
    from segtune.commands.bundling.manifest import FORMAT, NAME, VERSION, Manifest, to_bytes
    from segtune.results.status.study import read_status
    from segtune.results.storage import Place
    from segtune.study.validate import check_name

    check_name(study)
    status = read_status(storage, study, datetime.now(UTC))
    running = sum(status.counts.get(state, 0) for state in ("running", "silent"))
    states = {**status.counts, "running": running, "waiting": status.waiting}
    states.pop("silent", None)
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder)
        _copy(storage / study, there / study)
        found = claims(Place.of(there), study)
        contents, files = _files(there)
        manifest = Manifest(
            format=FORMAT,
            version=VERSION,
            study=study,
            trials={state: n for state, n in sorted(states.items()) if n},
            written_with=_software(),
            files=files,
            claims=found,
        )
        content = to_bytes(manifest)
        archive.write(out, {**contents, NAME: content})
    return manifest, content


def _copy(source: "Place", to: Path) -> None:
    """The files of a study that its report is made from."""
    from segtune.commands.bundling.archive import DESCRIPTIONS
    from segtune.results.tables import TABLES

    wanted = [(name, source / name) for name in DESCRIPTIONS]
    for table in TABLES:
        for file in (source / "tables" / table).files("*.parquet"):
            wanted.append((f"tables/{table}/{file.name}", file))
    for inside, file in wanted:
        if file.is_file():
            (to / inside).parent.mkdir(parents=True, exist_ok=True)
            (to / inside).write_bytes(file.read())


def _files(there: Path) -> "tuple[dict[str, Path | bytes], dict[str, File]]":
    """Contents and entries of the copied files, and of the hashes of their rows."""
    import pyarrow.parquet as pq

    from segtune.commands.bundling import archive
    from segtune.commands.bundling.manifest import File
    from segtune.commands.bundling.rows import hash_rows, sha256

    contents: dict[str, Path | bytes] = {}
    files: dict[str, File] = {}
    for file in sorted(f for f in there.rglob("*") if f.is_file()):
        inside, content, columns = file.relative_to(there).as_posix(), file.read_bytes(), None
        if archive.table_of(inside) is not None:
            hashes = hash_rows(pq.read_table(file))
            columns, lines = hashes.columns, "".join(f"{row}\n" for row in hashes.rows).encode()
            contents[archive.rows_file(inside)] = lines
            files[archive.rows_file(inside)] = File(sha256(lines), len(lines))
        contents[inside] = file
        files[inside] = File(sha256(content), len(content), columns)
    return contents, files


def _software() -> dict[str, str]:
    """What the claims are computed with, on this machine."""
    import importlib.metadata
    import platform

    packages = ("segtune", "numpy", "scipy", "pandas", "pyarrow")
    versions = {package: importlib.metadata.version(package) for package in packages}
    return {"python": platform.python_version(), **versions}


def _told(manifest: "Manifest", out: Path, digest: str) -> list[Text]:
    from segtune.commands.bundling.claims import ORIGIN
    from segtune.commands.bundling.rows import DIGITS

    origin: Mapping[str, object] = manifest.claims.get(ORIGIN, {})
    trials = ", ".join(f"{n} {state}" for state, n in manifest.trials.items())
    table_files = sum(file.columns is not None for file in manifest.files.values())
    rows = sum(f.bytes for path, f in manifest.files.items() if path.startswith("rows/")) // (
        DIGITS + 1
    )
    claimed = sum(len(values) for values in manifest.claims.values())
    lines = [
        Text.assemble((str(out), "bold"), f": {out.stat().st_size / 1e6:.1f} MB"),
        Text(f"trials   {trials}"),
        Text(f"tables   {rows:,} rows in {table_files} files"),
        Text(f"claims   {claimed:,} values of the report"),
        Text(f"commit   {origin.get('commit of segtune') or 'not known'}"),
        Text.assemble("manifest ", (f"sha256:{digest}", "bold")),
    ]
    if manifest.unfinished:
        lines.append(
            Text(
                f"The study is not finished: {manifest.unfinished} trials have not ended, or did "
                "not end well. The bundle says so too.",
                style="yellow",
            )
        )
    if origin.get("uncommitted code"):
        lines.append(
            Text("Trials ran uncommitted code: nobody can run that again.", style="yellow")
        )
    lines.append(
        Text(f"Print the manifest's hash in the paper. Now: segtune verify {out}", style="dim")
    )
    return lines
