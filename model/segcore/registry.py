"""Configurations that a table offers by name, and how they are validated, read and written."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter
from pydantic_core import core_schema

from segcore.tables import Table

STRICT = ConfigDict(strict=True, extra="forbid", arbitrary_types_allowed=True)
"""How every configuration is validated: no silent conversion, no unknown field."""


def check_registered(value: "Choice") -> None:
    """Refuse a configuration that no table lists: it could be found nowhere else again.

    Raises:
        ValueError: what to write above its class.
    """
    kind = type(value)
    name = getattr(kind, "name", None)
    if name is None or name not in value.table or value.table[name].load() is not kind:
        raise ValueError(
            f"the {value.table.kind} {kind.__name__} is not registered: write "
            f"@{value.table.name}.register(NAME, DESCRIPTION) above its class, with "
            f"{value.table.name} from {value.table.group}"
        )


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
            check_registered(value)
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
