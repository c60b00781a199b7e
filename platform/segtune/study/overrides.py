"""Change a configuration by dotted fields, flatten it, and hash what it computes.

Works on any frozen dataclass. A change is a dotted field and its value, such as
`{"method.rank": 8}`. A field whose value was chosen from a table by name takes the name of another
row: `{"method": "lora"}`. What both rows have from a common base (rank, learning rate of the two
GaLore methods) is kept; the row's other fields have their defaults. Of a tuple of configurations
each is a field by its place: `augment.transforms.0.probability`.
"""

import dataclasses
import difflib
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Changes = Mapping[str, Any]
_MESSAGES = {
    "tuple_type": "write a tuple, such as (0, 1)",
    "list_type": "write a list, such as [0, 1, 2]",
    "dict_type": "write names with values, such as {dice: 0.01}",
    "int_type": "write a whole number, without quotes",
    "float_type": "write a number, without quotes or a unit",
    "string_type": "write a text",
    "bool_type": "write true or false",
    "missing": "Field required",
}
"""Kind of a fault of pydantic's -> what to write."""


class SpecError(ValueError):
    """Something in a study is not right; `faults` has one line for each."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


def apply(config: Any, changes: Changes) -> Any:
    """The configuration with dotted fields changed.

    Raises:
        SpecError: unknown fields, wrong types, values out of range; all of them.
    """
    faults: list[str] = []
    changed = _apply(config, changes, "", faults)
    if faults:
        raise SpecError(faults)
    return changed


def flatten(config: Any, *, locations: bool = True) -> dict[str, Any]:
    """Every setting by its dotted field; a choice from a table stands as its name.

    Args:
        config: a dataclass.
        locations: whether fields that only say where something lies on disk are among them.
    """
    out: dict[str, Any] = {}
    for f in dataclasses.fields(config):
        if f.metadata.get("location") and not locations:
            continue
        value = getattr(config, f.name)
        if dataclasses.is_dataclass(value):
            if isinstance(name := getattr(value, "name", None), str):
                out[f.name] = name
        else:
            out[f.name] = _names(value)
        for place, part in _parts(value).items():
            inner = flatten(part, locations=locations)
            out |= {f"{f.name}{place}.{key}": item for key, item in inner.items()}
    return out


def nested(config: Any, *, locations: bool = True) -> dict[str, Any]:
    """Every setting as nested plain values; a choice from a table has its name as `name`.

    Args:
        config: a dataclass.
        locations: whether fields that only say where something lies are among them.
    """
    name = getattr(config, "name", None)
    out: dict[str, Any] = {"name": name} if isinstance(name, str) else {}
    for f in dataclasses.fields(config):
        if f.metadata.get("location") and not locations:
            continue
        value = getattr(config, f.name)
        if dataclasses.is_dataclass(value):
            value = nested(value, locations=locations)
        elif parts := _parts(value):
            value = [nested(part, locations=locations) for part in parts.values()]
        out[f.name] = list(value) if isinstance(value, tuple) else value
    return out


def non_default(config: Any) -> dict[str, Any]:
    """The settings that differ from their class's defaults, locations on disk left out.

    A field that is added to the code later, with a default, changes nothing here.
    """
    out: dict[str, Any] = {}
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if f.metadata.get("location"):
            continue
        if dataclasses.is_dataclass(value):
            if isinstance(name := getattr(value, "name", None), str):
                out[f.name] = name
        elif f.default is dataclasses.MISSING or value != f.default:
            out[f.name] = _names(value)
        for place, part in _parts(value).items():
            out |= {f"{f.name}{place}.{key}": item for key, item in non_default(part).items()}
    return out


def plain(changes: Changes) -> dict[str, Any]:
    """Changes as values that JSON has: in the place of a configuration its row's name, and what
    differs from that row's defaults by its dotted field."""
    out: dict[str, Any] = {}
    for field, value in changes.items():
        if not dataclasses.is_dataclass(value):
            out[field] = _names(value)
        elif isinstance(name := getattr(value, "name", None), str):
            out[field] = name
        for place, part in _parts(value).items():
            out |= {f"{field}{place}.{key}": item for key, item in non_default(part).items()}
    return out


