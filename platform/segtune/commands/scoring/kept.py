"""What an evaluation is of, and its scores put into the tables of a study: for `evaluate`."""

import argparse
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from segcore.data.dataset import Dataset
from segcore.metrics.aggregate import aggregate
from segcore.training.events import OWN_SIZE, ImageScore
from segcore.training.predicting import Target
from segcore.training.retest import Retest
from segtune.commands.scoring.shown import Scores
from segtune.results import evaluations, tables
from segtune.results.evaluations import Setting, Subject
from segtune.results.provenance import find_origin
from segtune.results.storage import Place
from segtune.study.overrides import flatten, non_default
from segtune.study.trial import ARM_TRIAL


@dataclass(frozen=True)
class Owner:
    """What is scored, and the study that keeps the scores."""

    title: str
    subject: Subject
    storage: Place | None
    study: str | None


def owner_of(args: argparse.Namespace, place: Place | None, digest: str, console: Console) -> Owner:
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
                console.print(f"{told}report leaves it out", style="yellow", highlight=False)
            subject = Subject(
                trial_id=trial_id,
                arm=row["arm"],
                seed=row["seed"],
                source=source,
                source_hash=digest,
            )
            return Owner(trial_id, subject, storage, study)
    title = args.arm or (args.predictions.name if place is None else str(place))
    subject = Subject(
        trial_id=None, arm=args.arm, seed=args.seed, source=source, source_hash=digest
    )
    return _owner(title, subject, args.storage, args.study, console)


def owner_of_all(args: argparse.Namespace, members: Mapping[Place, str], console: Console) -> Owner:
    """What an ensemble is called, and the study that keeps its scores: that of its trials, unless
    --study says another.

    Args:
        args: of the command.
        members: its checkpoints, with hashes of their trained tensors.
        console: gets what a person should know.
    """
    trials = [evaluations.trial_of(place) for place in members]
    one_study = {None if t is None else (str(t[0]), t[1]) for t in trials}
    storage, study, arm = args.storage, args.study, args.arm
    names = [str(place) for place in members]
    if len(one_study) == 1 and trials[0] is not None:
        names = [t[2] for t in trials if t is not None]
        if study is None:
            storage, study, _ = trials[0]
            _tell_unfinished(storage, study, names, console)
            arms = (found["arm"] if (found := ARM_TRIAL.fullmatch(n)) else n for n in names)
            arm = f"{'+'.join(dict.fromkeys(sorted(arms)))}-ensemble"
    ordered = sorted(zip(names, members.values(), strict=True))
    subject = Subject(
        trial_id=None,
        arm=arm,
        seed=None,
        source="ensemble",
        source_hash=hashlib.sha256("".join(d for _, d in ordered).encode()).hexdigest(),
        members=tuple(name for name, _ in ordered),
    )
    title = f"{arm or 'ensemble'} (ensemble of {', '.join(subject.members)})"
    return _owner(title, subject, storage, study, console)


def _owner(
    title: str, subject: Subject, storage: Place, study: str | None, console: Console
) -> Owner:
    """Who keeps the scores; nobody where there is no study, which is told."""
    if study is None:
        told = "the scores are kept nowhere: --study STUDY --as ARM puts them into its report"
        console.print(told, highlight=False)
    return Owner(title, subject, None if study is None else storage, study)


def setting_of(
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


def keep(owner: Owner, setting: Setting, images: Sequence[ImageScore]) -> Scores:
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


def _tell_unfinished(storage: Place, study: str, trials: Sequence[str], console: Console) -> None:
    status = {r["trial_id"]: r["status"] for r in tables.read(storage, study, "trials").to_pylist()}
    early = [trial for trial in trials if status.get(trial, "finished") != "finished"]
    if early:
        told = f"not finished: {', '.join(early)}: their best epochs so far are averaged, and the "
        console.print(f"{told}report leaves the ensemble out", style="yellow", highlight=False)
