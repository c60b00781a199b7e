"""`segtune list`: what there is to choose from."""

import argparse
import importlib
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from segtune import extras
from segtune.as_json import json_argument, print_json
from segtune.commands import pairs
from segtune.study import catalog

HELP = "studies, systems, encoders, methods, losses, data sets and metrics, and what goes together"


def arguments(parser: argparse.ArgumentParser) -> None:
    """One kind of name, or all."""
    parser.add_argument("kind", nargs="?", choices=[*_KINDS, _PAIRS])
    json_argument(parser)


def run(args: argparse.Namespace, console: Console) -> int:
    """Print one table per kind, and which rows go together."""
    if args.json:
        if args.kind == _PAIRS:
            raise ValueError("pairs are a table for people: leave out --json, or give another kind")
        print_json({k: _KINDS[k]() for k in _KINDS if args.kind in (None, k)})
        return 0
    for kind in (k for k in _KINDS if args.kind in (None, k)):
        table = Table(title=kind, title_justify="left", show_header=False, box=None)
        for name, description in _KINDS[kind]().items():
            table.add_row(name, description)
        console.print(table)
    if args.kind in (None, _PAIRS):
        console.print("pairs: what goes with which system, at its defaults", style="italic")
        console.print(*pairs.lines(), sep="\n", highlight=False)
    if lacking := extras.without_training():
        console.print(lacking, highlight=False)
    return 0


def _descriptions(module: str, table: str) -> Callable[[], dict[str, str]]:
    def describe() -> dict[str, str]:
        entries = getattr(importlib.import_module(module), table)
        return {name: entry.description for name, entry in entries.items()}

    return describe


_KINDS: dict[str, Callable[[], dict[str, str]]] = {
    "studies": catalog.summaries,
    "systems": _descriptions("segcore.systems", "SYSTEMS"),
    "rgb_encoders": _descriptions("segcore.systems.rgb_encoders", "RGB_ENCODERS"),
    "depth_encoders": _descriptions("segcore.systems.depth_encoders", "DEPTH_ENCODERS"),
    "methods": _descriptions("segcore.methods", "METHODS"),
    "losses": _descriptions("segcore.losses", "LOSSES"),
    "transforms": _descriptions("segcore.transforms", "TRANSFORMS"),
    "datasets": _descriptions("segcore.data", "DATASETS"),
    "metrics": _descriptions("segcore.metrics.table", "METRICS"),
}
_PAIRS = "pairs"
