"""`segtune show`: what a study would run, and what it would cost."""

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from segtune.as_json import json_argument, print_json
from segtune.commands.shared import (
    changed_study,
    price_argument,
    storage_argument,
    study_arguments,
)
from segtune.commands.status import duration

if TYPE_CHECKING:
    from segcore.config import TrainConfig
    from segtune.execution.estimate import Measured, Size
    from segtune.execution.preflight import OpenedSets
    from segtune.results.storage import Place
    from segtune.study.catalog import Named
    from segtune.study.money import Money
    from segtune.study.overrides import Changes
    from segtune.study.spec import Search, Study

HELP = "what a study would run, and what it would cost"


def arguments(parser: argparse.ArgumentParser) -> None:
    """A study, changes to it, and where earlier trials of it may lie."""
    study_arguments(parser, optional=True)
    storage_argument(parser)
    price_argument(parser)
    parser.add_argument(
        "--schema",
        action="store_true",
        help="print the JSON Schema of a study as YAML, for editors, and nothing else",
    )
    json_argument(parser)


def run(args: argparse.Namespace, console: Console) -> int:
    """Print the arms or the space, the cost, and the baseline field by field."""
    from segtune.study import yaml_file

    if args.schema:
        print(json.dumps(yaml_file.schema(), indent=2))
        return 0
    if args.study is None:
        raise ValueError("give a study: a name that `segtune list` shows, or a file")
    from segcore.data.scenes.rendered import nothing_kept
    from segtune.execution.estimate import measured
    from segtune.execution.preflight import OpenedSets, data_faults
    from segtune.study.overrides import flatten
    from segtune.study.rates import unusual_rates
    from segtune.study.spec import Search
    from segtune.study.validate import check_name, validate

    named = changed_study(args)
    validate(named.study)
    check_name(named.name)
    if args.json:
        print_json(_as_json(named, args.storage, args.price_per_hour))
        return 0
    past = measured(named.study, named.name, args.storage)
    price = _price(named.name, args.storage, args.price_per_hour)
    console.print(named.description or named.study.question, "", sep="\n", highlight=False)
    opened = OpenedSets()
    with nothing_kept():
        sizes, unknown = _sizes(named.study, opened)
        faults = data_faults(named.study, opened)
    console.print(_table(named.name, named.study, sizes), soft_wrap=False)
    if isinstance(named.study, Search):
        for line in _rules(named.study):
            console.print(Text(line), soft_wrap=True)
    for line in (*_cost(named.study, sizes, past), *_money(past, price)):
        console.print(Text(line), soft_wrap=True)
    for line in unusual_rates(named.study):
        console.print(Text(line, style="yellow"), soft_wrap=True)
    if unknown:
        console.print(Text(f"not counted: {unknown}", style="yellow"), soft_wrap=True)
    for fault in faults:
        if fault not in unknown:
            console.print(Text(f"`segtune run` refuses: {fault}", style="red"), soft_wrap=True)
    console.print()
    baseline = Table(title="baseline", title_justify="left", show_header=False, box=None)
    for field, value in flatten(named.study.baseline).items():
        baseline.add_row(field, repr(value))
    console.print(baseline)
    return 0


def _as_json(named: "Named", storage: "Place", asked: "Money | None") -> dict[str, Any]:
    """What is shown, as values."""
    from segtune.execution.estimate import measured, trials
    from segtune.execution.preflight import OpenedSets, data_faults
    from segtune.study.definition import define
    from segtune.study.rates import unusual_rates

    past, price = measured(named.study, named.name, storage), _price(named.name, storage, asked)
    opened = OpenedSets()
    sizes, _ = _sizes(named.study, opened)
    return {
        "study": named.name,
        "question": named.study.question,
        "definition": define(named.name, named.study),
        "trials": len(list(trials(named.study))),
        "sizes": {arm or "baseline": one for arm, one in sizes.items()},
        "measured": past,
        "price_per_hour": price,
        "money_left": None if past is None or price is None else price * (past.seconds / 3600),
        "faults": data_faults(named.study, opened),
        "warnings": list(unusual_rates(named.study)),
    }


def _sizes(study: "Study", opened: "OpenedSets") -> tuple[dict[str, "Size"], str]:
    """What is counted of each arm (of a search, of its baseline), and why some could not be."""
    from segtune.execution.estimate import size
    from segtune.study.overrides import apply
    from segtune.study.spec import Ablation

    arms = study.all_arms() if isinstance(study, Ablation) else {"": {}}
    found, faults = {}, []
    for arm, changes in arms.items():
        try:
            config: TrainConfig = apply(study.baseline, changes)
            dataset, _ = opened.of(config)
            found[arm] = size(config, dataset)
        except ValueError as error:
            faults.append(str(error))
    return found, "\n".join(dict.fromkeys(faults))


def _table(name: str, study: "Study", sizes: Mapping[str, "Size"]) -> Table:
    from segtune.study.spec import Search

    table = Table(title=f"{name}: {_head(study)}", title_justify="left")
    if isinstance(study, Search):
        table.add_column("field")
        table.add_column("searched in")
        for field, distribution in study.space.items():
            table.add_row(field, str(distribution))
        return table
    table.add_column("arm")
    table.add_column("changes to the baseline")
    tuned = {arm: study.tuned_over(arm) for arm in study.all_arms()}
    if any(tuned.values()):
        table.add_column("tuned over")
    table.add_column("trained", justify="right")
    table.add_column("of", justify="right")
    for arm, changes in study.all_arms().items():
        over = [_words(tuned[arm])] if any(tuned.values()) else []
        one = sizes.get(arm)
        counts = ["?", "?"] if one is None else [_short(one.trainable), _short(one.total)]
        table.add_row(arm, _words(changes) or "(the baseline)", *over, *counts)
    return table


