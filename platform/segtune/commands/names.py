"""`segtune list`: what there is to choose from."""

import argparse
import importlib
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from segtune.study import catalog

HELP = "studies, systems, methods and data sets by name"


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


def _descriptions(module: str, table: str) -> Callable[[], dict[str, str]]:
    def describe() -> dict[str, str]:
        entries = getattr(importlib.import_module(module), table)
        return {name: entry.description for name, entry in entries.items()}

    return describe


_KINDS: dict[str, Callable[[], dict[str, str]]] = {
    "studies": catalog.summaries,
    "systems": _descriptions("segcore.systems", "SYSTEMS"),
    "methods": _descriptions("segcore.methods", "METHODS"),
    "datasets": _descriptions("segcore.data", "DATASETS"),
}
