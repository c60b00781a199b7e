"""Checkpoints and masks scored one after another: what `segtune evaluate` does."""

import argparse
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from segcore.data.dataset import DataConfig, Dataset
from segcore.data.masks import parse_code
from segcore.predict.given_masks import find_masks
from segcore.training import retest as again
from segcore.training.casts import spare_casts
from segcore.training.checkpoint import best_hash
from segcore.training.ensemble import network_of
from segcore.training.predicting import Target
from segcore.training.restore import Restored, find, restore
from segcore.training.retest import Measured, Retest
from segcore.training.runtime import Runtime, choose_device, device_name
from segcore.training.scoring import score_predictions
from segtune.commands.datasets.data_set import data_set
from segtune.commands.scoring.kept import keep, owner_of, owner_of_all, setting_of
from segtune.commands.scoring.options import (
    asked_sizes,
    check,
    data_of,
    fields_by_part,
    retest_of,
    to_measure,
)
from segtune.commands.scoring.shown import Scores
from segtune.execution.training.checkpoints import on_this_machine
from segtune.results.storage import Place


def score_networks(args: argparse.Namespace, console: Console) -> Iterator[Scores]:
    """The scores of each checkpoint, or of all together, at each size, once they are kept."""
    check(args)
    device = choose_device(args.device)
    opened: dict[str, Dataset] = {}
    groups = [args.checkpoints] if args.ensemble else [[place] for place in args.checkpoints]
    for places in groups:
        members = [_member(args, place, opened, console) for place in places]
        _check_alike(members)
        network = network_of([(str(m.place), m.restored) for m in members]).to(device)
        first = members[0]
        spare_casts(network, device, first.restored.precision)
        owner = (
            owner_of_all(args, {m.place: m.digest for m in members}, console)
            if args.ensemble
            else owner_of(args, first.place, first.digest, console)
        )
        batch_size = args.batch_size or again.usual_batch(first.restored)
        for target in first.measured.targets(first.dataset, first.retest.split):
            runtime = Runtime(device=device, cpus=torch.get_num_threads())
            with _counting(console, owner.title, target) as advance:
                runtime.beat = partial(advance, batch_size)
                images = again.score_network(
                    network, first.restored, target, first.retest, runtime, batch_size=batch_size
                )
            setting = setting_of(
                first.retest,
                first.dataset,
                target,
                usual=first.usual,
                prompts=first.retest.prompts.source,
                device=device_name(device),
            )
            yield keep(owner, setting, images)


@dataclass(frozen=True, eq=False)
class _Member:
    """A checkpoint, and how it would be scored."""

    place: Place
    digest: str
    """Of its trained tensors."""
    restored: Restored
    usual: Retest
    """As training tested it."""
    retest: Retest
    measured: Measured
    dataset: Dataset


def _member(
    args: argparse.Namespace, place: Place, opened: dict[str, Dataset], console: Console
) -> _Member:
    """A checkpoint that can be scored as it was asked for.

    Raises:
        ValueError: it can't be; all of it.
    """
    fields, asked = fields_by_part(args), asked_sizes(args)
    with on_this_machine(place) as checkpoint:
        places = {f"system.{field}": str(value) for field, value in fields["system"].items()}
        restored = restore(checkpoint, places, as_trained=True)
        restored = dataclasses.replace(restored, precision=args.precision or restored.precision)
        digest = best_hash(find(checkpoint))
    data = data_of(args, fields["data"], restored)
    usual = again.as_trained(restored, data)
    retest = retest_of(usual, args.split, fields)
    metrics = args.metrics or again.usual_metrics(restored, data)
    measured = to_measure(metrics, asked or (again.usual_resolution(restored),))
    dataset = _open(data, opened, console)
    if args.data is None:
        dataset = again.divided_as_trained(restored, dataset, args.split)
    if faults := [*again.faults(restored, retest, dataset)]:
        raise ValueError("\n".join(faults))
    for doubt in again.doubts(restored, retest, dataset):
        console.print(doubt, style="yellow", highlight=False)
    return _Member(place, digest, restored, usual, retest, measured, dataset)


def _check_alike(members: Sequence[_Member]) -> None:
    """Refuse an ensemble whose members would be scored otherwise each.

    Raises:
        ValueError: what to say, so that they are scored alike.
    """
    first, *others = members
    options: dict[str, Callable[[_Member], object]] = {
        "--data and --set data.FIELD": lambda m: m.retest.data,
        "--metrics": lambda m: m.measured.metrics,
        "--resolutions": lambda m: m.measured.sizes(),
    }
    if first.retest.split != "test":  # which a cross-validation divides otherwise for each part
        options["--split test"] = lambda m: [*m.dataset.ids(m.retest.split)]
    faults = [
        f"{other.place} would be scored otherwise than {first.place}: say how with {option}"
        for other in others
        for option, of in options.items()
        if of(other) != of(first)
    ]
    if faults:
        raise ValueError("\n".join(faults))


def score_masks(args: argparse.Namespace, console: Console) -> Iterator[Scores]:
    """The scores of another program's masks at each size, once they are kept."""
    check(args)
    fields = fields_by_part(args)
    data = data_set({"name": args.data}, fields["data"], "data.")
    retest = Retest(data=data, split=args.split)
    metrics = args.metrics or again.of_masks(data.metrics)
    measured = to_measure(metrics, asked_sizes(args) or ("image",))
    code = parse_code(tuple(args.values)) if args.values else None
    dataset = _open(data, {}, console)
    if faults := [*again.lacking(retest, dataset)]:
        raise ValueError("\n".join(faults))
    with console.status(f"looking over {args.predictions}"):
        masks = find_masks(args.predictions, dataset, args.split, code=code)
    if masks.others:
        console.print(
            f"{masks.others} files of {args.predictions} are of no image of {args.split}",
            highlight=False,
        )
    owner = owner_of(args, None, masks.content_hash, console)
    for target in measured.targets(dataset, args.split):
        with console.status(f"scoring at {target.resolution}"):
            images = score_predictions(masks.of(target), target, Runtime())
        setting = setting_of(retest, dataset, target, usual=retest, prompts=None, device="cpu")
        yield keep(owner, setting, images)


def _open(data: DataConfig, opened: dict[str, Dataset], console: Console) -> Dataset:
    """The data set, read once however many checkpoints are scored on it."""
    if repr(data) not in opened:
        with console.status(f"reading {data.name}"):
            opened[repr(data)] = data.open()
    return opened[repr(data)]


@contextmanager
def _counting(console: Console, title: str, target: Target) -> Iterator[Callable[[int], None]]:
    """A bar that counts the images of a target that were predicted."""
    with Progress(
        TextColumn(f"{title} at {target.resolution}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    ) as progress:
        task = progress.add_task("", total=len(target.dataset.ids(target.split)))
        yield lambda images: progress.advance(task, images)
