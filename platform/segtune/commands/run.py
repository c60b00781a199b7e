"""`segtune run`: train what is left of a study."""

import argparse
import os
import re
import shlex
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from segtune.commands.shared import (
    DEFAULT_STORAGE,
    TRACKERS,
    changed_study,
    log_argument,
    storage_argument,
    study_arguments,
    study_file,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from segtune.execution.resources import Resources
    from segtune.observers.webhook import Message
    from segtune.results.storage import Storage

HELP = "train what is left of a study"


def arguments(parser: argparse.ArgumentParser) -> None:
    """A study, where its results go, and what it runs on."""
    study_arguments(parser)
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
    parser.add_argument("--cpus-per-worker", type=float, default=1, help="(default: %(default)s)")
    parser.add_argument("--gpus-per-worker", type=float, default=0, help="(default: %(default)s)")
    parser.add_argument("--concurrent", type=int, help="most trials at a time; default: what fits")
    parser.add_argument(
        "--patience",
        type=float,
        default=30,
        metavar="MINUTES",
        help="without a step, after which a worker is given up as hanging (default: %(default)s)",
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the study; 1 where trials failed."""
    from segtune.observers import webhook

    url = webhook.address(args.notify)

    def tell(message: "Message") -> None:
        if url is not None and (why := webhook.send(url, message)):
            console.print(f"No notification was sent: {why}", style="yellow", highlight=False)

    return _train(args, console, tell)


def _train(args: argparse.Namespace, console: Console, tell: "Callable[[Message], None]") -> int:
    """Run it, and tell how it ended."""
    # The imports below take seconds: say something first.
    console.print(f"{args.study}: looking it over ...", highlight=False)
    from segtune.commands.datasets.describe import describe_once
    from segtune.doctor.processes import PROC, ray_instances
    from segtune.execution import runner
    from segtune.execution.part import Part
    from segtune.observers import trackers
    from segtune.observers.composite import CompositeObserver
    from segtune.observers.console import ConsoleObserver
    from segtune.observers.links import LinksObserver
    from segtune.observers.prometheus import PrometheusObserver
    from segtune.observers.tracking import TrackingObserver
    from segtune.observers.webhook import Message
    from segtune.results.storage import Place
    from segtune.study.rates import unusual_rates
    from segtune.study.spec import Search

    named = changed_study(args)
    resources, part = asked(args), Part(arms=args.arms, seeds=args.seeds)
    address = args.address or os.environ.get("RAY_ADDRESS")
    others = ray_instances() if address is None and PROC.is_dir() else set()  # Linux

    def say(text: str) -> None:
        console.print(Text(text, style="yellow"), soft_wrap=True)

    for line in unusual_rates(named.study):
        say(line)
    tools = trackers.make(args.log or TRACKERS[:1], args.storage, named.name)
    where = {tool.name: tool.check() for tool in tools}
    with ExitStack() as open_ones:
        progress = open_ones.enter_context(ConsoleObserver(console, named.name))
        is_search = isinstance(named.study, Search)
        logs = [
            open_ones.enter_context(TrackingObserver(tool, args.storage, named.name, say))
            for tool in tools
        ]
        observer = CompositeObserver(
            progress,
            LinksObserver(
                console,
                args.storage,
                named.name,
                is_search=is_search,
                logs=where,
                others=others,
            ),
            *logs,
            PrometheusObserver(named.name),
        )
        try:
            outcome = runner.run(
                named.study,
                named.name,
                args.storage,
                resources,
                observer,
                address=args.address,
                file=study_file(args),
                undecided=_undecided,
                part=part,
            )
        except KeyboardInterrupt:
            tell(Message(f"{named.name} was interrupted", named.name, "interrupted"))
            raise
        except runner.StudyStopped as stopped:
            tell(Message(f"{named.name} stopped: {stopped}", named.name, "stopped"))
            print(
                f"segtune: the study stopped: {stopped}. What its trials wrote is kept: with that "
                "mended, the same command goes on",
                file=sys.stderr,
            )
            return 1
    text = f"{named.name} is done: {outcome.total} trials, {len(outcome.failed)} of them failed"
    status = "failed" if outcome.failed else "finished"
    tell(Message(text, named.name, status, outcome.total, outcome.failed))
    if outcome.ran:
        describe_once(named.study, named.name, args.storage, console)
    elif part.whole:
        console.print(f"{named.name} is finished: all {outcome.total} trials. Nothing to do.")
    else:
        console.print(f"This part of {named.name} is finished. Nothing to do.")
    if outcome.failed:
        console.print(
            Text(f"{len(outcome.failed)} of {outcome.total} trials failed", style="red"),
            f": {', '.join(outcome.failed)}. The same command tries them again.",
            sep="",
        )
        if named.study.sequential is not None:
            console.print("No arm gets further seeds until all trials of a look have finished.")
    if outcome.lacking:
        console.print(
            f"{outcome.lacking} fewer finalists than asked for: no other trial finished within the "
            "constraints, with other settings. More trials may: --num-samples +10, for example."
        )
    storage = shlex.quote(str(args.storage))
    again = "" if args.storage == Place.of(DEFAULT_STORAGE) else f" --storage {storage}"
    console.print(f"Now: segtune report {named.name}{again}", highlight=False)
    return 1 if outcome.failed else 0


def _undecided(storage: "Storage", study: str, seeds: int) -> "Collection[str]":
    """See `segtune.report.evidence.sequential.looks.undecided`."""
    # It takes the report, a second, which studies that look but once need not wait for.
    from segtune.report.evidence.sequential.looks import undecided

    return undecided(storage, study, seeds)


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
    )
