"""`data.json`: what the data of a study hold, counted once and kept beside its tables.

Patients, images and classes of each split, and whether splits share any: what a reader of the
report asks, and what nobody can count any more who has the tables alone.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from segtune.results.storage import Place, Storage

FILE = "data.json"
VERSION = 1
"""Of the file's form."""


@dataclass(frozen=True)
class SplitFacts:
    """What a split holds."""

    images: int
    patients: int
    labelled: Mapping[str, int]
    """Foreground class -> images in which it occurs."""
    share: Mapping[str, float]
    """Foreground class -> mean share of an image's pixels."""


@dataclass(frozen=True)
class SharedFacts:
    """What two splits have in common."""

    splits: tuple[str, str]
    images: int
    """With the same bytes."""
    patients: int | None
    """Of the same name; None: nothing says that the two name patients alike."""


@dataclass(frozen=True)
class SetFacts:
    """A data set of a study."""

    name: str
    """Of the data set."""
    role: Literal["data", "external"]
    """Whether it is trained, selected and tested on, or tested on besides."""
    content_hash: str
    """Of its ids, splits and files: as in the table `trials`, unless a training takes a part."""
    names_patients: bool
    """Whether images say which patient they are of; else each one counts as a patient."""
    splits: Mapping[str, SplitFacts]
    sizes: Mapping[str, int]
    """Size as `192x256` (height first) -> images."""
    shared: tuple[SharedFacts, ...]
    repeated: int
    """Groups of images with the same bytes within one split."""


_READER = TypeAdapter(tuple[SetFacts, ...])


def write(storage: Storage, study: str, sets: Sequence[SetFacts]) -> None:
    """Write what the data of a study hold, in place of what was written before."""
    content = {"version": VERSION, "sets": [asdict(one) for one in sets]}
    _path(storage, study).write((json.dumps(content, indent=1) + "\n").encode())


def read(storage: Storage, study: str) -> tuple[SetFacts, ...]:
    """What the data of a study hold; empty where nobody has counted yet.

    Raises:
        ValueError: the file was damaged, or another version of segtune wrote it otherwise.
    """
    path = _path(storage, study)
    if not path.is_file():
        return ()
    again = f"delete it, and write it anew: segtune data describe {study}"
    try:
        content = json.loads(path.read())
        if isinstance(content, dict) and content.get("version") != VERSION:
            raise ValueError(
                f"{path} is of version {content.get('version')}, this segtune reads {VERSION}: "
                f"{again}"
            )
        return _READER.validate_python(content["sets"])
    except (ValidationError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({type(error).__name__}): {again}") from error


def _path(storage: Storage, study: str) -> Place:
    return Place.of(storage) / study / FILE
