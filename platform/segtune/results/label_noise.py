"""`label_noise.json`: how much two annotators of a study's test images disagree.

For each way in which a second annotator may differ, the scores of its masks against the truth,
under the study's own metrics: what a network would score that draws as well as another person.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from segtune.results.storage import Place, Storage

FILE = "label_noise.json"
VERSION = 1
"""Of the file's form."""


@dataclass(frozen=True)
class NoiseScore:
    """One metric of one class over the split."""

    metric: str
    protocol: str
    resolution: str
    """Size of the masks that were compared, as in the table `scores`."""
    class_name: str
    label: str
    """The metric as it is written for a person."""
    unit: str
    value: float | None
    """Of the second annotator's masks; None where no image defines it."""
    perfect: float | None
    """Of the truth itself."""

    @property
    def floor(self) -> float | None:
        """By how much the second annotator is off."""
        if self.value is None or self.perfect is None:
            return None
        return abs(self.perfect - self.value)


@dataclass(frozen=True)
class NoiseLevel:
    """A second annotator."""

    kind: Literal["shift", "lines", "second"]
    """Outlines shifted, lines drawn through other points, or masks that somebody drew."""
    amount: float | None
    """Mean distance between the two, at each image's own size; None of masks that were drawn."""
    percent: bool
    """Whether the amount is in percent of an image's diagonal; else in pixels."""
    scores: tuple[NoiseScore, ...]

    @property
    def apart(self) -> str:
        """`2 px`, `0.5 % of the diagonal`; empty of masks that were drawn."""
        unit = "% of the diagonal" if self.percent else "px"
        return "" if self.amount is None else f"{self.amount:g} {unit}"

    def who(self, apart: str | None = None) -> str:
        """`two annotators whose outlines are 2 px apart`.

        Args:
            apart: how far, in words; None: so far as these are.
        """
        if self.amount is None:
            return "the first and the second annotator"
        what = "the points of whose lines" if self.kind == "lines" else "whose outlines"
        return f"two annotators {what} are {apart or self.apart} apart"


@dataclass(frozen=True)
class LabelNoise:
    """All second annotators of one data set."""

    data: str
    """Name of the data set."""
    content_hash: str
    """Of its ids, splits and files."""
    split: str
    seed: int
    """Of the perturbations."""
    levels: tuple[NoiseLevel, ...]


_READER = TypeAdapter(LabelNoise)


def to_bytes(found: LabelNoise) -> bytes:
    """JSON."""
    return (json.dumps({"version": VERSION, **asdict(found)}, indent=1) + "\n").encode()


def write(storage: Storage, study: str, found: LabelNoise) -> None:
    """Keep it beside a study's tables. Levels that are there already, of the same data and seed,
    stay unless they were computed anew."""
    before = read(storage, study)
    levels: Sequence[NoiseLevel] = found.levels
    if before is not None and _what(before) == _what(found):
        anew = {_which(level) for level in found.levels}
        levels = [*(old for old in before.levels if _which(old) not in anew), *found.levels]
    ordered = sorted(levels, key=lambda level: (level.kind, level.percent, level.amount or 0))
    kept = LabelNoise(found.data, found.content_hash, found.split, found.seed, tuple(ordered))
    _path(storage, study).write(to_bytes(kept))


def read(storage: Storage, study: str) -> LabelNoise | None:
    """What is known of a study's second annotators; None where nobody has asked.

    Raises:
        ValueError: the file was damaged, or another version of segtune wrote it otherwise.
    """
    path = _path(storage, study)
    if not path.is_file():
        return None
    again = f"delete it, and write it anew: segtune data noise {study}"
    try:
        content = json.loads(path.read())
        version = content.pop("version", None)
        if version != VERSION:
            told = f"{path} is of version {version}, this segtune reads {VERSION}"
            raise ValueError(f"{told}: {again}")
        return _READER.validate_python(content)
    except (ValidationError, json.JSONDecodeError, AttributeError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({type(error).__name__}): {again}") from error


def _what(found: LabelNoise) -> tuple[str, str, str, int]:
    return found.data, found.content_hash, found.split, found.seed


def _which(level: NoiseLevel) -> tuple[str, float | None, bool]:
    return level.kind, level.amount, level.percent


def _path(storage: Storage, study: str) -> Place:
    return Place.of(storage) / study / FILE
