"""A data set as it is named on the command line."""

import ast
import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segcore.data.dataset import DataConfig


def fields_of(texts: Iterable[str], example: str) -> dict[str, Any]:
    """Fields and their values, of texts such as `line_width=0.03`.

    Args:
        texts: as they were given to --set.
        example: of such a text, for the message.

    Raises:
        ValueError: one without a field or a value; all of them.
    """
    parted = [text.partition("=") for text in texts]
    if wrong := ["".join(p) for p in parted if not (p[0] and p[1])]:
        told = "\n".join(f"--set {text}: write FIELD=VALUE, such as {example}" for text in wrong)
        raise ValueError(told)
    return {field: _value(text) for field, _, text in parted}


def data_set(values: Mapping[str, Any], changes: Mapping[str, Any], prefix: str) -> "DataConfig":
    """A data set with some of its fields changed.

    Args:
        values: its name, as `name`, and fields, as a checkpoint keeps them.
        changes: fields that are set.
        prefix: what stands before a field in --set, for messages: `data.`, or nothing.

    Raises:
        ValueError: no such name or field, a value that cannot be, or none of a field that the set
            can't do without; all faults of the fields.
    """
    from segcore.config import from_json
    from segcore.data.dataset import DataConfig
    from segtune.study.overrides import SpecError, unknown_field, value_faults

    name = str(values["name"])
    cls: Any = DataConfig.choice(name)
    known = {f.name: f for f in dataclasses.fields(cls)}
    faults = [unknown_field(prefix + field, {*known}) for field in changes if field not in known]
    places = {field for field in changes.keys() & known if known[field].metadata.get("location")}
    given = {**values, **changes, **{field: str(changes[field]) for field in places}}
    del given["name"]
    needed = [
        f.name
        for f in known.values()
        if f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
        and f.name not in given
    ]
    if needed:
        faults.append(f"{name}: say {', '.join(f'--set {prefix}{field}=...' for field in needed)}")
    if faults:
        raise SpecError(faults)
    try:
        found: DataConfig = from_json(cls, given)
    except TypeError as error:  # a set or bytes, as Python writes them
        raise SpecError([f"{name}: {error}: give texts, numbers, or several of them"]) from None
    except ValueError as error:
        raise SpecError(value_faults(error, prefix)) from None
    return found


def _value(text: str) -> Any:
    """A Python value as it is written, else the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
