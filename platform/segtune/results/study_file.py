"""`study.json`: the definition of a study as it was run, in the same folder as its tables."""

import json
from typing import Any

from segtune.results.integrity.study_form import check_form
from segtune.results.storage import Place, Storage
from segtune.study.definition import SCHEMA_VERSION


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
        check_form(definition)
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