def _head(study: "Study") -> str:
    from segtune.study.spec import Search

    if isinstance(study, Search):
        objectives = ", ".join(f"{o.direction} {o.metric}" for o in study.objectives)
        return f"search of {study.num_samples} trials by {study.sampler}: {objectives}"
    arms, tuning = len(study.all_arms()), len(list(study.tuning_trials()))
    first = f"{tuning} tuning trials, then " if tuning else ""
    per_seed = arms * (study.folds or 1)
    folds = "" if study.folds is None else f" x {study.folds} folds"
    if (adding := study.sequential) is not None:
        least, most = adding.at_least, adding.at_most
        looks = ", ".join(map(str, adding.looks))
        return (
            f"{first}{arms} arms x {least} to {most} seeds{folds} = {per_seed * least} to "
            f"{per_seed * most} trials (looked at after {looks} seeds: arms whose verdict is open "
            "go on)"
        )
    seeds = ", ".join(str(seed) for seed in study.all_seeds)
    number = len(study.all_seeds)
    trials = f"{arms} arms x {number} seeds{folds} = {per_seed * number} trials"
    return f"{first}{trials} (seeds {seeds})"


def _rules(study: "Search") -> Iterator[str]:
    """What else decides which trials a search runs, and how far."""
    if study.constraints:
        yield f"within: {', '.join(str(c) for c in study.constraints)}"
    if study.scheduler is not None:
        yield f"stopped early by {study.scheduler}"
    if study.finalists:
        yield f"then the best {study.finalists} again, {_finalist_seeds(study)}, tested once"


def _finalist_seeds(study: "Search") -> str:
    """With which seeds the finalists are trained."""
    if (seeds := study.sequential) is not None:
        looks = ", ".join(map(str, seeds.looks))
        return (
            f"with {seeds.at_least} to {seeds.at_most} seeds from {seeds.first} on (looked at "
            f"after {looks}: those whose verdict is open go on)"
        )
    return f"with seeds {', '.join(map(str, study.all_finalist_seeds))}"


def _cost(study: "Study", sizes: Mapping[str, "Size"], past: "Measured | None") -> Iterator[str]:
    """One line for each thing that a study costs, and where the number comes from."""
    from segtune.execution.estimate import trials
    from segtune.study.spec import Search

    count = len(list(trials(study)))
    if sizes:
        one = list(sizes.values())
        epochs, steps = _span(o.epochs for o in one), _span(o.steps for o in one)
        yield f"training: {epochs} epochs, {steps} steps a trial"
        if isinstance(study, Search):
            yield f"parameters: {_short(one[0].trainable)} trained of {_short(one[0].total)}"
        most = max(o.checkpoint for o in one)
        yield f"disk: at most {_bytes(most)} of checkpoint for each of {count} trials"
        least = max(o.least_memory for o in one)
        yield f"memory: {_bytes(least)} for weights and gradients; activations, optimizer on top"
        yield from _sent(sizes)
    if past is None:
        yield "time, memory in all: not known until a trial has run: its tables will tell"
        return
    if past.memory is not None:
        yield f"memory in all: {_bytes(past.memory)} at most in {past.trials} trials that ran"
    yield (
        f"time: {past.left} trials left, {duration(past.seconds)} one after another, by the "
        f"pace of {past.trials} trials that ran; less where several run at a time"
    )


def _sent(sizes: Mapping[str, "Size"]) -> Iterator[str]:
    """What several workers of a trial exchange."""
    for projections, what in ((False, "gradients"), (True, "projected gradients and new bases")):
        sent = {arm: o.sent for arm, o in sizes.items() if o.sends_projections == projections}
        if sent:
            least, most = (_bytes(of(sent.values())) for of in (min, max))
            span = least if least == most else f"{least} to {most}"
            arms = f" ({', '.join(sent)})" if len(sent) < len(sizes) else ""
            yield f"with --workers 2 or more, each hands over {span} of {what} a step{arms}"


def _price(name: str, storage: "Place", asked: "Money | None") -> "Money | None":
    """What an hour of a trial costs: as asked, else as it did when the study last ran.

    Raises:
        SpecError: it was asked in another currency than earlier trials were priced in.
    """
    from segtune.results.spending import check_currency, read_spent

    check_currency(storage, name, asked)
    return asked or read_spent(storage, name).price


def _money(past: "Measured | None", price: "Money | None") -> Iterator[str]:
    """What the trials left cost; nothing without a price."""
    if price is None:
        return
    if past is None:
        yield f"money: {price} an hour of a trial; how many hours is not known yet"
    else:
        yield f"money: {price * (past.seconds / 3600)} for the trials left, at {price} an hour"


def _span(values: Iterator[int]) -> str:
    least, *_, most = sorted((*values,) * 2)
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def _short(count: int) -> str:
    """`2.2 M`."""
    for unit, name in ((10**9, " G"), (10**6, " M"), (10**3, " k")):
        if count >= unit:
            return f"{count / unit:.1f}{name}"
    return str(count)


def _bytes(count: float) -> str:
    if count >= 10**9:
        return f"{count / 10**9:.1f} GB"
    return f"{count / 10**6:.0f} MB" if count >= 10**7 else f"{count / 10**6:.2g} MB"


def _words(changes: "Changes") -> str:
    return ", ".join(f"{field} = {value}" for field, value in changes.items())
