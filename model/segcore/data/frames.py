"""The files of a data folder: every one is read once, checked and hashed."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from segcore.data import pixels
from segcore.data.dataset import Split
from segcore.data.faults import DataError, Faults
from segcore.data.pixels import DepthRange

WidthHeight = tuple[int, int]
"""Width and height of a picture file, pixels, in the order in which Pillow has them."""
CheckLabel = Callable[[bytes, WidthHeight | None], Iterable[tuple[str, str]]]
"""The faults of a label file, as kind and detail, given the size of its image if that is known."""


@dataclass(frozen=True)
class Frame:
    """The files of one image."""

    patient: str
    """Patient, or sequence: what must not be in two splits."""
    image: Path
    label: Path
    depth: Path | None = None
    case: str | None = None
    """The volume or series that the image is a slice of; None: the image is a case of its own."""
    slice: int = 0
    """Place in the case, from 0. Several slices may lie in one file."""
    spacing_mm: tuple[float, float, float] | None = None
    """Between slices, rows and columns of the stored image; None where it is not known."""


Frames = Mapping[Split, Mapping[str, Frame]]
"""By split and sample id, ids in the order in which they are visited."""


@dataclass(frozen=True)
class Scan:
    """A folder that has been read: what is in it, and everything wrong with it."""

    root: Path
    frames: Frames
    content_hash: str
    faults: Faults
    layout: str
    """What the folder should look like."""
    sizes: Mapping[Path, WidthHeight]
    """Of the images that can be read."""
    digests: Mapping[Path, str]
    """SHA-256 of every file there is."""

    def raise_if_faulty(self) -> None:
        """Raise unless the folder is in order.

        Raises:
            DataError: one message with every fault.
        """
        self.faults.raise_if_any(str(self.root), self.layout)


class FrameReader:
    """Reads every file of a folder once, however many slices it holds."""

    def __init__(
        self,
        root: Path,
        layout: str,
        check_label: CheckLabel | None,
        depth_range: DepthRange | None = None,
    ) -> None:
        """Begin a scan.

        Args:
            root: the folder.
            layout: what it should look like, for messages.
            check_label: finds what is wrong with a label file; None: the caller has done that.
            depth_range: of depth maps of 16 bits, as of `read_depth`.

        Raises:
            DataError: there is no such folder.
        """
        if not root.is_dir():
            raise DataError(f"{root}: no such folder\n{layout}")
        self.root = root
        self.faults = Faults()
        self._layout = layout
        self._check_label = check_label
        self._depth_range = depth_range
        self._digest = hashlib.sha256()
        self._sizes: dict[Path, WidthHeight] = {}
        self._digests: dict[Path, str] = {}

    def read(self, frames: Frames, sizes: Mapping[Path, WidthHeight] | None = None) -> Scan:
        """Check all files of all frames. A file that is missing was noted before.

        Args:
            frames: what is to be read.
            sizes: of images that the caller has checked: they are hashed alone.
        """
        self._sizes |= sizes or {}
        for split, members in frames.items():
            for sample_id, frame in members.items():
                self._read(split, sample_id, frame)
        self.faults.extend("patient in more than one split", _shared_patients(frames))
        return Scan(
            root=self.root,
            frames=frames,
            content_hash=self._digest.hexdigest(),
            faults=self.faults,
            layout=self._layout,
            sizes=self._sizes,
            digests=self._digests,
        )

    def short(self, path: Path) -> str:
        """A path as it is told in faults: from the root on."""
        return path.relative_to(self.root).as_posix()

    def _read(self, split: Split, sample_id: str, frame: Frame) -> None:
        image = self._content(split, sample_id, frame.image)
        if image is not None and frame.image not in self._sizes:
            self._note_image(image, frame.image)
        if frame.depth is not None:
            depth = self._content(split, sample_id, frame.depth)
            if depth is not None:
                self._note_depth(depth, frame.depth, self._sizes.get(frame.image))
        label = self._content(split, sample_id, frame.label)
        if label is not None and self._check_label is not None:
            for kind, detail in self._check_label(label, self._sizes.get(frame.image)):
                self.faults.add(kind, f"{self.short(frame.label)}: {detail}")

    def _content(self, split: Split, sample_id: str, path: Path) -> bytes | None:
        """The bytes of a file that is met for the first time; its hash counts for every sample."""
        content = None
        if path not in self._digests:
            if not path.is_file():
                return None
            content = path.read_bytes()
            self._digests[path] = hashlib.sha256(content).hexdigest()
        self._digest.update(f"{split}/{sample_id}{path.suffix} {self._digests[path]}\n".encode())
        return content

    def _note_image(self, content: bytes, path: Path) -> None:
        try:
            self._sizes[path] = pixels.check(content)
        except OSError as error:
            self.faults.add("unreadable image", f"{self.short(path)}: {error}")

    def _note_depth(self, content: bytes, path: Path, image: WidthHeight | None) -> None:
        try:
            width, height = pixels.check_depth(content, self._depth_range)
        except OSError as error:
            self.faults.add("unreadable depth", f"{self.short(path)}: {error}")
            return
        if image is not None and pixels.other_shape(image, (width, height)):
            told = f"{self.short(path)}: {width}x{height}, image is {image[0]}x{image[1]}"
            self.faults.add("depth map of another shape than its image", told)


def _shared_patients(frames: Frames) -> list[str]:
    splits: dict[str, list[str]] = {}
    for split, members in frames.items():
        for patient in sorted({frame.patient for frame in members.values()}):
            splits.setdefault(patient, []).append(split)
    return [f"{p}: {', '.join(s)}" for p, s in sorted(splits.items()) if len(s) > 1]
