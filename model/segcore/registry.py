"""Tables of names: each row says what a name builds and loads it only when asked for."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import ConfigDict

STRICT = ConfigDict(strict=True, extra="forbid", arbitrary_types_allowed=True)
"""How every configuration is validated: no silent conversion, no unknown field."""


@dataclass(frozen=True)
class Entry:
    """One row of a table of names."""

    target: str
    """Where the class lives: `module:Class`. Imported on `load`, never before."""
    description: str
    """One line for a person; the CLI prints it."""

    def load(self) -> Any:
        """Import and return the class."""
        module, _, attribute = self.target.partition(":")
        return getattr(importlib.import_module(module), attribute)


class Choice:
    """Base of the configurations that a table offers by name (a method, dataset or system)."""

    kind: ClassVar[str]
    """What the table lists, for messages."""
    name: ClassVar[str]
    """The row's name in the table."""

    @classmethod
    def table(cls) -> Mapping[str, Entry]:
        """The table that this kind of choice is listed in."""
        raise NotImplementedError

    @classmethod
    def choice(cls, name: str) -> type[Self]:
        """The class that a name stands for.

        Raises:
            ValueError: no such name; the message lists those there are.
        """
        table = cls.table()
        if name not in table:
            raise ValueError(
                f"unknown {cls.kind} {name!r}: choose one of {', '.join(sorted(table))}"
            )
        found: type[Self] = table[name].load()
        return found

    @classmethod
    def named(cls, name: str, /, **fields: Any) -> Self:
        """Build the choice called `name`.

        Raises:
            ValueError: no such name, or a bad field.
        """
        return cls.choice(name)(**fields)
