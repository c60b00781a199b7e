"""Arguments that several commands take, and what they mean."""

import argparse
import ast
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    from segtune.results.storage import Place
    from segtune.study.catalog import Named
    from segtune.study.money import Budget, Money
    from segtune.study.spec import Search

DEFAULT_STORAGE = "results"
TRACKERS = ("tensorboard", "mlflow", "wandb")
"""Tools that a study's trials can be logged to, as `segtune.observers.trackers` makes them."""


def study_arguments(
    parser: argparse.ArgumentParser, *, optional: bool = False, several: bool = False
) -> None:
    """A study, unless it may be left out, or several, and the changes to each."""
    parser.add_argument(
        "study",
        metavar="STUDY",
        nargs="?" if optional else "+" if several else None,
        help="a name that `segtune list` shows, or a file",
    )
    parser.add_argument("--name", help="what its results are called; default: the study's own name")
    parser.add_argument(
        "--num-samples",
        metavar="N",
        help="trials of a search, in all; +N for so many more than it had (with --storage)",
    )
    parser.add_argument(
        "--set",
        dest="changes",
        metavar="FIELD=VALUE",
        action="append",
        default=[],
        help="change the baseline, as in --set schedule.epochs=3; may be repeated",
    )


def plain_console(*, stderr: bool = False) -> Console:
    """A console that prints text as it is: what a user wrote in brackets is no markup.

    It is a terminal only where its stream is one. FORCE_COLOR, which Jupyter sets for the commands
    of a notebook, would have live tables written there again and again, one below the other.
    """
    stream = sys.stderr if stderr else sys.stdout
    return Console(
        stderr=stderr,
        soft_wrap=True,
        markup=False,
        emoji=False,
        force_terminal=None if stream.isatty() else False,
    )


def storage_argument(parser: argparse.ArgumentParser) -> None:
    """Where the results of studies lie."""
    parser.add_argument(
        "--storage",
        type=folder,
        default=DEFAULT_STORAGE,
        help="folder that holds the studies' results, or a URI of a store: s3://, gs://, abfs://, "
        "hdfs:// (default: %(default)s)",
    )


def log_argument(parser: argparse.ArgumentParser) -> None:
    """The tools that trials are logged to."""
    parser.add_argument(
        "--log",
        choices=TRACKERS,
        action="append",
        help="where learning curves go; may be repeated (default: tensorboard). Server and "
        "account are read from the tools' own variables, such as MLFLOW_TRACKING_URI, WANDB_MODE",
    )


def price_argument(parser: argparse.ArgumentParser) -> None:
    """What an hour of a trial costs."""
    parser.add_argument(
        "--price-per-hour",
        type=price,
        metavar="2.50EUR",
        help="of one trial: of its share of a machine. Without it nothing is told in money",
    )


def checkpoint_argument(parser: argparse.ArgumentParser) -> None:
    """A trained network."""
    parser.add_argument(
        "checkpoint",
        type=folder,
        metavar="CHECKPOINT",
        help="a checkpoint's or a trial's folder, such as results/demo/train/lora-s0 (or s3://...)",
    )


def device_arguments(parser: argparse.ArgumentParser) -> None:
    """Where a trained network runs, and what it computes in."""
    parser.add_argument("--device", help="cpu, cuda, cuda:1; default: a GPU where there is one")
    parser.add_argument(
        "--precision",
        choices=["float32", "bfloat16"],
        help="of the network; default: that which it was trained and scored with",
    )


def plugin_argument(parser: argparse.ArgumentParser) -> None:
    """The file of a study that brought its own classes."""
    parser.add_argument(
        "--plugin",
        dest="plugins",
        type=path,
        action="append",
        default=[],
        metavar="FILE",
        help="a Python file that registers what the checkpoint was trained with, such as its "
        "study's own; it is executed. May be repeated",
    )


def load_plugins(args: argparse.Namespace) -> None:
    """Load the files that were given by `plugin_argument`.

    Raises:
        SpecError: there is no such file, or it can't be loaded.
    """
    from segtune.study import catalog

    for file in args.plugins:
        catalog.load_file(file)


def location_argument(parser: argparse.ArgumentParser) -> None:
    """Where the pretrained weights of a checkpoint lie."""
    parser.add_argument(
        "--set",
        dest="locations",
        metavar="FIELD=PLACE",
        action="append",
        default=[],
        help="where pretrained weights lie, as in --set system.rgb.checkpoint=FILE, for "
        "checkpoints of networks that started from files",
    )


