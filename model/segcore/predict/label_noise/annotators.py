"""Who else draws: outlines shifted, lines drawn anew, or masks that somebody did draw."""

import hashlib
import math
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from segcore.batch import Size
from segcore.data.dataset import Dataset, Sample, Split
from segcore.data.faults import DataError, Faults
from segcore.data.frame_folder import FolderConfig
from segcore.data.frames import Scan
from segcore.predict.label_noise.perturb import LARGEST, displacement, moved, shifted

Kind = Literal["shift", "lines", "second"]


@dataclass(frozen=True)
class Amount:
    """How far apart two annotators are on average, at an image's own size."""

    value: float
    percent: bool = False
    """Whether it is in percent of the image's diagonal; else in pixels."""

    def __str__(self) -> str:
        return f"{self.value:g} {'% of the diagonal' if self.percent else 'px'}"

    def pixels(self, size: Size) -> float:
        """In pixels of an image.

        Raises:
            ValueError: more than outlines of it can be shifted by.
        """
        diagonal = math.hypot(*size)
        found = self.value / 100 * diagonal if self.percent else self.value
        if found > LARGEST * diagonal:
            raise ValueError(
                f"{self} is more than {100 * LARGEST:g} % of the diagonal of an image of "
                f"{size[1]} x {size[0]} pixels: give a smaller one"
            )
        return found


class Annotator(Protocol):
    """Somebody who draws a sample's labels a second time."""

    def draw(self, split: Split, sample: Sample) -> NDArray[np.uint8]:
        """The labels (H, W) of a sample that was read at its own size."""
        ...


@dataclass(frozen=True)
class Shifted:
    """Outlines shifted by a smooth random displacement, the same for all slices of a case."""

    amount: Amount
    seed: int

    def draw(self, split: Split, sample: Sample) -> NDArray[np.uint8]:
        """The labels, moved."""
        size = (sample.labels_HW.shape[0], sample.labels_HW.shape[1])
        pixels = self.amount.pixels(size)
        if not pixels:
            return sample.labels_HW
        field = displacement(size, _generator(self.seed, sample.case_id))
        return shifted(sample.labels_HW, field, pixels)


@dataclass(frozen=True, eq=False)
class Redrawn:
    """Lines whose control points are set anew, drawn as wide as before."""

    amount: Amount
    seed: int
    config: FolderConfig
    scan: Scan
    """Of the same data set."""

    def draw(self, split: Split, sample: Sample) -> NDArray[np.uint8]:
        """The labels, drawn of other points.

        Raises:
            ValueError: the data set's labels are no lines.
        """
        size = (sample.labels_HW.shape[0], sample.labels_HW.shape[1])
        pixels = self.amount.pixels(size)
        rng = _generator(self.seed, sample.sample_id)
        frame = self.scan.frames[split][sample.sample_id]
        drawn = self.config.redrawn(frame, lambda points: moved(points, pixels, rng))
        if drawn is None:
            raise ValueError(
                f"the labels of {self.config.name} are masks, no lines: shift their outlines"
            )
        return self.config.resize_labels(drawn, size)


@dataclass(frozen=True, eq=False)
class Second:
    """Masks that somebody else drew of the same images."""

    dataset: Dataset

    def draw(self, split: Split, sample: Sample) -> NDArray[np.uint8]:
        """Their labels, at the sample's size."""
        size = (sample.labels_HW.shape[0], sample.labels_HW.shape[1])
        return self.dataset.load(split, sample.sample_id, size).labels_HW


def check_second(dataset: Dataset, second: Dataset, split: Split) -> None:
    """See that a second annotator has drawn the same classes of the same images.

    Raises:
        DataError: other classes, or an image without second masks; all of them.
    """
    faults = Faults()
    if second.classes != dataset.classes:
        faults.add("other classes", f"{second.classes}, the data set has {dataset.classes}")
    there = set(second.ids(split))
    faults.extend(
        f"image of {split} that the second annotator has not drawn",
        [name for name in dataset.ids(split) if name not in there],
    )
    if faults:
        raise DataError("\n".join(["the second annotator's masks:", *faults.lines()]))


def _generator(seed: int, name: str) -> np.random.Generator:
    """One that a seed and a sample decide, whatever else is drawn and in which order."""
    digest = hashlib.sha256(name.encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "big")])
