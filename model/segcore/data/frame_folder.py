"""A data set that is a folder of images with labels: checked whole, then decoded one by one."""

import dataclasses
import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segcore.batch import Size
from segcore.classes import ClassSpec
from segcore.data.dataset import DataConfig, Sample, Source, Split
from segcore.data.decoded import CODE, SMALLEST, decoded_samples, is_edited
from segcore.data.frames import Frame, Scan
from segcore.data.pixels import read_depth, read_image, resized, resized_labels

CACHE_BYTES = 2**31
"""Decoded samples kept in memory, per open folder. At 1024 x 1024 a sample has 5 MiB."""
MAPPED = 20_000
"""Samples that stay mapped, per open folder: Linux grants a process some 65,000 mappings. Before
Python 3.13 each takes a descriptor too, and `decoded` maps no more than these allow."""


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

    def reader(self) -> "FolderConfig":
        """What decodes the frames: another set, where this one only says which there are."""
        return self

    def image(self, frame: Frame) -> NDArray[np.uint8]:
        """RGB (H, W, 3) of a frame as it is stored."""
        return read_image(frame.image)

    def labels(self, frame: Frame) -> NDArray[np.uint8]:
        """Labels (H, W) of a frame at the size they are stored in, as `ClassSpec` reads them."""
        raise NotImplementedError

    def held(self, frames: Sequence[Frame]) -> str | None:
        """The values that the masks of frames hold, for a message; None where labels are no masks
        of values."""
        return None

    def redrawn(
        self, frame: Frame, move: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    ) -> NDArray[np.uint8] | None:
        """The labels of a frame as of an annotator who sets the points of its lines elsewhere.

        Args:
            frame: whose lines are drawn.
            move: a line's points (N, 2) of x and y -> where they are set.

        Returns:
            Labels (H, W) as those of `labels`; None where a set's labels are no lines.
        """
        return None

    def resize_labels(self, labels: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
        """Labels (H, W) at another size."""
        return resized_labels(labels, size)

    def ignore(self, frame: Frame) -> NDArray[np.bool_] | None:
        """Where nobody knows the truth, (H, W) of the labels' size; None: nowhere."""
        return None

    def open(self) -> "FrameFolder":
        """Check every file and read the index.

        Raises:
            DataError: lists every fault of the folder, with file names.
        """
        scan = self.scan()
        scan.raise_if_faulty()
        return FrameFolder(scan, self)


class FrameFolder:
    """A checked folder.

    Large samples are mapped from the node's disk while that has room, as `decoded` says. What is
    not mapped stays in memory as far as `CACHE_BYTES` go, and is read or decoded again beyond that.
    """

    def __init__(self, scan: Scan, config: FolderConfig) -> None:
        self.classes = config.class_spec()
        self._scan, self._config = scan, config
        self._kept: dict[tuple[Split, str, Size | None], Sample] = {}
        self._kept_bytes = 0
        self._mapped = 0
        self._lock = threading.Lock()
        self._decoding = _decoding(config)
        self._shared = None if self._decoding is None else decoded_samples()

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
            sample_id: Source(
                frame.patient, self._image_hash(frame), frame.case, frame.image, frame.slice
            )
            for sample_id, frame in self._scan.frames[split].items()
        }

    def content_hash(self) -> str:
        """SHA-256 over splits, sample ids and the bytes of every file."""
        return self._scan.content_hash

    def load(self, split: Split, sample_id: str, size: Size | None) -> Sample:
        """One sample at a size, None for its own. Its arrays are shared between calls: copy before
        writing.

        Several threads may load at once.

        Raises:
            KeyError: the split has no such sample.
            OSError: a file that has to be decoded has gone or is damaged.
        """
        key = (split, sample_id, size)
        if key in self._kept:
            return self._kept[key]
        sample, mapped = self._shared_or_decoded(split, sample_id, size)
        nbytes = 0 if mapped else sum(a.nbytes for a in _arrays(sample).values())
        with self._lock:
            # Nothing is evicted: epochs visit all samples alike, so any kept subset is as good.
            fits = self._mapped < MAPPED if mapped else self._kept_bytes + nbytes <= CACHE_BYTES
            if key not in self._kept and fits:
                self._kept[key] = sample
                self._kept_bytes += nbytes
                self._mapped += mapped
        return sample

    def _shared_or_decoded(
        self, split: Split, sample_id: str, size: Size | None
    ) -> tuple[Sample, bool]:
        """A sample, and whether its arrays are mapped from this node's disk."""
        frame = self._scan.frames[split][sample_id]
        if self._shared is None or frame.case is not None:  # slices: of files too large to hash
            return self._decode(split, sample_id, size), False
        name = self._name(frame, size)
        if (found := self._shared.get(name)) is None:
            sample = self._decode(split, sample_id, size)
            decoded = _arrays(sample)
            large = sum(a.nbytes for a in decoded.values()) >= SMALLEST
            wanted = large and sample.ignore_HW is None and self._shared.has_room(decoded)
            if wanted and self._is_as_scanned(frame) and not is_edited():
                self._shared.put(name, decoded, sample.own_size)
            if (found := self._shared.get(name)) is None:
                return sample, False
        arrays = found.arrays
        height, width = found.about
        stored: Size = (height, width)
        image_HW3 = arrays["image_HW3"]
        shown: Size = (image_HW3.shape[0], image_HW3.shape[1])
        sample = Sample(
            sample_id=sample_id,
            patient_id=frame.patient,
            case_id=sample_id,
            image_HW3=image_HW3,
            labels_HW=arrays["labels_HW"],
            depth_HW=arrays.get("depth_HW"),
            slice=frame.slice,
            spacing_mm=_spacing(frame, stored, shown),
            own_size=stored,
        )
        return sample, found.is_mapped

    def _name(self, frame: Frame, size: Size | None) -> str:
        """Of a decoded sample, by all that its arrays follow from. Names are among it: D2GPLand's
        bands are as wide as the stem says that a frame is large."""
        files = [(file.name, self._scan.digests[file]) for file in _files(frame)]
        how = (self._decoding, size, CODE)
        return hashlib.sha256(f"{files} {how}".encode()).hexdigest()

    def _is_as_scanned(self, frame: Frame) -> bool:
        """Whether the files still are those that were hashed."""
        return all(
            hashlib.sha256(file.read_bytes()).hexdigest() == self._scan.digests[file]
            for file in _files(frame)
        )

    def _image_hash(self, frame: Frame) -> str:
        digest = self._scan.digests[frame.image]
        return digest if frame.case is None else f"{digest} {frame.slice}"

    def _decode(self, split: Split, sample_id: str, size: Size | None) -> Sample:
        frame = self._scan.frames[split][sample_id]
        image = self._config.image(frame)
        stored: Size = (image.shape[0], image.shape[1])
        size = size or stored
        ignore = self._config.ignore(frame)
        return Sample(
            sample_id=sample_id,
            patient_id=frame.patient,
            case_id=frame.case or sample_id,
            image_HW3=resized(image, size, self._config.shrinking),
            labels_HW=self._config.resize_labels(self._config.labels(frame), size),
            depth_HW=None
            if frame.depth is None
            else resized(
                read_depth(frame.depth, self._config.depth_values), size, self._config.shrinking
            ),
            ignore_HW=None if ignore is None else resized_labels(ignore.view(np.uint8), size) == 1,
            slice=frame.slice,
            spacing_mm=_spacing(frame, stored, size),
            own_size=stored,
        )


