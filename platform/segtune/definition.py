"""The definition of a study as it was run, kept beside its tables as `study.json`."""

import json
import os
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1


def definition_path(storage: Path, study: str) -> Path:
    """Where a study's definition is kept."""
    return Path(storage) / study / "study.json"


def write(storage: Path, study: str, definition: dict[str, Any]) -> None:
    """Keep a definition, in place of the one before."""
    path = definition_path(storage, study)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(json.dumps(definition, indent=2) + "\n")
    os.replace(unfinished, path)


def read(storage: Path, study: str) -> dict[str, Any] | None:
    """A study's definition; None where no study of this name was run here."""
    path = definition_path(storage, study)
    if not path.is_file():
        return None
    definition: dict[str, Any] = json.loads(path.read_text())
    return definition
