"""`segtune data noise`: how much two annotators of a data set's masks disagree."""

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from segtune.commands.shared import changed_study, path, storage_argument, study_arguments

if TYPE_CHECKING:
    from segcore.data.frame_folder import FolderConfig
    from segcore.predict.label_noise.annotators import Amount, Annotator
    from segcore.training.events import Score
    from segtune.results.label_noise import LabelNoise, NoiseLevel, NoiseScore

SHIFTS = ("1", "2", "4")
"""Pixels, where nothing else is asked for."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """A study or data set, and how a second annotator differs."""
    study_arguments(parser)
    parser.add_argument("--root", type=path, help="the folder of a data set that is named")
    storage_argument(parser)
    amounts = "at the image's own size, in pixels or in percent of its diagonal: 2, 0.5%%"
    parser.add_argument(
        "--shift",
        nargs="+",
        metavar="K",
        help=f"outlines that are so far off on average, {amounts} (default: {' '.join(SHIFTS)})",
    )
    parser.add_argument(
        "--lines",
        nargs="+",
        metavar="K",
        help="the same of lines (landmarks): each point set anew, the lines drawn as wide",
    )
    parser.add_argument(
        "--second",
        type=path,
        metavar="DIR",
        help="a folder in the data set's layout with a second annotator's masks",
    )
    parser.add_argument("--split", choices=["train", "val", "test"], default="test")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn (default: 0)")
    parser.add_argument("--out", type=path, metavar="FILE", help="write what is found as JSON too")


@dataclass(frozen=True)
class _Asked:
    """A data set, and what is scored on it."""

    data: "FolderConfig"
    targets: "Sequence[tuple[Any, Any]]"
    """(Size of the masks compared, metrics)."""
    study: str | None
    """Where what is found is kept; None: nowhere."""


def run(args: argparse.Namespace, console: Console) -> int:
    """Score second annotators, and keep the scores where a study was named and has run."""
    from segcore.data.frame_folder import FrameFolder
    from segcore.predict.label_noise.annotators import Amount, Shifted
    from segcore.predict.label_noise.score import score_annotator
    from segcore.training.predicting import Target
    from segtune.results import label_noise
    from segtune.results.label_noise import LabelNoise

    asked = _asked(args)
    with console.status(f"reading {asked.data.name}"):
        scan = asked.data.scan()
        scan.raise_if_faulty()
        dataset = FrameFolder(scan, asked.data)
    if not dataset.ids(args.split):
        raise ValueError(f"{asked.data.name} has no image in {args.split}: give another --split")
    targets = [Target(dataset, args.split, args.split, s, m) for s, m in asked.targets]
    with console.status("the truth against itself"):
        truth = Shifted(Amount(0), args.seed)
        perfect = [score_annotator(truth, target) for target in targets]
    levels = []
    for level, annotator in _annotators(args, asked.data, scan, dataset):
        with console.status(level.who()):
            scored = [score_annotator(annotator, target) for target in targets]
        levels.append(replace(level, scores=tuple(_scores(scored, perfect))))
    found = LabelNoise(
        asked.data.name, dataset.content_hash(), args.split, args.seed, tuple(levels)
    )
    console.print(_table(found))
    console.print(*_floors(found), sep="\n", highlight=False)
    if args.out is not None:
        args.out.write_bytes(label_noise.to_bytes(found))
    if asked.study is not None:
        label_noise.write(args.storage, asked.study, found)
        console.print(f"kept for its report: segtune report {asked.study}", highlight=False)
    return 0


def _asked(args: argparse.Namespace) -> _Asked:
    """What NAME stands for.

    Raises:
        ValueError: no such study or data set, or one that is no folder of files.
    """
    from segcore.data import DATASETS
    from segcore.data.frame_folder import FolderConfig
    from segcore.metrics.table import METRICS
    from segtune.commands.datasets.data import config_of
    from segtune.results import tables

    if args.study in DATASETS:
        data = config_of(args.study, args.root, args.changes)
        rows = [METRICS[key].load() for key in data.metrics]
        return _Asked(data, [(None, _of_labels(rows))], None)
    if args.root is not None:
        raise ValueError(f"{args.study} is a study: say --set data.root=DIR in place of --root")
    named = changed_study(args)
    config = named.study.baseline
    if not isinstance(config.data, FolderConfig):
        raise ValueError(f"{config.data.name} is no folder of files: nobody can draw it anew")
    evaluation = config.evaluation
    rows = _of_labels(evaluation.rows(config.data, test=True))
    usual = None if evaluation.size == "image" else config.system.input_size
    sizes = dict.fromkeys([usual, *evaluation.sizes()])
    has_run = len(tables.read(args.storage, named.name, "trials")) > 0 and args.split == "test"
    return _Asked(config.data, [(s, rows) for s in sizes], named.name if has_run else None)


def _of_labels(metrics: Sequence[Any]) -> list[Any]:
    """Metrics that look at masks alone: a person gives no probabilities."""
    found = [m for m in metrics if m.needs == "labels"]
    if not found:
        raise ValueError("no metric of the data set looks at masks alone: --set evaluation.metrics")
    return found


def _annotators(
    args: argparse.Namespace, data: "FolderConfig", scan: Any, dataset: Any
) -> "Iterator[tuple[NoiseLevel, Annotator]]":
    """Everybody who was asked for.

    Raises:
        ValueError: an amount that is none, lines where there are none, or masks of a second
            annotator that do not go with the data set; each before anything is scored.
    """
    from segcore.predict.label_noise.annotators import Redrawn, Second, Shifted, check_second
    from segtune.commands.datasets.data_set import data_set
    from segtune.results.label_noise import NoiseLevel

    nothing = not (args.shift or args.lines or args.second)
    shifts, lines = amounts(args.shift or (SHIFTS if nothing else ())), amounts(args.lines or ())
    found: list[tuple[NoiseLevel, Annotator]] = [
        (NoiseLevel("shift", a.value, a.percent, ()), Shifted(a, args.seed)) for a in shifts
    ]
    found += [
        (NoiseLevel("lines", a.value, a.percent, ()), Redrawn(a, args.seed, data, scan))
        for a in lines
    ]
    first = dataset.load(args.split, dataset.ids(args.split)[0], None)
    for _, annotator in found:
        annotator.draw(args.split, first)
    if args.second is not None:
        from segcore.config import to_json

        other = data_set(to_json(data), {"root": str(args.second)}, "")
        opened = other.open()
        check_second(dataset, opened, args.split)
        found.append((NoiseLevel("second", None, False, ()), Second(opened)))
    yield from found


def amounts(texts: Sequence[str]) -> "list[Amount]":
    """How far annotators are apart, as a person writes it: `2`, `0.5%`.

    Raises:
        ValueError: what is none; all of it.
    """
    from segcore.predict.label_noise.annotators import Amount

    found, faults = [], []
    for text in texts:
        number = text.removesuffix("%").strip()
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= 0):
            faults.append(f"{text}: give pixels, such as 2, or percent of the diagonal: 0.5%")
        found.append(Amount(value, text.endswith("%")))
    if faults:
        raise ValueError("\n".join(faults))
    return found


def _scores(
    scored: "Sequence[Sequence[Score]]", perfect: "Sequence[Sequence[Score]]"
) -> "Iterator[NoiseScore]":
    """The scores of a second annotator, each with what the truth itself scores."""
    from segtune.results.label_noise import NoiseScore

    for of_target, of_truth in zip(scored, perfect, strict=True):
        for score, best in zip(of_target, of_truth, strict=True):
            yield NoiseScore(
                score.metric,
                score.protocol,
                score.resolution,
                score.class_name,
                score.label,
                score.unit,
                _number(score.value),
                _number(best.value),
            )


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _of_set(level: "NoiseLevel") -> "list[NoiseScore]":
    """Scores of all classes: means over them, else the one value that a protocol has."""
    means = [s for s in level.scores if s.class_name == "macro"]
    known = {(s.metric, s.protocol, s.resolution) for s in means}
    return [
        s
        for s in level.scores
        if s.class_name == "macro"
        or (s.class_name == "pooled" and (s.metric, s.protocol, s.resolution) not in known)
    ]


def _table(found: "LabelNoise") -> Table:
    table = Table(title=f"{found.data}, {found.split}: second annotators", title_justify="left")
    for column in ("metric", "protocol", "masks of"):
        table.add_column(column)
    for level in found.levels:
        how = "second" if level.amount is None else f"{level.kind} {level.amount:g}"
        table.add_column(f"{how}{'%' if level.percent else ''}", justify="right")
    for same in zip(*map(_of_set, found.levels), strict=True):
        one = same[0]
        name = one.label if one.unit == "fraction" else f"{one.label} ({one.unit})"
        values = ["-" if s.value is None else f"{s.value:.3f}" for s in same]
        table.add_row(name, one.protocol, one.resolution, *values)
    return table


def _floors(found: "LabelNoise") -> Iterator[str]:
    """What annotators disagree by, in the first metric."""
    for level in found.levels:
        first = _of_set(level)[0]
        if first.floor is not None:
            unit = "" if first.unit == "fraction" else f" {first.unit}"
            yield (f"{first.label}: {level.who()} disagree by {first.floor:.3f}{unit}")