def _decoding(config: FolderConfig) -> str | None:
    """All that decoding follows beside files and size; None where code that is not segcore's
    decodes, of which nobody here can tell whether it has changed."""
    reader = config.reader()
    packages = {type(c).__module__.partition(".")[0] for c in (config, reader)}
    if packages != {"segcore"} or not dataclasses.is_dataclass(reader):
        return None
    settings = {
        f.name: getattr(reader, f.name)
        for f in dataclasses.fields(reader)
        if not f.metadata.get("location")
    }
    shrinking, depth_values = config.shrinking, config.depth_values
    return f"{type(reader).__name__} {settings} {config.class_spec()} {shrinking} {depth_values}"


def _files(frame: Frame) -> list[Path]:
    return [f for f in (frame.image, frame.label, frame.depth) if f is not None]


def _arrays(sample: Sample) -> dict[str, NDArray[np.uint8]]:
    return {name: a for name, a in vars(sample).items() if isinstance(a, np.ndarray)}


def _spacing(frame: Frame, stored: Size, size: Size) -> tuple[float, float, float] | None:
    """Between the pixels of the resized arrays."""
    if frame.spacing_mm is None:
        return None
    between_slices, row, column = frame.spacing_mm
    return between_slices, row * stored[0] / size[0], column * stored[1] / size[1]
