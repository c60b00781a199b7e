"""`segtune doctor`: whether this machine has what a study needs, and what to do where not."""

import argparse
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from segtune import extras
from segtune.as_json import json_argument, print_json
from segtune.commands.shared import changed_study, storage_argument, study_arguments

if TYPE_CHECKING:
    from segtune.doctor import Finding

HELP = "whether this machine has what a study needs, and what to do where not"
_MARKS = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "fault": ("fault", "bold red")}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Where results would go; a study to look over with its data and weights."""
    study_arguments(parser, optional=True)
    storage_argument(parser)
    json_argument(parser)


def run(args: argparse.Namespace, console: Console) -> int:
    """Check everything; 2 where there are faults."""
    from segtune.doctor import examine

    found = list(examine(args.storage, os.environ))
    if args.study is not None:
        found += study_findings(args)
    faults = sum(f.level == "fault" for f in found)
    if args.json:
        print_json({"faults": faults, "findings": found})
    else:
        console.print(findings_table(found), soft_wrap=False)
    return 2 if faults else 0


def study_findings(args: argparse.Namespace) -> Iterator["Finding"]:
    """The study, its data and its weights, looked over as `segtune run` does."""
    from segtune.doctor import Finding

    if extras.without_training():
        found = "can't be looked over without what trains it"
        yield Finding("fault", args.study, found, extras.install("train"))
        return
    from segtune.execution.preflight import check_data_and_weights, check_study
    from segtune.execution.resources import Resources
    from segtune.study.overrides import SpecError

    try:
        named = changed_study(args)
        check_study(named.study, named.name, args.storage, Resources())
        check_data_and_weights(named.study, Resources())
    except SpecError as error:
        for fault in error.faults:
            yield Finding("fault", args.study, fault)
        return
    except ValueError as error:
        yield Finding("fault", args.study, str(error))
        return
    yield Finding("ok", named.name, "the study, its data and its weights are in order")


def findings_table(found: "Sequence[Finding]") -> Table:
    """One line per finding, what to do below it."""
    warnings = sum(f.level == "warning" for f in found)
    faults = sum(f.level == "fault" for f in found)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column()
    grid.add_column()
    for finding in found:
        mark, style = _MARKS[finding.level]
        text = Text(finding.found)
        if finding.advice:
            text.append(f"\n-> {finding.advice}", style=style)
        grid.add_row(Text(mark, style=style), Text(finding.subject), text)
    grid.add_row()
    total = f"{_count(faults, 'fault')}, {_count(warnings, 'warning')}"
    grid.add_row("", "", Text(total, style="bold"))
    return grid


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
