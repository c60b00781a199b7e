"""Checkpoints and masks scored one after another: what `segtune evaluate` does."""

import argparse
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from segcore.data.dataset import DataConfig, Dataset
from segcore.data.masks import parse_code
from segcore.metrics.aggregate import aggregate
from segcore.predict.given_masks import find_masks
from segcore.training import retest as again
from segcore.training.checkpoint import best_hash
from segcore.training.events import OWN_SIZE, ImageScore
from segcore.training.restore import find, restore
from segcore.training.retest import Retest
from segcore.training.runtime import Runtime, choose_device, device_name
from segcore.training.scoring import Target, score_predictions
from segtune.commands.data_set import data_set
from segtune.commands.scores_shown import Scores
from segtune.commands.scoring_options import (
    asked_sizes,
    check,
    data_of,
    fields_by_part,
    retest_of,
    to_measure,
)
from segtune.execution.checkpoints import on_this_machine
from segtune.results import evaluations, tables
from segtune.results.evaluations import Setting, Subject
from segtune.results.provenance import find_origin
from segtune.results.storage import Place
from segtune.study.overrides import flatten, non_default


def score_networks(args: argparse.Namespace, console: Console) -> Iterator[Scores]:
    """The scores of each checkpoint at each size, once they are kept."""
    check(args)
    fields, asked = fields_by_part(args), asked_sizes(args)
    device = choose_device(args.device)
    runtime = Runtime(device=device)
    opened: dict[str, Dataset] = {}
    for place in args.checkpoints:
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
        if faults := [*again.faults(restored, retest, dataset)]:
            raise ValueError("\n".join(faults))
        for doubt in again.doubts(restored, retest, dataset):
            console.print(f"[yellow]{doubt}[/]", highlight=False)
        owner = _owner(args, place, digest, console)
        restored.system.to(device)
        batch_size = args.batch_size or again.usual_batch(restored)
        for target in measured.targets(dataset, retest.split):
            with _counting(console, owner.title, target) as advance:
                runtime.beat = partial(advance, batch_size)
                images = again.score_network(
                    restored, target, retest, runtime, batch_size=batch_size
                )
            setting = _setting(
                retest,
                dataset,
                target,
                usual=usual,
                prompts=retest.prompts.source,
                device=device_name(device),
            )
            yield _kept(owner, setting, images)


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
    owner = _owner(args, None, masks.content_hash, console)
    for target in measured.targets(dataset, args.split):
        with console.status(f"scoring at {target.resolution}"):
            images = score_predictions(masks.of(target), target, Runtime())
        setting = _setting(retest, dataset, target, usual=retest, prompts=None, device="cpu")
        yield _kept(owner, setting, images)


def _open(data: DataConfig, opened: dict[str, Dataset], console: Console) -> Dataset:
    """The data set, read once however many checkpoints are scored on it."""
    if repr(data) not in opened:
        with console.status(f"reading {data.name}"):
            opened[repr(data)] = data.open()
    return opened[repr(data)]


@dataclass(frozen=True)
class _Owner:
    """What is scored, and the study that keeps the scores."""

    title: str
    subject: Subject
    storage: Place | None
    study: str | None


def _owner(args: argparse.Namespace, place: Place | None, digest: str, console: Console) -> _Owner:
    """What a checkpoint, or masks, are of: a trial by its folder, else what --as says."""
    source: Any = "predictions" if place is None else "checkpoint"
    found = None if place is None else evaluations.trial_of(place)
    if found is not None:
        storage, study, trial_id = found
        for row in tables.read(storage, study, "trials", trial_id=trial_id).to_pylist():
            if args.arm is not None:
                raise ValueError(
                    f"{place} is the trial {trial_id} of {study}, which keeps its scores: leave "
                    "out --study and --as"
                )
            if row["status"] != "finished":
                told = f"{trial_id} is {row['status']}: its best epoch so far is scored, and the "
                console.print(f"[yellow]{told}report leaves it out[/]", highlight=False)
            subject = Subject(
                trial_id=trial_id,
                arm=row["arm"],
                seed=row["seed"],
                source=source,
                source_hash=digest,
            )
            return _Owner(trial_id, subject, storage, study)
    title = args.arm or (args.predictions.name if place is None else str(place))
    subject = Subject(
        trial_id=None, arm=args.arm, seed=args.seed, source=source, source_hash=digest
    )
    if args.study is None:
        console.print(
            "the scores are kept nowhere: --study STUDY --as ARM puts them into its report",
            highlight=False,
        )
    return _Owner(title, subject, None if args.study is None else args.storage, args.study)


def _setting(
    retest: Retest,
    dataset: Dataset,
    target: Target,
    *,
    usual: Retest,
    prompts: str | None,
    device: str,
) -> Setting:
    """What was scored, for the tables.

    Args:
        retest: what was tested on, and how.
        dataset: the same data, open.
        target: of which size.
        usual: as training tested.
        prompts: the boxes that were told; None: not known.
        device: on which it ran.
    """
    settings = {f"data.{field}": value for field, value in non_default(retest.data).items()}
    for part in ("prompts", "tta"):
        now, before = (flatten(getattr(one, part)) for one in (retest, usual))
        settings |= {f"{part}.{k}": v for k, v in now.items() if v != before[k]}
    return Setting(
        data=retest.data.name,
        settings=settings,
        data_hash=dataset.content_hash(),
        split=retest.split,
        resolution=target.resolution,
        prompts=prompts,
        device=device,
    )


def _kept(owner: _Owner, setting: Setting, images: Sequence[ImageScore]) -> Scores:
    """The scores of the set, once they are in the tables of the study."""
    scores, name = aggregate(images), None
    if owner.storage is not None and owner.study is not None:
        name = evaluations.write(
            owner.storage,
            owner.study,
            owner.subject,
            setting,
            find_origin(),
            scores=[dataclasses.asdict(s) for s in scores],
            images=[{k: v for k, v in vars(i).items() if k != "curve"} for i in images],
        )
    size = "each image's own size" if setting.resolution == OWN_SIZE else setting.resolution
    told = f"{owner.title} on {setting.data}, {setting.split}, masks of {size}"
    return Scores(
        title=told,
        subject=owner.subject,
        setting=setting,
        scores=scores,
        images=images,
        study=owner.study,
        evaluation=name,
    )


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
