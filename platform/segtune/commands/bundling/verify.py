"""`segtune verify`: whether what a bundle says of itself is so."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from segtune.commands.shared import path

if TYPE_CHECKING:
    from segtune.commands.bundling.check import Checked

HELP = "whether a bundle's tables are unchanged and give what its report claims"
SHOWN = 20
"""Faults of a kind that are shown; --json has all."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """A bundle and the hash that its manifest should have."""
    parser.description = (
        "Compares every file and row of a bundle with the hashes in its manifest, and computes "
        "every claim of the report again from the tables, without torch. Exit code 0: all holds; "
        "1: something does not; 2: this is no bundle. What it can't show: whoever changes tables, "
        "hashes and claims alike makes another bundle that holds. Its manifest has another hash: "
        "compare that with a printed one (--expect). That the tables came from the trainings that "
        "they name, only training again shows."
    )
    parser.add_argument("bundle", type=path, metavar="BUNDLE", help="as segtune bundle wrote it")
    parser.add_argument(
        "--expect", metavar="HASH", help="what the manifest's hash should be, as it was printed"
    )
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")


def run(args: argparse.Namespace, console: Console) -> int:
    """Check the bundle; 1 where something does not hold."""
    import tempfile
    from pathlib import Path

    from segtune.commands.bundling.check import check

    with tempfile.TemporaryDirectory() as folder:
        with Console(stderr=True).status("computing the claims again ..."):
            found = check(args.bundle, Path(folder))
        expected = _expected(args.expect, found.digest)
        holds = found.holds and expected is None
        if args.json:
            print(json.dumps(_as_json(found, expected, holds), indent=2))
        else:
            for line in _told(found, expected, holds):
                console.print(line, soft_wrap=True)
    return 0 if holds else 1


def _expected(text: str | None, digest: str) -> str | None:
    """What is wrong with the manifest's hash; None: nothing.

    Raises:
        ValueError: the text is no hash.
    """
    import re

    if text is None:
        return None
    wanted = text.strip().lower().removeprefix("sha256:")
    if not re.fullmatch(r"[0-9a-f]{64}", wanted):
        raise ValueError(f"--expect {text}: give the 64 digits that segtune bundle printed")
    return None if wanted == digest else f"it should be sha256:{wanted}: this is another bundle"


def _told(found: "Checked", expected: str | None, holds: bool) -> list[Text]:
    manifest = found.manifest
    claimed = sum(len(values) for values in manifest.claims.values())
    lines = [
        Text.assemble((manifest.study, "bold"), f", bundled by segtune {_writer(found)}"),
        Text.assemble("manifest ", (f"sha256:{found.digest}", "bold")),
    ]
    if expected is not None:
        lines.append(Text(f"  {expected}", style="red"))
    for what, faults, good in (
        ("files and rows", found.files, f"all {len(manifest.files)} files are as recorded"),
        ("claims", found.claims, f"all {claimed:,} values come out again from the tables"),
    ):
        lines.append(
            Text.assemble(
                f"{what}: ",
                (f"{len(faults)} differ", "red") if faults else (good, "green"),
            )
        )
        lines += [Text(f"  {fault}") for fault in faults[:SHOWN]]
        if len(faults) > SHOWN:
            lines.append(Text(f"  and {len(faults) - SHOWN} more: --json has all", style="dim"))
    if manifest.unfinished:
        lines.append(
            Text(
                f"The study was not finished when it was bundled: {manifest.unfinished} trials.",
                style="yellow",
            )
        )
    words = ("It holds.", "bold green") if holds else ("It does not hold.", "bold red")
    lines.append(Text.assemble(words))
    return lines


def _writer(found: "Checked") -> str:
    return str(found.manifest.written_with.get("segtune", "of an unknown version"))


def _as_json(found: "Checked", expected: str | None, holds: bool) -> dict[str, Any]:
    return {
        "study": found.manifest.study,
        "manifest": f"sha256:{found.digest}",
        "expected": expected is None,
        "holds": holds,
        "unfinished": found.manifest.unfinished,
        "files": list(found.files),
        "claims": list(found.claims),
    }
