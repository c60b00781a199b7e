"""`segtune verify`: whether what a bundle says of itself is so."""

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from segtune.commands.shared import load_plugins, locations, path, plugin_argument

if TYPE_CHECKING:
    from pathlib import Path

    from segtune.commands.bundling.check import Checked
    from segtune.commands.bundling.retrain import Again

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
    parser.add_argument(
        "--retrain",
        type=int,
        metavar="K",
        help="train K random finished trials again on this machine (which takes the extra `train` "
        "and the data): whether all scores are equal, digit for digit, or else the macro score is "
        "no farther away than two seeds of the arm are from each other in 95 of 100 pairs: "
        "t(0.975, n - 1) * sd * sqrt(2), of the arm's n other seeds, at least 2. One thread, "
        "unless OMP_NUM_THREADS says otherwise",
    )
    parser.add_argument(
        "--seed", type=int, help="of the choice of trials (default: a new one, which is printed)"
    )
    parser.add_argument(
        "--set",
        dest="locations",
        metavar="FIELD=PLACE",
        action="append",
        default=[],
        help="where data and weights lie for --retrain, as in --set data.root=FOLDER: no table "
        "says it",
    )
    plugin_argument(parser)


def run(args: argparse.Namespace, console: Console) -> int:
    """Check the bundle; 1 where something does not hold."""
    import tempfile
    from pathlib import Path

    from segtune.commands.bundling.check import check

    _check_options(args)
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder, "bundle")
        there.mkdir()
        with Console(stderr=True).status("computing the claims again ..."):
            found = check(args.bundle, there)
        expected = _expected(args.expect, found.digest)
        holds = found.holds and expected is None
        if not args.json:
            for line in _told(found, expected, holds):
                console.print(line, soft_wrap=True)
        again: tuple[Again, ...] = ()
        if args.retrain is not None and not holds:
            print("segtune: nothing is trained again of what does not hold", file=sys.stderr)
        elif args.retrain is not None:
            again = _retrain(args, there, found.manifest.study, Path(folder, "again"))
    if args.json:
        print(json.dumps(_as_json(found, expected, holds, again), indent=2))
    else:
        for one in again:
            console.print(_trained(one), soft_wrap=True)
    return 0 if holds and all(one.holds for one in again) else 1


def _check_options(args: argparse.Namespace) -> None:
    """Refuse what would do nothing.

    Raises:
        SpecError: options of --retrain without it.
    """
    from segtune.study.overrides import SpecError

    given = {"--seed": args.seed is not None, "--set": args.locations, "--plugin": args.plugins}
    if args.retrain is None and (idle := [option for option, there in given.items() if there]):
        raise SpecError([f"{', '.join(idle)}: only with --retrain"])


def _retrain(
    args: argparse.Namespace, storage: "Path", study: str, into: "Path"
) -> "tuple[Again, ...]":
    """Train some of its trials again, and say on the way what is done.

    Raises:
        ValueError: there are fewer trials, or data or weights are not there.
    """
    import secrets

    from segtune.commands.bundling.retrain import choose, configure, retrain

    load_plugins(args)
    seed = secrets.randbelow(10**6) if args.seed is None else args.seed
    rows = choose(storage, study, args.retrain, seed)
    trials = [configure(row, locations(args)) for row in rows]
    screen, again = Console(stderr=True), []
    screen.print(f"trials chosen with --seed {seed}", highlight=False)
    for place, (row, trial) in enumerate(zip(rows, trials, strict=True), 1):
        what = f"{trial.trial_id} ({place} of {len(rows)})"
        screen.print(f"training {what}", highlight=False)
        with screen.status("") as shown:

            def tell(epoch: int, epochs: int, what: str = what, shown: Any = shown) -> None:
                shown.update(f"{what}: epoch {epoch} of {epochs}")

            again.append(retrain(storage, study, row, trial, into, tell))
    return tuple(again)


def _trained(one: "Again") -> Text:
    style = "green" if one.holds else "yellow" if one.word in ("unknown", "unlike") else "red"
    now = "" if one.again is None else f", now {one.again:.6f}"
    return Text.assemble(
        f"trained again: {one.trial_id}: ",
        (one.word, style),
        f": {one.measure} {one.recorded:.6f}{now}: {one.why}",
    )


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
                (f"{len(faults)} not as recorded", "red") if faults else (good, "green"),
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


def _as_json(
    found: "Checked", expected: str | None, holds: bool, again: "tuple[Again, ...]"
) -> dict[str, Any]:
    return {
        "study": found.manifest.study,
        "manifest": f"sha256:{found.digest}",
        "expected": expected is None,
        "holds": holds,
        "unfinished": found.manifest.unfinished,
        "files": list(found.files),
        "claims": list(found.claims),
        "retrained": [{**vars(one), "holds": one.holds} for one in again],
    }
