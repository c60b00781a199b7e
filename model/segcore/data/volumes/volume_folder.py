"""A data set that is a folder of volumes with labels, checked whole."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from segcore.classes import ClassSpec
from segcore.data.dataset import SPLITS, Split
from segcore.data.frame_folder import FolderConfig
from segcore.data.frames import Frame, FrameReader, Scan, WidthHeight
from segcore.data.mask_folder import note_empty
from segcore.data.splits import Fractions, split_groups
from segcore.data.volumes.labels import held_labels, read_labels
from segcore.data.volumes.nifti import SUFFIXES, Volume, stem_of
from segcore.metrics.table import OF_CASES, OF_IMAGES
from segcore.registry import STRICT

Organs = Mapping[str, int]
"""The label of each organ that a set has, by its name."""
SOFT_TISSUE = (-125.0, 275.0)
"""Hounsfield units, as SAMed and TransUNet cut BCV (their preprocessing)."""


class Case(NamedTuple):
    """The files of one volume."""

    volume: Path
    labels: Path


Cases = Mapping[Split, Mapping[str, Case]]
"""By split and name; a case is a patient."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class VolumeConfig(FolderConfig):
    """Base of the data sets that are volumes of one grey value: their axial slices are images, and
    a case is scored whole, in millimetres, beside its slices. What is compressed is unpacked once,
    into $SEGTUNE_CACHE or ~/.cache/segtune: a CT of 512 x 512 x 150 takes 80 MB there."""

    layout: ClassVar[str]
    """What the folder should look like; {root} stands for it."""

    root: str = dataclasses.field(metadata={"location": True})
    """The folder below which all lies."""
    organs: tuple[str, ...] | None = None
    """Those that are segmented, in their order, the others being background; None: all. A single
    one makes a binary set, without a background channel."""
    window: tuple[float, float] = SOFT_TISSUE
    """The values that become black and white: Hounsfield units in CT."""
    train_slices: Literal["labelled", "all"] = "labelled"
    """Which slices of a volume are trained on: those that hold a chosen organ, or all. Val and test
    always have all: cases are scored whole."""

    def __post_init__(self) -> None:
        faults = []
        if not -np.inf < self.window[0] < self.window[1] < np.inf:
            faults.append(f"window = {self.window}: give the lower value first, and finite ones")
        known = self.known_organs()
        chosen = self.organs if self.organs is not None else tuple(known)
        if unknown := [name for name in chosen if name not in known]:
            faults.append(f"organs: no {', '.join(unknown)}: choose of {', '.join(known)}")
        if not chosen or len(set(chosen)) < len(chosen):
            faults.append(f"organs = {chosen}: name at least one, each once, or leave it out")
        if faults:
            raise ValueError("; ".join(faults))

    def known_organs(self) -> Organs:
        """Every organ that the labels may hold."""
        raise NotImplementedError

    def unknown_label(self) -> int | None:
        """The label of voxels whose truth nobody knows; None: there is none."""
        return None

    def cases(self, reader: FrameReader) -> Cases:
        """The files of each split; what is missing is noted as a fault.

        Args:
            reader: of the folder.
        """
        raise NotImplementedError

    def left_out(self) -> Iterable[Split]:
        """The splits that may be without a volume."""
        return ()

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those of images, for its slices, and those of cases."""
        return (*OF_IMAGES, *OF_CASES)

    @property
    def grey_window(self) -> tuple[float, float]:
        """The window."""
        return self.window

    @property
    def chosen(self) -> tuple[str, ...]:
        """The organs that are segmented."""
        return tuple(self.known_organs()) if self.organs is None else self.organs

    def class_spec(self) -> ClassSpec:
        """The chosen organs."""
        if len(self.chosen) == 1:
            return ClassSpec(self.chosen, exclusive=False)
        return ClassSpec(("background", *self.chosen), exclusive=True)

    def image(self, frame: Frame) -> NDArray[np.uint8]:
        """A slice within the window, grey as RGB (H, W, 3)."""
        return windowed(Volume.open(frame.image).plane(frame.slice), self.window)

    def labels(self, frame: Frame) -> NDArray[np.uint8]:
        """Labels (H, W) of the chosen organs: their place among them, from 1."""
        stored_HW = read_labels(Volume.open(frame.label), frame.slice)
        known, place_of = self.known_organs(), np.zeros(256, np.uint8)
        for place, name in enumerate(self.chosen, start=1):
            place_of[known[name]] = place
        return place_of[stored_HW]

    def ignore(self, frame: Frame) -> NDArray[np.bool_] | None:
        """Where a slice has the label that says that nobody knows."""
        unknown = self.unknown_label()
        if unknown is None:
            return None
        stored_HW = read_labels(Volume.open(frame.label), frame.slice)
        return np.equal(stored_HW, unknown)

    def scan(self) -> Scan:
        """Read and check every file.

        Raises:
            DataError: there is no such folder.
        """
        root = Path(self.root)
        reader = FrameReader(root, self.layout.format(root=root), check_label=None)
        frames: dict[Split, dict[str, Frame]] = {split: {} for split in SPLITS}
        sizes: dict[Path, WidthHeight] = {}
        for split, cases in self.cases(reader).items():
            for name, case in cases.items():
                volume = _opened(reader, case.volume, "unreadable volume")
                labels = _opened(reader, case.labels, "unreadable labels")
                if volume is not None and labels is not None:
                    _, height, width = volume.shape
                    sizes[case.volume] = width, height
                    frames[split] |= self._slices(reader, name, volume, labels, split)
        note_empty(reader, frames, allowed=self.left_out())
        return reader.read(frames, sizes)

    def _slices(
        self, reader: FrameReader, name: str, volume: Volume, labels: Volume, split: Split
    ) -> dict[str, Frame]:
        """The slices of a case by sample id; none of one whose files do not go together."""
        told, known = reader.short(labels.path), self.known_organs()
        if mismatch := labels.mismatch(volume):
            reader.faults.add("labels that lie elsewhere", f"{told}: {mismatch}")
            return {}
        try:
            held = held_labels(labels)
        except ValueError as error:
            reader.faults.add("unreadable labels", f"{told}: {error}")
            return {}
        if odd := frozenset().union(*held) - {0, self.unknown_label(), *known.values()}:
            kind = "labels beyond the list (name all that there are, and choose with organs)"
            reader.faults.add(kind, f"{told}: {', '.join(map(str, sorted(odd)))}")
            return {}
        wanted = {known[organ] for organ in self.chosen}
        every = split != "train" or self.train_slices == "all"
        return {
            f"{name}_{i:04d}": Frame(
                patient=name,
                image=volume.path,
                label=labels.path,
                case=name,
                slice=i,
                spacing_mm=volume.spacing_mm,
            )
            for i, labels_there in enumerate(held)
            if every or labels_there & wanted
        }


def windowed(plane_HW: NDArray[np.generic], window: tuple[float, float]) -> NDArray[np.uint8]:
    """Values within a window as grey levels, (H, W, 3): what is below is black, above white."""
    low, high = window
    share = (plane_HW.astype(np.float32) - low) / (high - low)
    grey_HW = np.rint(255 * np.clip(np.nan_to_num(share), 0, 1)).astype(np.uint8)
    return np.repeat(grey_HW[..., None], 3, axis=2)


def volumes(reader: FrameReader, folder: Path) -> dict[str, Path]:
    """The volumes of a folder by the stem of their name, sorted; a missing folder is a fault."""
    if not folder.is_dir():
        reader.faults.add("missing folder", reader.short(folder))
        return {}
    found: dict[str, Path] = {}
    for path in sorted(p for p in folder.iterdir() if p.name.lower().endswith(SUFFIXES)):
        if path.name.startswith("."):
            continue  # what macOS leaves beside files on disks that are not its own
        first = found.setdefault(stem_of(path), path)
        if first is not path:
            both = f"{reader.short(first)} and {path.name}"
            reader.faults.add("two volumes of one name", both)
    if not found:
        reader.faults.add("folder without volumes", reader.short(folder))
    return found


def pairs(
    reader: FrameReader, volumes_of: Path, labels_of: Path, renamed: tuple[str, str] = ("", "")
) -> dict[str, Case]:
    """Volumes and their labels by the volume's stem; what has no counterpart is a fault.

    Args:
        reader: where faults are noted.
        volumes_of: folder of the volumes.
        labels_of: folder of the labels.
        renamed: what begins the name of a volume, and what begins that of its labels instead.
    """
    begun, instead = renamed
    found, labels = volumes(reader, volumes_of), volumes(reader, labels_of)
    wanted = {name: instead + name.removeprefix(begun) for name in found}
    if labels:
        alone = [path for name, path in found.items() if wanted[name] not in labels]
        reader.faults.extend("volume without labels", map(reader.short, alone))
    if found:
        alone = [path for name, path in labels.items() if name not in wanted.values()]
        reader.faults.extend("labels without volume", map(reader.short, alone))
    return {
        name: Case(path, labels[wanted[name]])
        for name, path in found.items()
        if wanted[name] in labels
    }


def _opened(reader: FrameReader, path: Path, kind: str) -> Volume | None:
    try:
        return Volume.open(path)
    except OSError as error:
        reader.faults.add(kind, f"{reader.short(path)}: {error}")
        return None


def divided(
    reader: FrameReader, cases: Mapping[str, Case], fractions: Fractions, test: Iterable[str] = ()
) -> Cases:
    """Divide cases over the splits.

    Args:
        reader: where faults are noted.
        cases: by name.
        fractions: of train, val and test; of train and val alone where `test` names cases.
        test: cases of the test split.
    """
    named = set(test)
    kind = "volume that test names and that is not there"
    reader.faults.extend(kind, sorted(named - cases.keys()))
    if named:
        seen = fractions[0] + fractions[1]
        fractions = (fractions[0] / seen, fractions[1] / seen, 0.0)
    of = split_groups(dict.fromkeys(cases.keys() - named, 1), fractions)
    found: dict[Split, dict[str, Case]] = {split: {} for split in SPLITS}
    for name, case in cases.items():
        found["test" if name in named else of[name]][name] = case
    return found
