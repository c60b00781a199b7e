"""Which methods and data sets go with which system, as `segtune list pairs` prints it."""

import importlib
import textwrap
from collections.abc import Iterable, Iterator
from typing import NamedTuple

WIDTH = 80
_STEP = 5
"""Characters of a column."""


class Pairs(NamedTuple):
    """Why rows of one kind cannot be put together with systems."""

    kind: str
    """Of the rows: `methods`."""
    refused: dict[str, list[str | None]]
    """By row: for every system in its order why not; None: they go together."""


def matrix() -> tuple[list[str], list[Pairs]]:
    """The systems, and methods and data sets beside each of them; nothing is loaded for it."""
    systems = importlib.import_module("segcore.systems").SYSTEMS
    methods = importlib.import_module("segcore.methods").METHODS
    datasets = importlib.import_module("segcore.data").DATASETS
    by_method = {m: [row.refusal(systems, s) for s in systems] for m, row in methods.items()}
    by_data = {d: [row.refusal(datasets, d) for row in systems.values()] for d in datasets}
    return list(systems), [Pairs("methods", by_method), Pairs("datasets", by_data)]


def lines() -> Iterator[str]:
    """The matrix, a column for each system, and below it what the numbers in it stand for."""
    systems, tables = matrix()
    names = [name for table in tables for name in table.refused]
    begin = 2 + max(map(len, names), default=0)
    for number, system in enumerate(systems):
        yield " " * begin + f"{'|':{_STEP}}" * number + system
    notes: dict[str, int] = {}
    for kind, refused in tables:
        yield f"{kind:{begin}}" + _cells(["|"] * len(systems))
        for name, reasons in refused.items():
            marks = [
                "yes" if reason is None else f"({notes.setdefault(reason, len(notes) + 1)})"
                for reason in reasons
            ]
            yield f" {name:{begin - 1}}" + _cells(marks)
    for reason, number in notes.items():
        mark = f"({number}) "
        yield from textwrap.wrap(
            reason, WIDTH, initial_indent=mark, subsequent_indent=" " * len(mark)
        )


def _cells(marks: Iterable[str]) -> str:
    return "".join(f"{mark:{_STEP}}" for mark in marks).rstrip()