def locations(args: argparse.Namespace) -> dict[str, str]:
    """Field -> location of pretrained weights, as given by `location_argument`.

    Raises:
        ValueError: one without a field or a location.
    """
    pairs = [text.partition("=") for text in args.locations]
    if faults := [f"--set {''.join(p)}: write FIELD=PLACE" for p in pairs if not all(p)]:
        raise ValueError("\n".join(faults))
    return {field: place for field, _, place in pairs}


def folder(text: str) -> "Place":
    """A folder as a person writes it, on a file system or in an object store."""
    from segtune.results.storage import Place

    if not text.strip():
        raise argparse.ArgumentTypeError(
            "give a folder, or a URI such as s3://BUCKET/FOLDER: this is empty"
        )
    try:
        return Place.of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def price(text: str) -> "Money":
    """A price as a person writes it, with its currency."""
    from segtune.study.money import read_money

    try:
        return read_money(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def budget(text: str) -> "Budget":
    """A budget as a person writes it, in hours or in money."""
    from segtune.study.money import read_budget

    try:
        return read_budget(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def picture(text: str) -> Path:
    """A picture that is to be written."""
    if Path(text).suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise argparse.ArgumentTypeError(f"{text} is no name of a picture: end it in .png or .jpg")
    return path(text)


def path(text: str) -> Path:
    """A path as a person writes it, `~` included."""
    return Path(text).expanduser()


def study_file(args: argparse.Namespace) -> Path | None:
    """The file that was given as the study; None where a study was named that segtune brings."""
    file = Path(args.study)
    return file if file.suffix and file.is_file() else None


def changed_study(args: argparse.Namespace) -> "Named":
    """The study that was asked for by `study_arguments`, with the changes that were asked for.

    Raises:
        SpecError: no such study, or a change that cannot be.
    """
    from segtune.study import catalog
    from segtune.study.overrides import SpecError, apply
    from segtune.study.spec import Search

    named = catalog.find(args.study)
    study, name = named.study, named.name if args.name is None else args.name
    if isinstance(study, Search):
        study = replace(study, num_samples=_num_samples(args, study, name))
    elif args.num_samples is not None:
        raise SpecError([f"{named.name} is an ablation: --num-samples is for searches"])
    if args.changes:
        study = replace(study, baseline=apply(study.baseline, _parse(args.changes)))
    return catalog.Named(name, study, named.description)


def _num_samples(args: argparse.Namespace, study: "Search", name: str) -> int:
    """As asked for; else as many as the search was extended to, or as its file says.

    `+N` is on top of what the search had, once that is done: an extension that was interrupted is
    gone on with, so that the same command may be given again.
    """
    from segtune.results.storage import Place
    from segtune.study.overrides import SpecError

    storage = getattr(args, "storage", None)
    if not isinstance(storage, Place):  # a job's: that of its cluster, which sees to it there
        storage = None
    kept = None if storage is None else _kept(storage, name)
    had = study.num_samples if kept is None else max(study.num_samples, kept)
    text: str | None = args.num_samples
    if text is None:
        return had
    if not re.fullmatch(r"\+?\d+", text):
        raise SpecError([f"--num-samples {text}: give a number, such as 20, or +20 for 20 more"])
    if not text.startswith("+"):
        return int(text)
    if had > study.num_samples and storage is not None and _done(storage, name) < had:
        return had
    return had + int(text)


def _kept(storage: "Place", name: str) -> int | None:
    """Trials of a search as it was run before."""
    from segtune.results import study_file

    kept = study_file.read(storage, name)
    found: int | None = (kept or {}).get("num_samples")
    return found


def _done(storage: "Place", name: str) -> int:
    """Trials of a search that have ended."""
    from segtune.results import tables

    rows = tables.read(storage, name, "trials").to_pylist()
    return sum(r["role"] == "search" and r["status"] not in ("running", "cancelled") for r in rows)


def _parse(changes: Sequence[str]) -> dict[str, Any]:
    from segtune.study.overrides import SpecError

    faults, out = [], {}
    for change in changes:
        field, equals, text = change.partition("=")
        if not equals or not field:
            faults.append(f"--set {change}: write FIELD=VALUE, such as schedule.epochs=3")
            continue
        if field == "seed":
            faults.append(f"--set {change}: seeds are the study's own: write them into its file")
        try:
            out[field] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            out[field] = text
    if faults:
        raise SpecError(faults)
    return out
