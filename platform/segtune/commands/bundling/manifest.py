"""The list of what a bundle holds: files, rows, claims, and the software that wrote it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from pydantic import JsonValue, TypeAdapter, ValidationError

NAME = "manifest.json"
FORMAT = "segtune bundle"
VERSION = 1
"""Of this form of a bundle."""
Claims = Mapping[str, Mapping[str, JsonValue]]
"""What is claimed of -> its values, by name."""


@dataclass(frozen=True)
class File:
    """A file of the bundle."""

    sha256: str
    bytes: int
    columns: Mapping[str, str] | None = None
    """Of a table: column -> hash of its cells. The hashes of its rows stand in a file of their
    own, a line each, since they are many."""


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself."""

    format: str
    version: int
    study: str
    trials: Mapping[str, int]
    """State -> trials: as in the tables, and `waiting` for those that have not begun."""
    written_with: Mapping[str, str]
    """Software that wrote the bundle and computed its claims: name -> version."""
    files: Mapping[str, File]
    """Path in the bundle -> what lies there; this file aside."""
    claims: Claims

    @property
    def unfinished(self) -> int:
        """Trials that have not ended by themselves or by a scheduler."""
        done = ("finished", "pruned")
        return sum(n for state, n in self.trials.items() if state not in done)


def to_bytes(manifest: Manifest) -> bytes:
    """JSON, with its keys in order."""
    return (json.dumps(asdict(manifest), indent=1, sort_keys=True) + "\n").encode()


def from_bytes(content: bytes) -> Manifest:
    """Read what `to_bytes` wrote.

    Raises:
        ValueError: it is no manifest, or one of a later version.
    """
    try:
        plain = json.loads(content)
    except ValueError as error:
        raise ValueError(f"its {NAME} is damaged: {error}") from error
    if not isinstance(plain, dict) or plain.get("format") != FORMAT:
        raise ValueError(f"its {NAME} is not that of a bundle: make one with segtune bundle STUDY")
    if plain.get("version") != VERSION:
        raise ValueError(
            f"it is of version {plain.get('version')}, and this segtune reads version {VERSION}: "
            "use the segtune that wrote it, or a later one"
        )
    try:
        return TypeAdapter(Manifest).validate_python(plain)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5]]
        raise ValueError("\n".join([f"its {NAME} is damaged:", *faults])) from None
