"""One study of a `segtune run`: looked over, trained, and what is told at its end."""

import argparse
import shlex
import sys
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from segtune.commands.datasets.describe import describe_once
from segtune.commands.shared import DEFAULT_STORAGE, TRACKERS, study_file
from segtune.commands.status import duration
from segtune.execution import runner
from segtune.execution.estimate import measured
from segtune.execution.launch import StudyStopped
from segtune.execution.order import Order, Ready
from segtune.execution.ray_cluster import SharedCluster
from segtune.execution.resources import Resources
from segtune.observers import trackers
from segtune.observers.composite import CompositeObserver
from segtune.observers.console import ConsoleObserver
from segtune.observers.links import LinksObserver
from segtune.observers.prometheus import PrometheusObserver
from segtune.observers.tracking import Tracker, TrackingObserver
from segtune.observers.webhook import Message
from segtune.results.spending import Allowance
from segtune.results.storage import Place, Storage
from segtune.study.catalog import Named
from segtune.study.part import Part
from segtune.study.rates import unusual_rates
from segtune.study.spec import Search

FINISHED, FAILED, OUT_OF_BUDGET = 0, 1, 4
"""Exit codes."""


@dataclass(frozen=True)
class OneStudy:
    """A study that is to be run."""

    named: Named
    order: Order
    tools: list[Tracker]
    """That its trials are logged to."""
    where: dict[str, str]
    """Tool -> where its runs are, or the command that shows them."""


def order(
    named: Named, args: argparse.Namespace, resources: Resources, names: tuple[str, ...]
) -> OneStudy:
    """A study as it is to be run.

    Args:
        named: the study.
        args: of `segtune run`, with this study alone.
        resources: how it runs.
        names: of the studies that share the budget.

    Raises:
        ValueError: a tracking tool does not answer.
    """
    shared = None if args.budget is None else Allowance(args.budget, args.storage, names)
    ordered = Order(
        named.study,
        named.name,
        args.storage,
        resources,
        _undecided,
        Part(arms=args.arms, seeds=args.seeds),
        study_file(args),
        shared,
    )
    tools = trackers.make(args.log or TRACKERS[:1], args.storage, named.name)
    return OneStudy(named, ordered, tools, {tool.name: tool.check() for tool in tools})


def _undecided(storage: Storage, study: str, seeds: int) -> Collection[str]:
    """See `segtune.report.evidence.sequential.looks.undecided`."""
    # It takes the report, a second, which studies that look but once need not wait for.
    from segtune.report.evidence.sequential.looks import undecided

    return undecided(storage, study, seeds)


def train(
    one: OneStudy,
    ready: Ready,
    shared: SharedCluster,
    console: Console,
    others: Collection[str],
    tell: Callable[[Message], None],
) -> int:
    """Train what is left of a study, and tell how it ended.

    Args:
        one: the study.
        ready: the same, looked over.
        shared: where it runs.
        console: where to print.
        others: addresses of Ray clusters that already ran on this machine.
        tell: is told the same as a message.

    Returns:
        The exit code.

    Raises:
        ValueError: it was not started.
    """
    name = one.named.name

    def say(text: str) -> None:
        console.print(Text(text, style="yellow"), soft_wrap=True)

    for line in unusual_rates(one.named.study):
        say(line)
    with ExitStack() as open_ones:
        storage, is_search = one.order.storage, isinstance(one.named.study, Search)
        observer = CompositeObserver(
            open_ones.enter_context(ConsoleObserver(console, name)),
            LinksObserver(
                console, storage, name, is_search=is_search, logs=one.where, others=others
            ),
            *(
                open_ones.enter_context(TrackingObserver(tool, storage, name, say))
                for tool in one.tools
            ),
            PrometheusObserver(name),
        )
        try:
            outcome = runner.train(ready, observer, shared)
        except KeyboardInterrupt:
            tell(Message(f"{name} was interrupted", name, "interrupted"))
            raise
        except StudyStopped as stopped:
            tell(Message(f"{name} stopped: {stopped}", name, "stopped"))
            print(
                f"segtune: the study stopped: {stopped}. What its trials wrote is kept: with that "
                "mended, the same command goes on",
                file=sys.stderr,
            )
            return FAILED
    tell(_message(name, outcome))
    return _told(one, outcome, console)


def _message(name: str, outcome: runner.Outcome) -> Message:
    text = f"{name} is done: {outcome.total} trials, {len(outcome.failed)} of them failed"
    status = "failed" if outcome.failed else "finished"
    if outcome.out_of_budget:
        text, status = f"{name}: its budget is spent, and trials are left", "out of budget"
    return Message(text, name, status, outcome.total, outcome.failed)


def _told(one: OneStudy, outcome: runner.Outcome, console: Console) -> int:
    """Say how a study ended; the exit code."""
    named, order = one.named, one.order
    if outcome.ran:
        describe_once(named.study, named.name, order.storage, console)
    elif outcome.out_of_budget:
        pass
    elif order.part.whole:
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
    if outcome.out_of_budget:
        console.print(Text(_missing(order), style="yellow"), soft_wrap=True)
    storage = shlex.quote(str(order.storage))
    again = "" if order.storage == Place.of(DEFAULT_STORAGE) else f" --storage {storage}"
    console.print(f"Now: segtune report {named.name}{again}", highlight=False)
    if outcome.failed:
        return FAILED
    return OUT_OF_BUDGET if outcome.out_of_budget else FINISHED


def _missing(order: Order) -> str:
    """What a budget was spent on, and what it would take to go on."""
    assert order.allowance is not None
    took, budget = order.allowance.spent(), order.allowance.budget
    spent = duration(took.seconds) + ("" if took.money is None else f", {took.money}")
    text = f"The budget of {budget} is spent: {spent}."
    if budget.money is not None and took.unpriced_seconds:
        text += f" {duration(took.unpriced_seconds)} of it had no price and are not counted."
    left = measured(order.study, order.name, order.storage)
    if left is not None:
        price = order.resources.price_per_hour
        money = "" if price is None else f", {price * (left.seconds / 3600)}"
        text += (
            f" Trials of {order.name} that are missing: {left.left}, some "
            f"{duration(left.seconds)}{money} by the pace of those that ran."
        )
    return f"{text} The same command with a larger --budget goes on."
