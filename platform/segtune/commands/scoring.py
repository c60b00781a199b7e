"""Checkpoints and masks scored one after another: what `segtune evaluate` does."""

import argparse
import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from segcore.data.dataset import DataConfig, Dataset
from segcore.data.masks import parse_code
from segcore.metrics.aggregate import aggregate
from segcore.metrics.table import METRICS
from segcore.predict.given_masks import find_masks
from segcore.training import retest as again
from segcore.training.checkpoint import best_hash
from segcore.training.events import ImageScore
from segcore.training.restore import Restored, find, restore
from segcore.training.retest import Measured, Resolution, Retest
from segcore.training.runtime import Runtime, choose_device, device_name, device_precision
from segcore.training.scoring import Target, score_predictions
from segtune.commands.data_set import data_set, fields_of
from segtune.commands.scores_shown import Scores
from segtune.execution.checkpoints import on_this_machine
from segtune.execution.preflight import faults_of
from segtune.results import evaluations, tables
from segtune.results.evaluations import Setting, Subject
from segtune.results.provenance import find_origin
from segtune.results.storage import Place
from segtune.study.overrides import SpecError, apply, flatten, non_default, value_faults

PARTS = ("data", "prompts", "tta", "system")
"""What a field that is set may begin with."""


def score_networks(args: argparse.Namespace, console: Console) -> Iterator[Scores]:
    """The scores of each checkpoint at each size, once they are kept."""
    _check(args)
    fields, asked = _fields(args), _sizes(args)
    device = choose_device(args.device)
    runtime = Runtime(device=device, precision=args.precision or device_precision(device))
    opened: dict[str, Dataset] = {}
    for place in args.checkpoints:
        with on_this_machine(place) as checkpoint:
            places = {f"system.{field}": str(value) for field, value in fields["system"].items()}
            restored = restore(checkpoint, places, as_trained=True)
            digest = best_hash(find(checkpoint))
        data = _data(args, fields["data"], restored)
        usual = again.as_trained(restored, data)
        retest = _retest(usual, args.split, fields)
        metrics = args.metrics or again.usual_metrics(restored, data)
        measured = _measured(metrics, asked or (again.usual_resolution(restored),))
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
    _check(args)
    fields = _fields(args)
    data = data_set({"name": args.data}, fields["data"], "data.")
    retest = Retest(data=data, split=args.split)
    metrics = args.metrics or again.of_masks(data.metrics)
    measured = _measured(metrics, _sizes(args) or ("image",))
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


def _check(args: argparse.Namespace) -> None:
    """Refuse what is wrong whatever the data hold.

    Raises:
        SpecError: all of it.
    """
    masks = args.predictions is not None

    def check_masks() -> None:
        fields = _fields(args)
        unused = [f"{part}.{name}" for part in PARTS[1:] for name in fields[part]]
        faults = [f"--set {field} has no effect on masks: leave it out" for field in unused]
        if wrong := again.not_of_masks([m for m in args.metrics or () if m in METRICS]):
            faults.append(f"metrics: masks alone do not do for {', '.join(wrong)}: leave it out")
        if args.values:
            faults += faults_of(partial(parse_code, tuple(args.values)))
        if faults:
            raise SpecError(faults)

    checks: list[Callable[[], Any]] = [partial(_sizes, args)]
    checks.append(check_masks if masks else partial(_fields, args))
    if args.metrics:
        checks.append(partial(_measured, args.metrics, ("image",)))
    checks += [partial(find, p.local) for p in args.checkpoints if p.local is not None]
    if args.data is not None and not faults_of(partial(_fields, args)):
        changes = _fields(args)["data"]
        checks.append(partial(data_set, {"name": args.data}, changes, "data."))
    if faults := faults_of(*checks):
        raise SpecError(faults)


def _fields(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The fields that were set, by the part that they are of.

    Raises:
        SpecError: one of no part; all of them.
    """
    found: dict[str, dict[str, Any]] = {part: {} for part in PARTS}
    faults = []
    for field, value in fields_of(args.fields, "data.root=DIR").items():
        part, _, name = field.partition(".")
        if part in found and name:
            found[part][name] = value
        else:
            told = ", ".join(f"{p}.FIELD" for p in PARTS)
            faults.append(f"--set {field}: choose of {told}")
    if faults:
        raise SpecError(faults)
    return found


def _data(args: argparse.Namespace, changes: Mapping[str, Any], restored: Restored) -> DataConfig:
    """The set that was named, or the one that the network was trained on."""
    own = restored.values.get("data") or {}
    return data_set(own if args.data is None else {"name": args.data}, changes, "data.")


def _retest(usual: Retest, split: str, fields: Mapping[str, Mapping[str, Any]]) -> Retest:
    """What is tested on, and how the network is told and sees it."""
    changes = {f"{p}.{name}": v for p in ("prompts", "tta") for name, v in fields[p].items()}
    changed: Retest = apply(usual, {"split": split, **changes})
    return changed


def _measured(metrics: Sequence[str], sizes: Sequence[Resolution]) -> Measured:
    """What is computed.

    Raises:
        SpecError: no such metric, or a size that cannot be.
    """
    try:
        return Measured(metrics=tuple(metrics), resolutions=tuple(sizes))
    except ValueError as error:
        raise SpecError(list(dict.fromkeys(value_faults(error, "")))) from None


def _sizes(args: argparse.Namespace) -> tuple[Resolution, ...]:
    """What --resolutions says; nothing where it was not given.

    Raises:
        SpecError: a text that is no size, or a side that there may not be; all of them.
    """
    found: list[Resolution] = []
    faults = []
    for text in args.resolutions or ():
        sides = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
        if text == "image":
            found.append("image")
        elif sides and all(16 <= int(side) <= 8192 for side in sides.groups() if side):
            height, width = sides.groups()
            found.append(int(height) if width is None else (int(height), int(width)))
        else:
            faults.append(
                f"--resolutions {text}: give sides of 16 to 8192 pixels, as 256 or 128x192, or "
                "image"
            )
    if faults:
        raise SpecError(faults)
    return tuple(found)


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
    told = f"{owner.title} on {setting.data}, {setting.split}, masks of {setting.resolution}"
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
