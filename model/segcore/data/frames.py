"""The files of a data folder: every one is read once, checked and hashed."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from segcore.data import pixels
from segcore.data.dataset import Split
from segcore.data.faults import DataError, Faults

Size = tuple[int, int]
"""Width and height, pixels."""
CheckLabel = Callable[[bytes, Size | None], Iterable[tuple[str, str]]]
"""The faults of a label file, as kind and detail, given the size of its image if that is known."""


@dataclass(frozen=True)
class Frame:
    """The files of one image."""

    patient: str
    """Patient, or sequence: what must not be in two splits."""
    image: Path
    label: Path
    depth: Path | None = None


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
    sizes: Mapping[Path, Size]
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
    """Reads every file of a folder once."""

    def __init__(self, root: Path, layout: str, check_label: CheckLabel) -> None:
        """Begin a scan.

        Raises:
            DataError: there is no such folder.
        """
        if not root.is_dir():
            raise DataError(f"{root}: no such folder\n{layout}")
        self.root = root
        self.faults = Faults()
        self._layout = layout
        self._check_label = check_label
        self._digest = hashlib.sha256()
        self._sizes: dict[Path, Size] = {}
        self._digests: dict[Path, str] = {}

    def read(self, frames: Frames) -> Scan:
        """Check all files of all frames. A file that is missing was noted before."""
        for split, members in frames.items():
            for sample_id, frame in members.items():
                image = self._content(split, sample_id, frame.image)
                if image is not None:
                    self._check_image(image, frame.image)
                if frame.depth is not None:
                    depth = self._content(split, sample_id, frame.depth)
                    if depth is not None:
                        self._check_depth(depth, frame.depth)
                label = self._content(split, sample_id, frame.label)
                if label is not None:
                    size = self._sizes.get(frame.image)
                    for kind, detail in self._check_label(label, size):
                        self.faults.add(kind, f"{self.short(frame.label)}: {detail}")
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

    def _content(self, split: Split, sample_id: str, path: Path) -> bytes | None:
        if not path.is_file():
            return None
        content = path.read_bytes()
        self._digests[path] = hashlib.sha256(content).hexdigest()
        self._digest.update(f"{split}/{sample_id}{path.suffix} {self._digests[path]}\n".encode())
        return content

    def _check_image(self, content: bytes, path: Path) -> None:
        try:
            self._sizes[path] = pixels.check(content)
        except OSError as error:
            self.faults.add("unreadable image", f"{self.short(path)}: {error}")

    def _check_depth(self, content: bytes, path: Path) -> None:
        try:
            pixels.check_depth(content)
        except OSError as error:
            self.faults.add("unreadable depth", f"{self.short(path)}: {error}")


def _shared_patients(frames: Frames) -> list[str]:
    splits: dict[str, list[str]] = {}
    for split, members in frames.items():
        for patient in sorted({frame.patient for frame in members.values()}):
            splits.setdefault(patient, []).append(split)
    return [f"{p}: {', '.join(s)}" for p, s in sorted(splits.items()) if len(s) > 1]
