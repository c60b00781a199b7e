"""A data set that is a folder of images with labels: checked whole, then decoded one by one."""

import threading
from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from segcore.batch import ClassSpec
from segcore.data.dataset import DataConfig, Sample, Source, Split
from segcore.data.frames import Frame, Scan
from segcore.data.pixels import read_depth, read_image, resized

CACHE_BYTES = 2**31
"""Decoded samples kept in memory, per open folder. At 1024 x 1024 a sample has 5 MiB."""


class FolderConfig(DataConfig):
    """Base of the data sets that are folders: they say what is there and how labels are read."""

    def scan(self) -> Scan:
        """Read and check every file.

        Raises:
            DataError: there is no folder to read. What is wrong in a folder is in the scan.
        """
        raise NotImplementedError

    def class_spec(self) -> ClassSpec:
        """The classes."""
        raise NotImplementedError

    def labels(self, frame: Frame) -> NDArray[np.uint8]:
        """Labels (H, W) of a frame at the size they are stored in, coded as in `Sample`."""
        raise NotImplementedError

    def open(self) -> "FrameFolder":
        """Check every file and read the index.

        Raises:
            DataError: lists every fault of the folder, with file names.
        """
        scan = self.scan()
        scan.raise_if_faulty()
        return FrameFolder(scan, self.class_spec(), self.labels)


class FrameFolder:
    """A checked folder. Samples are decoded once per size and kept while memory allows."""

    def __init__(
        self, scan: Scan, classes: ClassSpec, labels: Callable[[Frame], NDArray[np.uint8]]
    ) -> None:
        self.classes = classes
        self._scan = scan
        self._labels = labels
        self._kept: dict[tuple[Split, str, int], Sample] = {}
        self._kept_bytes = 0
        self._lock = threading.Lock()

    @property
    def has_depth(self) -> bool:
        """Whether every image has a depth map."""
        frames = (f for members in self._scan.frames.values() for f in members.values())
        return all(frame.depth is not None for frame in frames)

    def ids(self, split: Split) -> Sequence[str]:
        """Sample ids of a split, in the scan's order."""
        return tuple(self._scan.frames[split])

    def sources(self, split: Split) -> Mapping[str, Source]:
        """Patient and content of each image of a split, by sample id."""
        return {
            sample_id: Source(frame.patient, self._scan.digests[frame.image])
            for sample_id, frame in self._scan.frames[split].items()
        }

    def content_hash(self) -> str:
        """SHA-256 over splits, sample ids and the bytes of every file."""
        return self._scan.content_hash

    def load(self, split: Split, sample_id: str, size: int) -> Sample:
        """One sample at (size, size). Its arrays are shared between calls: copy before writing.

        Several threads may load at once.

        Raises:
            KeyError: the split has no such sample.
            OSError: a file has gone.
        """
        key = (split, sample_id, size)
        if key in self._kept:
            return self._kept[key]
        sample = self._decode(split, sample_id, size)
        nbytes = sum(a.nbytes for a in vars(sample).values() if isinstance(a, np.ndarray))
        with self._lock:
            # Nothing is evicted: epochs visit all samples alike, so any kept subset is as good.
            if key not in self._kept and self._kept_bytes + nbytes <= CACHE_BYTES:
                self._kept[key] = sample
                self._kept_bytes += nbytes
        return sample

    def _decode(self, split: Split, sample_id: str, size: int) -> Sample:
        frame = self._scan.frames[split][sample_id]
        image = read_image(frame.image)
        labels = self._labels(frame)
        return Sample(
            sample_id=sample_id,
            patient_id=frame.patient,
            image_HW3=resized(image, size),
            labels_HW=cv2.resize(
                labels, (size, size), interpolation=cv2.INTER_NEAREST_EXACT
            ).astype(np.uint8),
            depth_HW=None if frame.depth is None else resized(read_depth(frame.depth), size),
        )
