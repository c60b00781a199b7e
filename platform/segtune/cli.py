"""The command line: `segtune list | show | run | report`."""

import argparse
import ast
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from segtune import catalog
from segtune.changes import Changes, SpecError, apply, flatten
from segtune.resources import Resources
from segtune.spec import Ablation, Search, Study

DEFAULT_STORAGE = Path("results")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; 0 when it did what was asked, 1 when trials failed, 2 on a mistake."""
    args = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace, Console], int] = args.command
    try:
        return command(args, Console(soft_wrap=True))
    except ValueError as error:
        print(f"segtune: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("segtune: stopped; the same command goes on from here", file=sys.stderr)
        return 130


def list_names(args: argparse.Namespace, console: Console) -> int:
    """What there is to choose from."""
    for kind in [args.kind] if args.kind else list(_KINDS):
        table = Table(title=kind, title_justify="left", show_header=False, box=None)
        for name, description in _KINDS[kind]().items():
            table.add_row(name, description)
        console.print(table)
    return 0


def show(args: argparse.Namespace, console: Console) -> int:
    """What a study would run."""
    from segtune.check import check, check_name

    named = _changed(args)
    check(named.study)
    check_name(named.name)
    console.print(named.description or named.study.question, "", sep="\n", highlight=False)
    table = Table(title=f"{named.name}: {_size(named.study)}", title_justify="left")
    if isinstance(named.study, Ablation):
        table.add_column("arm")
        table.add_column("changes to the baseline")
        if named.study.tune:
            table.add_column("tuned over")
        for arm, changes in named.study.all_arms().items():
            table.add_row(
                arm, _words(changes) or "(the baseline)", _words(named.study.tune.get(arm, {}))
            )
    else:
        table.add_column("field")
        table.add_column("searched in")
        for field, distribution in named.study.space.items():
            table.add_row(field, str(distribution))
    console.print(table)
    baseline = Table(title="baseline", title_justify="left", show_header=False, box=None)
    for field, value in flatten(named.study.baseline).items():
        baseline.add_row(field, repr(value))
    console.print(baseline)
    return 0


def run(args: argparse.Namespace, console: Console) -> int:
    """Train what is left of a study."""
    from segtune import study as runner
    from segtune.progress import Progress

    named = _changed(args)
    resources = Resources(
        workers=args.workers,
        cpus_per_worker=args.cpus_per_worker,
        gpus_per_worker=args.gpus_per_worker,
        concurrent=args.concurrent,
    )
    with Progress(console, named.name) as progress:
        outcome = runner.run(
            named.study, named.name, args.storage, resources, progress, address=args.address
        )
    if outcome.ran == 0:
        console.print(f"{named.name} is finished: all {outcome.total} trials. Nothing to do.")
    if outcome.failed:
        console.print(
            f"[red]{len(outcome.failed)} of {outcome.total} trials failed[/]: "
            f"{', '.join(outcome.failed)}. The same command tries them again."
        )
    storage = shlex.quote(str(args.storage))
    again = "" if args.storage == DEFAULT_STORAGE else f" --storage {storage}"
    console.print(f"Now: segtune report {named.name}{again}", highlight=False)
    return 1 if outcome.failed else 0


def report(args: argparse.Namespace, console: Console) -> int:
    """Write the report of one or more studies."""
    from segtune.report import build

    out = args.out or Path(f"{args.study[0]}-report.html")
    path = build(args.storage, args.study, out, args.tables)
    console.print(f"The report is in {path.absolute()}", highlight=False)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="segtune",
        description="Find out which way of fine-tuning a segmentation model is worth it.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    p = commands.add_parser("list", help="studies, systems, methods and data sets by name")
    p.add_argument("kind", nargs="?", choices=list(_KINDS))
    p.set_defaults(command=list_names)

    p = commands.add_parser("show", help="what a study would run")
    _study_arguments(p)
    p.set_defaults(command=show)

    p = commands.add_parser("run", help="train what is left of a study")
    _study_arguments(p)
    _storage_argument(p)
    p.add_argument("--address", help="a Ray cluster; default: $RAY_ADDRESS, else a local one")
    p.add_argument("--workers", type=int, default=1, help="Train workers of one trial")
    p.add_argument("--cpus-per-worker", type=float, default=1, help="(default: %(default)s)")
    p.add_argument("--gpus-per-worker", type=float, default=0, help="(default: %(default)s)")
    p.add_argument("--concurrent", type=int, help="most trials at a time; default: what fits")
    p.set_defaults(command=run)

    p = commands.add_parser("report", help="write one HTML file about studies that were run")
    p.add_argument("study", nargs="+", metavar="STUDY", help="the name that it was run under")
    _storage_argument(p)
    p.add_argument("--out", type=_path, help="the HTML file; default: STUDY-report.html")
    p.add_argument("--tables", type=_path, help="folder for the tables as CSV, Markdown and LaTeX")
    p.set_defaults(command=report)
    return parser


def _study_arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("study", metavar="STUDY", help="a name that `segtune list` shows, or a file")
    p.add_argument("--name", help="what its results are called; default: the study's own name")
    p.add_argument("--num-samples", type=int, help="trials of a search, in all")
    p.add_argument(
        "--set",
        dest="changes",
        metavar="FIELD=VALUE",
        action="append",
        default=[],
        help="change the baseline, as in --set schedule.epochs=3; may be repeated",
    )


def _storage_argument(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--storage",
        type=_path,
        default=DEFAULT_STORAGE,
        help="folder that holds the studies' results (default: %(default)s)",
    )


def _path(text: str) -> Path:
    return Path(text).expanduser()


def _changed(args: argparse.Namespace) -> catalog.Named:
    """The study that was asked for, with the changes that were asked for."""
    named = catalog.find(args.study)
    study = named.study
    if args.num_samples is not None:
        if not isinstance(study, Search):
            raise SpecError([f"{named.name} is an ablation: --num-samples is for searches"])
        study = replace(study, num_samples=args.num_samples)
    if args.changes:
        study = replace(study, baseline=apply(study.baseline, _parse(args.changes)))
    return catalog.Named(args.name or named.name, study, named.description)


def _parse(changes: Sequence[str]) -> dict[str, Any]:
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


def _size(study: Study) -> str:
    if isinstance(study, Search):
        objectives = ", ".join(f"{o.direction} {o.metric}" for o in study.objectives)
        return f"search of {study.num_samples} trials by {study.sampler}: {objectives}"
    arms, tuning = len(study.all_arms()), len(list(study.tuning_trials()))
    first = f"{tuning} tuning trials, then " if tuning else ""
    seeds = ", ".join(str(seed) for seed in study.seeds)
    trials = f"{arms} arms x {len(study.seeds)} seeds = {arms * len(study.seeds)} trials"
    return f"{first}{trials} (seeds {seeds})"


def _words(changes: Changes) -> str:
    return ", ".join(f"{field} = {value}" for field, value in changes.items())


def _descriptions(module: str, table: str) -> Callable[[], dict[str, str]]:
    def describe() -> dict[str, str]:
        import importlib

        entries = getattr(importlib.import_module(module), table)
        return {name: entry.description for name, entry in entries.items()}

    return describe


_KINDS: dict[str, Callable[[], dict[str, str]]] = {
    "studies": catalog.summaries,
    "systems": _descriptions("segcore.systems", "SYSTEMS"),
    "methods": _descriptions("segcore.methods", "METHODS"),
    "datasets": _descriptions("segcore.data", "DATASETS"),
}

if __name__ == "__main__":
    raise SystemExit(main())
