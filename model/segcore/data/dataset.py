"""What every dataset offers: named samples of fixed splits, decoded to arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from segcore.batch import Size
from segcore.classes import ClassSpec
from segcore.data import DATASETS
from segcore.data.pixels import DepthRange, Shrinking
from segcore.metrics.table import OF_IMAGES
from segcore.registry import Choice
from segcore.tables import Table

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class Sample:
    """One image as it is used: resized, not augmented."""

    sample_id: str
    patient_id: str
    case_id: str
    """The volume that the image is a slice of, or the sample itself."""
    image_HW3: NDArray[np.uint8]
    """RGB."""
    labels_HW: NDArray[np.uint8]
    """As `ClassSpec` reads them."""
    depth_HW: NDArray[np.uint8] | None = None
    """Relative depth, larger is farther."""
    ignore_HW: NDArray[np.bool_] | None = None
    """Where nobody knows the truth; None: nowhere."""
    slice: int = 0
    """Place in the case."""
    spacing_mm: tuple[float, float, float] | None = None
    """Between slices, rows and columns of these arrays; None where it is not known."""
    own_size: Size | None = None
    """Of the image as it is stored, all of which these arrays show; None where it is not known."""


@dataclass(frozen=True)
class Source:
    """Where an image is from, known without decoding it."""

    patient_id: str
    """Patient, or sequence."""
    image_hash: str
    """Of the image file's bytes, and of the slice in it."""
    case_id: str | None = None
    """The volume that the image is a slice of; None: the image is a case of its own."""
    file: Path | None = None
    """The image's file, or that of the volume; None where there is none."""
    slice: int = 0
    """Place in the case."""


class Dataset(Protocol):
    """A folder that has been read and found in order."""

    classes: ClassSpec

    @property
    def has_depth(self) -> bool:
        """Whether every image has a depth map."""
        ...

    def ids(self, split: Split) -> Sequence[str]:
        """Sample ids of a split, in a fixed order."""
        ...

    def sources(self, split: Split) -> Mapping[str, Source]:
        """Patient and content of each image of a split, by sample id."""
        ...

    def load(self, split: Split, sample_id: str, size: Size | None) -> Sample:
        """Decode one sample and resize it, masks by nearest neighbour; None keeps its own size.

        Threads call it at the same time.
        """
        ...

    def content_hash(self) -> str:
        """Hash of the ids, splits and files: the same data anywhere has the same hash."""
        ...


class DataConfig(Choice):
    """Base of the datasets' configurations: frozen pydantic dataclasses."""

    table: ClassVar[Table] = DATASETS

    @property
    def metrics(self) -> tuple[str, ...]:
        """Rows of the table of metrics that the data set is scored with unless others are named."""
        return OF_IMAGES

    @property
    def grey_window(self) -> tuple[float, float] | None:
        """The values of its volumes that images have as black and white; None: there are none."""
        return None

    @property
    def shrinking(self) -> Shrinking:
        """How its images are made smaller."""
        return "area"

    @property
    def depth_values(self) -> DepthRange | None:
        """The nearest and farthest values of its depth maps of 16 bits; None: it has none."""
        return None

    @property
    def names_patients(self) -> bool:
        """Whether `Source.patient_id` is the name of a patient or sequence, not an image's own."""
        return True

    def open(self) -> Dataset:
        """Check the folder (rendering it first where the dataset is procedural) and read its index.

        Raises:
            ValueError: one message that lists every fault, with file names.
        """
        raise NotImplementedError