def resolve_locations(config: Any) -> Any:
    """The configuration with absolute paths, since a Ray worker runs in a folder of its own."""
    new: dict[str, Any] = {}
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if dataclasses.is_dataclass(value):
            new[f.name] = resolve_locations(value)
        elif parts := _parts(value):
            new[f.name] = tuple(map(resolve_locations, parts.values()))
        elif f.metadata.get("location") and isinstance(value, str):
            new[f.name] = str(Path(value).expanduser().absolute())
    return dataclasses.replace(config, **new)


def config_hash(config: Any, **contents: str) -> str:
    """A name for what a trial computes: 16 hexadecimal digits.

    Args:
        config: its configuration; locations on disk do not count.
        contents: hashes of what the configuration refers to (data, weights).
    """
    text = json.dumps({**non_default(config), **contents}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _parts(value: Any) -> dict[str, Any]:
    """The configurations that a field holds, by what stands between its name and their fields: one
    (nothing), or each of a tuple (`.0`); none where it is a plain value."""
    if dataclasses.is_dataclass(value):
        return {"": value}
    if isinstance(value, tuple) and all(map(dataclasses.is_dataclass, value)):
        return {f".{i}": part for i, part in enumerate(value)}
    return {}


def _names(value: Any) -> Any:
    """A tuple of configurations by their rows' names; any other value as it is."""
    if not _parts(value):
        return value
    return tuple(getattr(part, "name", type(part).__name__) for part in value)


def _fields(value: Any) -> dict[str, Any]:
    """What can be changed in a configuration, or in a tuple of them; nothing in a plain value."""
    if dataclasses.is_dataclass(value):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    return {place.removeprefix("."): part for place, part in _parts(value).items()}


def _apply(config: Any, changes: Changes, path: str, faults: list[str]) -> Any:
    current = _fields(config)
    fields = {*current}
    whole = {k: v for k, v in changes.items() if "." not in k}
    inner: dict[str, dict[str, Any]] = {}
    for key, value in changes.items():
        head, dot, rest = key.partition(".")
        if dot:
            inner.setdefault(head, {})[rest] = value
    for name in sorted((whole.keys() | inner.keys()) - fields):
        faults.append(unknown_field(f"{path}{name}", fields, getattr(config, "renamed", {})))
    new: dict[str, Any] = {}
    for name in sorted(fields & (whole.keys() | inner.keys())):
        value = current[name]
        if name in whole:
            before = len(faults)
            value = _choose(value, whole[name], inner.get(name, {}), f"{path}{name}", faults)
            if len(faults) > before:
                continue  # what is said of its fields is of a row that nobody chose
        if name in inner and _are_rows(value):
            value = _told(value, inner[name], f"{path}{name}.", faults)
        elif name in inner:
            if not _parts(value):
                faults.append(f"{path}{name} has no fields: it is {value!r}")
                continue
            value = _apply(value, inner[name], f"{path}{name}.", faults)
        new[name] = value
    if isinstance(config, tuple):
        return tuple({**current, **new}.values())
    try:
        return dataclasses.replace(config, **new)
    except ValueError as error:
        faults += value_faults(error, path)
        return config


def _choose(current: Any, value: Any, inner: Changes, path: str, faults: list[str]) -> Any:
    """A row of the table that the current value comes from, by name; else the value itself.

    Args:
        current: what is there.
        value: a row's name, or a value.
        inner: changes to the row's own fields, of which it needs those without a default.
        path: where, for messages.
        faults: gets what is wrong.
    """
    if isinstance(value, Mapping) and hasattr(current, "choice"):
        faults.append(f"{path}: write its name, as {path}: NAME, and each field as {path}.FIELD")
        return current
    if not (isinstance(value, str) and hasattr(current, "choice")):
        return value
    try:
        row = current.choice(value)
        if row is type(current):
            return current
        needed = [f.name for f in dataclasses.fields(row) if _is_required(f)]
        given = {name: inner[name] for name in needed if name in inner}
        return row(**{**_shared(current, row), **given})
    except ValueError as error:
        faults += value_faults(error, f"{path}.") if hasattr(error, "errors") else [str(error)]
        return current


def _are_rows(value: Any) -> bool:
    """Whether it is a tuple of rows of which some stand as names, or as names and fields, which
    their class makes configurations of."""
    return isinstance(value, tuple) and any(isinstance(item, str | Mapping) for item in value)


def _told(rows: tuple[Any, ...], inner: Changes, path: str, faults: list[str]) -> tuple[Any, ...]:
    """Rows that stand as their names or fields, with changes to fields by the rows' places."""
    of_place: dict[str, dict[str, Any]] = {}
    for key, value in inner.items():
        place, _, field = key.partition(".")
        of_place.setdefault(place, {})[field] = value
    known = {str(place): item for place, item in enumerate(rows)}
    for place, changes in of_place.items():
        if place not in known:
            faults.append(unknown_field(f"{path}{place}", {*known}))
            continue
        item = known[place]
        if dataclasses.is_dataclass(item):
            known[place] = _apply(item, changes, f"{path}{place}.", faults)
        else:
            fields = {"name": item} if isinstance(item, str) else item
            known[place] = {**fields, **changes}
    return tuple(known.values())


def _shared(current: Any, row: type[Any]) -> dict[str, Any]:
    """The settings that a row has in common with what was chosen before."""
    bases = [c for c in type(current).__mro__ if c in row.__mro__ and dataclasses.is_dataclass(c)]
    names = [f.name for f in dataclasses.fields(bases[0])] if bases else []
    return {name: getattr(current, name) for name in names}


def _is_required(f: dataclasses.Field[Any]) -> bool:
    return f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING


def unknown_field(path: str, fields: set[str], renamed: Mapping[str, str] | None = None) -> str:
    """That a dotted field is none of those there are, and which was perhaps meant.

    Args:
        path: the field.
        fields: those there are beside it.
        renamed: earlier names of some of them -> what took their place (`renamed` of a class).
    """
    parent, _, name = path.rpartition(".")
    if renamed and name in renamed:
        now = f"{parent}.{renamed[name]}".removeprefix(".")
        return f"unknown field {path}: it is {now} now"
    if not fields:
        return f"unknown field {path}: the baseline's {parent} has no settings"
    close = difflib.get_close_matches(name, fields, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    return f"unknown field {path}: choose one of {', '.join(sorted(fields))}.{hint}"


def value_faults(error: ValueError, path: str) -> list[str]:
    """One line for each fault that a class found in its fields (pydantic lists them)."""
    errors = getattr(error, "errors", None)
    if errors is None:
        return [f"{path.rstrip('.')}: {error}" if path else str(error)]
    lines = []
    for e in errors():
        # A part that is blank is the tag of a union's member, which no user knows of.
        where = path + ".".join(part for part in map(str, e["loc"]) if part.strip())
        cause = e.get("ctx", {}).get("error")
        if hasattr(cause, "errors"):  # of a configuration that was made of a name and fields
            lines += value_faults(cause, f"{where}.")
            continue
        if e["type"] == "union_tag_invalid":
            which = e["ctx"]["discriminator"].strip("'")
            where = f"{where}.{which}" if where else which
            lines.append(f"{where} = {e['ctx']['tag']!r}: choose {e['ctx']['expected_tags']}")
            continue
        shown = e["loc"] and e["type"] != "missing" and not dataclasses.is_dataclass(e["input"])
        given = f" = {e['input']!r}" if shown else ""
        head = f"{where.rstrip('.')}{given}: " if where else ""
        lines.append(head + _what_to_do(e["type"], e["msg"], e["input"], e.get("ctx", {})))
    return lines


def _what_to_do(kind: str, message: str, given: object, context: Mapping[str, Any]) -> str:
    """What to write in the place of a value that pydantic refused."""
    if kind == "tuple_type" and isinstance(given, str):
        return "write a tuple, such as ('a', 'b')"
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", context["expected"])
        close = difflib.get_close_matches(str(given), choices, n=1)
        return message + (f". Did you mean {close[0]}?" if close else "")
    return _MESSAGES.get(kind, message.removeprefix("Value error, "))
