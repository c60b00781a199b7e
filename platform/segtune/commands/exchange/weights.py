"""`segtune weights`: the pretrained weights that a study needs, and whether they are there."""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console

from segtune.commands.shared import changed_study, study_arguments

if TYPE_CHECKING:
    from segcore.systems.weight_files import WeightFile

HELP = "the pretrained weights that a study needs: source, licence, size, hash and place"


def arguments(parser: argparse.ArgumentParser) -> None:
    """A study, and whether to look into the files."""
    study_arguments(parser)
    parser.add_argument(
        "--check",
        action="store_true",
        help="also read the files: hashes that are known, names and shapes of every tensor; exit "
        "code 2 where one is missing or damaged",
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """List the files; 2 where `--check` finds a fault. Nothing is downloaded."""
    from segcore.systems.weight_files import weight_files
    from segcore.systems.weights import only_cached
    from segtune.execution.preflight import every_trial, faults_of

    named = changed_study(args)
    trials = every_trial(named.study)
    users: dict[WeightFile, set[str | None]] = {}
    for trial in trials:
        for file in weight_files(trial.config.system):
            users.setdefault(file, set()).add(trial.arm)
    if not users:
        console.print(
            f"{named.name} needs no file: its weights are packaged or random", highlight=False
        )
        return 0
    systems = {repr(trial.config.system): trial.config.system for trial in trials}
    arms = {trial.arm for trial in trials}
    for file, using in users.items():
        told = "all arms" if using == arms else ", ".join(sorted(map(str, using)))
        console.print("\n".join(_lines(file, told)), "", sep="\n", highlight=False)
    there = sum(file.is_there for file in users)
    console.print(f"{there} of {len(users)} files are there", highlight=False)
    if not args.check:
        return 0
    faults = [fault for file in users if (fault := file.fault()) is not None]
    if not faults:
        with only_cached({file.place: f"{file.field}.checkpoint" for file in users}):
            faults = faults_of(*(system.check_weights for system in systems.values()))
    if faults:
        raise ValueError("\n".join(dict.fromkeys(faults)))
    console.print("Every file is whole and fits its network", highlight=False)
    return 0


def _lines(file: "WeightFile", arms: str) -> Iterator[str]:
    """What is known of a file."""
    yield f"{file.name}  ({file.field} of {arms})"
    about = file.published
    yield f"    source       {about.source}"
    yield f"    licence      {about.licence}"
    path = file.destination
    if path is None or not path.is_file():
        size = "see its page" if about.megabytes is None else f"about {about.megabytes} MB"
        yield f"    size         {size}"
        yield "    SHA-256      not there, so not known"
        where = f"put it at {path}" if path is not None else f"hf download {file.place}"
        yield f"    destination  MISSING: {where}, or --set {file.field}.checkpoint=PLACE"
        return
    yield f"    size         {path.stat().st_size / 1e6:.1f} MB"
    yield f"    SHA-256      {file.sha256()}"
    yield f"    destination  {path}"
