"""`study.json`: the definition of a study as it was run, in the same folder as its tables."""

import json
from collections.abc import Mapping
from typing import Any

from segtune.results.storage import Place, Storage
from segtune.study.definition import SCHEMA_VERSION

_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "schema_version": int,
    "study": str,
    "question": str,
    "kind": str,
    "baseline": dict,
    "baseline_arm": str,
    "arms": dict,
    "seeds": list,
    "tune": dict,
    "space": dict,
    "num_samples": int,
    "objectives": list,
    "scores": dict,
    "finalists": int,
    "margin": dict,
    "folds": int,
}
"""What a definition's fields are, where they are there."""


def path_of(storage: Storage, study: str) -> Place:
    """Where a study's definition is kept."""
    return Place.of(storage) / study / "study.json"


def write(storage: Storage, study: str, definition: dict[str, Any]) -> None:
    """Write a study's definition, in place of the one before."""
    content = json.dumps(definition, indent=2) + "\n"
    path_of(storage, study).write(content.encode())


def read(storage: Storage, study: str) -> dict[str, Any] | None:
    """A study's definition; None where no study of this name was run here.

    Raises:
        ValueError: the file was damaged, or another version of segtune wrote it otherwise.
    """
    path = path_of(storage, study)
    if not path.is_file():
        return None
    try:
        definition: dict[str, Any] = json.loads(path.read())
        _check(definition)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is damaged: {error}. Delete it: a run with the same study writes it anew"
        ) from error
    if (version := definition.get("schema_version", SCHEMA_VERSION)) != SCHEMA_VERSION:
        raise ValueError(
            f"{path} and the tables beside it are of version {version}, and this segtune reads and "
            f"writes version {SCHEMA_VERSION}. Use the segtune that wrote them, or give another "
            "folder with --storage"
        )
    return definition


def _check(definition: Any) -> None:
    """Whether JSON holds a definition.

    Raises:
        ValueError: it holds something else.
    """
    if not isinstance(definition, dict):
        raise ValueError(f"it holds {json.dumps(definition)[:40]}, and no study")
    for name, kind in _KINDS.items():
        value = definition.get(name)
        if value is not None and not isinstance(value, kind):
            raise ValueError(f"its {name} is {json.dumps(value)[:40]}")
