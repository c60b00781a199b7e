"""L3D: laparoscopic frames with liver landmarks as polylines, and a depth map each.

The data set of D2GPLand (Pei et al., arXiv 2406.17858). Expected layout, where the split folders
may be lower-case and `depth` may stand for `depth_AdelaiDepth` (as in D2GPLand+):

    root/{Train,Val,Test}/images/<stem>.jpg
    root/{Train,Val,Test}/labels/<stem>.json               labelme polylines
    root/{Train,Val,Test}/depth_AdelaiDepth/<stem>.png     larger is farther
"""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from segcore.batch import ClassSpec
from segcore.data import labelme
from segcore.data.dataset import DataConfig, Sample, Split
from segcore.data.l3d_index import CLASS_OF_LETTER, Index, read_index
from segcore.registry import STRICT

CLASSES = ClassSpec(names=("background", "ridge", "silhouette", "ligament"), exclusive=True)
CACHE_BYTES = 2**31
"""Decoded samples kept in memory, per open folder. At 1024 x 1024 a sample has 5 MiB."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class L3D(DataConfig):
    """A folder in L3D's layout."""

    name: ClassVar[str] = "l3d"

    root: str = dataclasses.field(metadata={"place": True})
    """The folder that holds Train, Val and Test."""
    line_width: Annotated[float, Field(gt=0, le=0.25)] = 30 / 1080
    """Width of the landmark bands as a share of the image's height. 30 px on 1080 rows is
    D2GPLand's; TopoNet draws 35 px, D2GPLand+ 35/1080 of the height."""
    patient: str = r"(.+)[_-][^_-]+"
    """Regular expression of a whole file stem; its first group is the patient. The default takes
    everything before the last `_` or `-`, as in <patient>_<frame>."""

    def __post_init__(self) -> None:
        try:
            groups = re.compile(self.patient).groups
        except re.error as error:
            raise ValueError(
                f"patient: {self.patient!r} is no regular expression: {error}"
            ) from None
        if groups < 1:
            raise ValueError(f"patient: {self.patient!r} has no (group) that is the patient")

    def open(self) -> "LandmarkFolder":
        """Check every file and read the index.

        Raises:
            DataError: lists every fault of the folder, with file names.
        """
        return LandmarkFolder(read_index(Path(self.root), self.patient), self.line_width)


class LandmarkFolder:
    """A checked folder. Samples are decoded once per size and kept while memory allows."""

    classes = CLASSES

    def __init__(self, index: Index, line_width: float) -> None:
        self._index = index
        self._line_width = line_width
        self._kept: dict[tuple[Split, str, int], Sample] = {}
        self._kept_bytes = 0

    def ids(self, split: Split) -> Sequence[str]:
        """File stems of a split, sorted."""
        return tuple(self._index.frames[split])

    def content_hash(self) -> str:
        """SHA-256 over splits, stems and the bytes of every image, label and depth file."""
        return self._index.content_hash

    def load(self, split: Split, sample_id: str, size: int) -> Sample:
        """One sample at (size, size). Its arrays are shared between calls: copy before writing.

        Raises:
            KeyError: the split has no such sample.
        """
        key = (split, sample_id, size)
        if key in self._kept:
            return self._kept[key]
        sample = self._decode(split, sample_id, size)
        # Nothing is evicted: epochs visit all samples equally often, so any kept subset is as good.
        nbytes = sum(a.nbytes for a in vars(sample).values() if isinstance(a, np.ndarray))
        if self._kept_bytes + nbytes <= CACHE_BYTES:
            self._kept[key] = sample
            self._kept_bytes += nbytes
        return sample

    def _decode(self, split: Split, sample_id: str, size: int) -> Sample:
        frame = self._index.frames[split][sample_id]
        # The annotation refers to the stored pixels, so an orientation tag must not turn them.
        image = cv2.imread(str(frame.image), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
        depth = cv2.imread(str(frame.depth), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
        if image is None or depth is None:
            raise FileNotFoundError(f"{frame.image} or {frame.depth} has gone or changed")
        annotation = labelme.parse(frame.label.read_bytes())
        values = [CLASS_OF_LETTER[line.label[0].lower()] for line in annotation.lines]
        width = max(1, round(self._line_width * annotation.height))
        labels = labelme.draw(annotation, values, width)
        if depth.dtype == np.uint16:
            depth = depth // 256
        return Sample(
            sample_id=sample_id,
            patient_id=frame.patient,
            image_HW3=_resized(image.astype(np.uint8), size),
            labels_HW=cv2.resize(
                labels, (size, size), interpolation=cv2.INTER_NEAREST_EXACT
            ).astype(np.uint8),
            depth_HW=_resized(depth.astype(np.uint8), size),
        )


def _resized(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Area averages when shrinking (no aliasing), bilinear when growing."""
    shrinks = image.shape[0] > size
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (size, size), interpolation=how).astype(np.uint8)
