"""Tables of names: each row says what a name builds and loads it only when asked for.

A table is open. A row of somebody else's is added by `register` in a study's own file, or by an
installed package whose entry points are in the table's group:

    [project.entry-points."segcore.methods"]
    mine = "my_package.methods:Mine"
"""

import functools
import importlib
import importlib.metadata
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args

T = TypeVar("T")
Trait = Literal[
    "pretrained weights",
    "layers to adapt",
    "queries and values",
    "transformer blocks",
    "depth maps",
]
"""What a row may need of a row of another table: a method of a system (weights of the role
`pretrained`, linear layers by `System.adaptable`, those of them by `System.fused_qkv` or
`System.separate_qv`), a system of a data set (`Dataset.has_depth`); and what settings of a training
need of a system (the blocks of its pretrained encoders, by `transformer_blocks`)."""


@dataclass(frozen=True)
class Entry:
    """One row of a table of names."""

    target: str
    """Where the object lives: `module:name`. Imported on `load`, never before."""
    description: str
    """One line for a person; the CLI prints it."""
    needs: Mapping[Trait, str] = field(default_factory=dict)
    """What the row needs at its defaults of that which it is put together with, and what to do
    where there is none of it. The first one missing is told."""
    lacks: tuple[Trait, ...] = ()
    """What the row never has, however it is configured."""
    refuses: Mapping[str, str] = field(default_factory=dict)
    """Rows that it cannot be put together with for another reason: of a method, the system's name
    and why."""
    loaded: Any = None
    """The object itself, where it was registered and not named."""

    @property
    def module(self) -> str:
        """Where the object lives."""
        return self.target.partition(":")[0]

    def refusal(self, table: "Table", name: str, unneeded: tuple[Trait, ...] = ()) -> str | None:
        """Why the row cannot be put together with one of another table; None: it can.

        Nothing is loaded: this is what the rows say. A row that says nothing refuses nothing here.

        Args:
            table: of the systems, for a method; of the data sets, for a system.
            name: of the row in it.
            unneeded: what a configuration other than the defaults does without.
        """
        if name in self.refuses:
            return self.refuses[name]
        for trait, advice in self.needs.items():
            if trait in table[name].lacks and trait not in unneeded:
                return f"it has no {trait}; {advice}"
        return None

    def load(self) -> Any:
        """The object; imported where it was not."""
        if self.loaded is not None:
            return self.loaded
        module, _, attribute = self.target.partition(":")
        return getattr(importlib.import_module(module), attribute)


class Table(Mapping[str, Entry]):
    """Rows by name: ours, those of installed packages, and those that were registered."""

    def __init__(self, name: str, group: str, kind: str) -> None:
        """Begin a table.

        Args:
            name: of the variable that it is, for messages.
            group: of the entry points that add to it: the package that has the variable.
            kind: what it lists, for messages.
        """
        self.name, self.group, self.kind = name, group, kind
        self._rows: dict[str, Entry] = {}

    def add(
        self,
        name: str,
        target: str,
        description: str,
        *,
        needs: Mapping[Trait, str] | None = None,
        lacks: tuple[Trait, ...] = (),
        refuses: Mapping[str, str] | None = None,
    ) -> None:
        """Add a row that is loaded only when asked for. Arguments as of `Entry`.

        Raises:
            ValueError: there is a row of this name, or no such trait.
        """
        self._insert(name, Entry(target, description, needs or {}, lacks, refuses or {}))

    def register(
        self,
        name: str,
        description: str,
        *,
        needs: Mapping[Trait, str] | None = None,
        lacks: tuple[Trait, ...] = (),
        refuses: Mapping[str, str] | None = None,
    ) -> Callable[[T], T]:
        """A decorator that adds a row for what stands below it, in a study's file for example.

            @METHODS.register("head_only", "trains the head and half of the encoder")
            class HeadOnly(Method): ...

        A file that is loaded again replaces its own row. Arguments as of `Entry`.

        Raises:
            ValueError: there is a row of this name from elsewhere, or no such trait.
        """

        module = sys._getframe(1).f_globals["__name__"]  # of a metric its object does not tell

        def insert(item: T) -> T:
            if not isinstance(item, type) and getattr(item, "key", name) != name:
                raise ValueError(f"register {item!r} as {getattr(item, 'key', '')!r}, its own key")
            target = f"{module}:{getattr(item, '__qualname__', name)}"
            if name not in self._rows and name in _installed(self.group):
                raise ValueError(
                    f"there is a {self.kind} {name!r} already, {self[name].description}: give "
                    "another name"
                )
            row = Entry(target, description, needs or {}, lacks, refuses or {}, loaded=item)
            self._insert(name, row)
            if isinstance(item, type) and hasattr(item, "table"):
                setattr(item, "name", name)  # noqa: B010  # a configuration says which row it is
            return item

        return insert

    def _insert(self, name: str, entry: Entry) -> None:
        there = self._rows.get(name)
        if there is not None and there.module != entry.module:
            raise ValueError(
                f"there is a {self.kind} {name!r} already ({there.target}): give another name"
            )
        if unknown := {*entry.needs, *entry.lacks} - {*get_args(Trait)}:
            raise ValueError(
                f"the {self.kind} {name!r} needs or lacks {', '.join(sorted(unknown))}: choose of "
                f"{'; '.join(get_args(Trait))}"
            )
        self._rows[name] = entry

    def choose(self, name: str) -> Any:
        """The object that a name stands for.

        Raises:
            ValueError: no such name; the message lists those there are.
        """
        if name not in self:
            raise ValueError(
                f"unknown {self.kind} {name!r}: choose one of {', '.join(sorted(self))}"
            )
        return self[name].load()

    def __getitem__(self, name: str) -> Entry:
        if name in self._rows:
            return self._rows[name]
        return _installed(self.group)[name]

    def __iter__(self) -> Iterator[str]:
        yield from self._rows
        yield from (name for name in _installed(self.group) if name not in self._rows)

    def __len__(self) -> int:
        return sum(1 for _ in self)


@functools.cache
def _installed(group: str) -> dict[str, Entry]:
    """The rows that installed packages bring."""
    return {
        point.name: Entry(point.value, f"of the package {point.dist.name if point.dist else '?'}")
        for point in importlib.metadata.entry_points(group=group)
    }
