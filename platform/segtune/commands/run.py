"""`segtune run`: train what is left of a study."""

import argparse
import os
import re
import sys
from typing import TYPE_CHECKING

from rich.console import Console

from segtune.commands.shared import (
    budget,
    log_argument,
    price_argument,
    storage_argument,
    study_arguments,
)

if TYPE_CHECKING:
    from segtune.commands.one_study import OneStudy
    from segtune.execution.order import Ready
    from segtune.execution.resources import Resources
    from segtune.observers.webhook import Message
    from segtune.study.catalog import Named

HELP = "train what is left of a study, or of several"
REFUSED = 2
"""Exit code of a study that was not started."""
ENDED = {0: "finished", 4: "is out of budget", 1: "failed", REFUSED: "was not run"}
WORST = tuple(ENDED)
"""Exit codes, the worst one last."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Studies, where their results go, and what they run on."""
    study_arguments(parser, several=True)
    storage_argument(parser)
    parser.add_argument("--address", help="a Ray cluster; default: $RAY_ADDRESS, else a local one")
    log_argument(parser)
    parser.add_argument(
        "--notify",
        metavar="URL",
        help="a webhook that is told when the run ends, in JSON (Slack's: its text); default: "
        "$SEGTUNE_NOTIFY. The address is kept nowhere",
    )
    resource_arguments(parser)
    part_arguments(parser)


def part_arguments(parser: argparse.ArgumentParser) -> None:
    """Which trials of an ablation are trained."""
    parser.add_argument(
        "--arms",
        nargs="+",
        action="extend",
        metavar="ARM",
        help="train these arms of an ablation alone; the same command without it trains the others",
    )
    parser.add_argument(
        "--seeds",
        nargs="+",
        action="extend",
        type=int,
        metavar="SEED",
        help="train with these seeds of an ablation alone",
    )


def resource_arguments(parser: argparse.ArgumentParser) -> None:
    """How a study is run."""
    parser.add_argument(
        "--workers",
        default="1",
        metavar="N|MIN:MAX",
        help="per trial; MIN:MAX: as many as there is room for, as nodes come and go (default: 1)",
    )
    parser.add_argument(
        "--cpus-per-worker",
        type=float,
        default=1,
        help="threads of torch, of loading and of scoring (default: %(default)s)",
    )
    parser.add_argument("--gpus-per-worker", type=float, default=0, help="(default: %(default)s)")
    parser.add_argument("--concurrent", type=int, help="most trials at a time; default: what fits")
    parser.add_argument(
        "--patience",
        type=float,
        default=30,
        metavar="MINUTES",
        help="without a step, after which a worker is given up as hanging (default: %(default)s)",
    )
    price_argument(parser)
    parser.add_argument(
        "--budget",
        type=budget,
        metavar="20h|50EUR",
        help="start no further trial once the trials of these studies have taken so many hours, "
        "one after another, or so much money by --price-per-hour; earlier runs count. The same "
        "command with more goes on",
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the studies, one after another in one Ray; the worst of their exit codes."""
    from segtune.observers import webhook

    url = webhook.address(args.notify)

    def tell(message: "Message") -> None:
        if url is not None and (why := webhook.send(url, message)):
            console.print(f"No notification was sent: {why}", style="yellow", highlight=False)

    # The imports below take seconds: say something first.
    console.print(f"{', '.join(args.study)}: looking over ...", highlight=False)
    from segtune.execution.ray_cluster import SharedCluster, check_token

    address = args.address or os.environ.get("RAY_ADDRESS")
    if address is not None:  # at once: to look the studies over takes seconds
        check_token(address)
    from segtune.commands import one_study
    from segtune.doctor.processes import PROC, ray_instances

    ready = _look_over(args)
    others = ray_instances() if address is None and PROC.is_dir() else set()  # Linux
    codes: dict[str, int] = {}
    unforeseen: Exception | None = None
    with SharedCluster(args.address) as shared:
        for one, looked_over in ready:
            name = one.named.name
            try:
                codes[name] = one_study.train(one, looked_over, shared, console, others, tell)
            except Exception as error:
                if len(ready) == 1:
                    raise
                if not isinstance(error, ValueError | OSError):
                    unforeseen = unforeseen or error
                print(f"segtune: {name}: {error or repr(error)}", file=sys.stderr)
                codes[name] = REFUSED
    if len(codes) > 1:
        told = ", ".join(f"{name} {ENDED[code]}" for name, code in codes.items())
        console.print(f"{len(codes)} studies: {told}.", highlight=False)
    if unforeseen is not None:
        raise unforeseen
    return max(codes.values(), key=WORST.index)


def _look_over(args: argparse.Namespace) -> "list[tuple[OneStudy, Ready]]":
    """Each study, looked over.

    Raises:
        SpecError: all that is wrong with any of them.
    """
    from segtune.commands import one_study
    from segtune.commands.shared import changed_study
    from segtune.execution.order import look_over
    from segtune.study.money import check_budget
    from segtune.study.overrides import SpecError

    several, faults = len(args.study) > 1, list[str]()

    def collect(study: str, error: ValueError) -> None:
        found = error.faults if isinstance(error, SpecError) else [str(error)]
        faults.extend(f"{study}: {fault}" if several else fault for fault in found)

    try:
        check_budget(args.budget, args.price_per_hour)
    except SpecError as error:
        faults += error.faults
    if several and args.name is not None:
        faults.append("--name: several studies have a name each: leave it out")
    found: dict[str, tuple[Named, argparse.Namespace]] = {}
    for study in args.study:
        own = {"study": study, "name": None if several else args.name}
        one = argparse.Namespace(**{**vars(args), **own})
        try:
            named = changed_study(one)
        except ValueError as error:
            collect(study, error)
            continue
        if named.name in found:
            faults.append(
                f"two studies are called {named.name}, and would be one: rename a file, or run one "
                "alone with --name"
            )
        found[named.name] = (named, one)
    ready = []
    for named, one in found.values():
        try:
            ordered = one_study.order(named, one, asked(one), tuple(found))
            ready.append((ordered, look_over(ordered.order, args.address)))
        except ValueError as error:
            collect(named.name, error)
    if faults:
        raise SpecError(list(dict.fromkeys(faults)))
    return ready


def asked(args: argparse.Namespace) -> "Resources":
    """What `resource_arguments` were given.

    Raises:
        SpecError: --workers is neither a number nor two.
    """
    from segtune.execution.resources import Resources
    from segtune.study.overrides import SpecError

    least, colon, most = args.workers.partition(":")
    if not re.fullmatch(r"-?\d+(:\d+)?", args.workers):
        raise SpecError([f"--workers {args.workers}: give a number, such as 2, or two, as in 1:4"])
    return Resources(
        workers=int(least),
        max_workers=int(most) if colon else None,
        cpus_per_worker=args.cpus_per_worker,
        gpus_per_worker=args.gpus_per_worker,
        concurrent=args.concurrent,
        patience=60 * args.patience,
        price_per_hour=args.price_per_hour,
    )
