"""`segtune list`: what there is to choose from."""

import argparse
import importlib
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from segtune.study import catalog

HELP = "studies, systems, methods, losses, data sets and metrics by name"


def arguments(parser: argparse.ArgumentParser) -> None:
    """One kind of name, or all."""
    parser.add_argument("kind", nargs="?", choices=list(_KINDS))


def run(args: argparse.Namespace, console: Console) -> int:
    """Print one table per kind."""
    for kind in [args.kind] if args.kind else list(_KINDS):
        table = Table(title=kind, title_justify="left", show_header=False, box=None)
        for name, description in _KINDS[kind]().items():
            table.add_row(name, description)
        console.print(table)
    return 0


def _methods() -> dict[str, str]:
    """With the systems that a method refuses, and why."""
    entries = importlib.import_module("segcore.methods").METHODS
    return {
        name: "; ".join(
            [entry.description, *(f"not for {s}: {why}" for s, why in entry.refuses.items())]
        )
        for name, entry in entries.items()
    }


def _descriptions(module: str, table: str) -> Callable[[], dict[str, str]]:
    def describe() -> dict[str, str]:
        entries = getattr(importlib.import_module(module), table)
        return {name: entry.description for name, entry in entries.items()}

    return describe


_KINDS: dict[str, Callable[[], dict[str, str]]] = {
    "studies": catalog.summaries,
    "systems": _descriptions("segcore.systems", "SYSTEMS"),
    "methods": _methods,
    "losses": _descriptions("segcore.losses", "LOSSES"),
    "datasets": _descriptions("segcore.data", "DATASETS"),
    "metrics": _descriptions("segcore.metrics.table", "METRICS"),
}
