"""Tables of names: each row says what a name builds and loads it only when asked for.

A table is open. A row of somebody else's is added by `register` in a study's own file, or by an
installed package whose entry points are in the table's group:

    [project.entry-points."segcore.methods"]
    mine = "my_package.methods:Mine"
"""

import dataclasses
import functools
import importlib
import importlib.metadata
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, TypeVar

from pydantic import ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter
from pydantic_core import core_schema

T = TypeVar("T")
STRICT = ConfigDict(strict=True, extra="forbid", arbitrary_types_allowed=True)
"""How every configuration is validated: no silent conversion, no unknown field."""


@dataclass(frozen=True)
class Entry:
    """One row of a table of names."""

    target: str
    """Where the object lives: `module:name`. Imported on `load`, never before."""
    description: str
    """One line for a person; the CLI prints it."""
    refuses: Mapping[str, str] = field(default_factory=dict)
    """Of a method: the systems that it cannot adapt, and why."""
    loaded: Any = None
    """The object itself, where it was registered and not named."""

    def load(self) -> Any:
        """The object; imported where it was not."""
        if self.loaded is not None:
            return self.loaded
        module, _, attribute = self.target.partition(":")
        return getattr(importlib.import_module(module), attribute)


class Table(Mapping[str, Entry]):
    """Rows by name: ours, those of installed packages, and those that were registered."""

    def __init__(self, group: str, kind: str) -> None:
        """Begin a table.

        Args:
            group: of the entry points that add to it.
            kind: what it lists, for messages.
        """
        self.group, self.kind = group, kind
        self._rows: dict[str, Entry] = {}

    def add(
        self,
        name: str,
        target: str,
        description: str,
        *,
        refuses: Mapping[str, str] | None = None,
    ) -> None:
        """Add a row that is loaded only when asked for.

        Raises:
            ValueError: there is a row of this name.
        """
        self._insert(name, Entry(target, description, refuses or {}))

    def register(
        self, name: str, description: str, *, refuses: Mapping[str, str] | None = None
    ) -> Callable[[T], T]:
        """A decorator that adds a row for what stands below it, in a study's file for example.

            @METHODS.register("head_only", "trains the head and half of the encoder")
            class HeadOnly(Method): ...

        A file that is loaded again replaces its own row.

        Raises:
            ValueError: there is a row of this name from elsewhere.
        """

        module = sys._getframe(1).f_globals["__name__"]  # of a metric its object does not tell

        def insert(item: T) -> T:
            if getattr(item, "key", name) != name:
                raise ValueError(f"register {item!r} as {getattr(item, 'key', '')!r}, its own key")
            target = f"{module}:{getattr(item, '__qualname__', name)}"
            self._insert(name, Entry(target, description, refuses or {}, loaded=item))
            if isinstance(item, type) and issubclass(item, Choice):
                item.name = name
            return item

        return insert

    def _insert(self, name: str, entry: Entry) -> None:
        there = self._rows.get(name)
        if there is not None and there.target != entry.target:
            raise ValueError(
                f"there is a {self.kind} {name!r} already ({there.target}): give another name"
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


class Choice:
    """Base of the configurations that a table offers by name (a method, dataset or system)."""

    table: ClassVar[Table]
    """The table that this kind of choice is listed in."""
    name: ClassVar[str]
    """The row's name in the table."""

    @classmethod
    def choice(cls, name: str) -> type[Self]:
        """The class that a name stands for.

        Raises:
            ValueError: no such name; the message lists those there are.
        """
        found: type[Self] = cls.table.choose(name)
        return found

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """A field of this kind takes any row's object; in JSON a row stands as its fields beside
        its `name`."""
        if "name" in cls.__dict__ or dataclasses.is_dataclass(cls):
            return handler(source)

        def load(value: Any, info: core_schema.ValidationInfo[Any]) -> Any:
            if info.mode == "json" and isinstance(value, Mapping) and "name" in value:
                own = {k: v for k, v in value.items() if k != "name"}
                return TypeAdapter(cls.choice(value["name"])).validate_json(json.dumps(own))
            if not isinstance(value, cls):
                raise ValueError(f"give a {cls.table.kind}, such as {cls.__name__}.named(...)")
            return value

        return core_schema.with_info_plain_validator_function(
            load,
            serialization=core_schema.plain_serializer_function_ser_schema(Choice.to_json),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """One of the rows, told apart by `name`."""
        if "name" in cls.__dict__ or dataclasses.is_dataclass(cls):
            return handler(schema)
        rows = []
        for name, entry in cls.table.items():
            row = handler.resolve_ref_schema(handler(TypeAdapter(entry.load()).core_schema))
            own = {"name": {"const": name}, **row.get("properties", {})}
            required = ["name", *row.get("required", [])]
            rows.append({**row, "title": name, "properties": own, "required": required})
        return {"oneOf": rows, "title": cls.table.kind}

    def to_json(self) -> dict[str, Any]:
        """The fields as plain values, and the row's `name`."""
        dumped: dict[str, Any] = TypeAdapter(type(self)).dump_python(self, mode="json")
        return {"name": self.name, **dumped}

    @classmethod
    def named(cls, name: str, /, **fields: Any) -> Self:
        """Build the choice called `name`.

        Raises:
            ValueError: no such name, or a bad field.
        """
        return cls.choice(name)(**fields)
