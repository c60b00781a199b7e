"""Salient and camouflaged objects: sets of images in a training and a test half, masks beside them.

orssd      ORSSD, optical remote sensing, 600 + 200 images (Li et al., IEEE TGRS 57(11), 2019).
eorssd     EORSSD, its extension, 1400 + 600 (Zhang et al., IEEE TIP 30, 2021).
orsi_4199  ORSI-4199, 2000 + 2199 (Tu et al., IEEE TGRS 60, 2022).
camo       CAMO, camouflaged animals and people, 1000 + 250 (Le et al., CVIU 184, 2019).
cod10k     COD10K, 3040 + 2026 with a camouflaged animal (Fan et al., CVPR 2020).

They differ in names alone. Copies of one set lie about in several layouts, so each knows those in
use, and `folders` names any other. None has a val half: it is taken from train.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass

from segcore.data.frames import Frame, FrameReader, Scan
from segcore.data.mask_folder import MaskConfig, mask_faults, note_empty, pairs
from segcore.data.masks import BinaryMask, GreyMask
from segcore.data.splits import Share, check_pattern, group_of, val_from_train
from segcore.metrics.table import OF_SALIENCY
from segcore.registry import STRICT

Folders = tuple[str, str, str, str]
"""Below the root: images and masks of train, then images and masks of test."""
Half = Literal["train", "test"]

MMSEG: Folders = (
    *("images/training", "annotations/training"),
    *("images/validation", "annotations/validation"),
)
"""As WEFT's code (arXiv 2601.09108) and others of mmsegmentation expect, who validate on test."""
REMOTE: tuple[Folders, ...] = (
    ("train-images", "train-labels", "test-images", "test-labels"),
    ("train/Image-train", "train/GT-train", "val/val-images", "val/val-labels"),
    ("train/image", "train/GT", "test/image", "test/GT"),
    ("train/images", "train/GT", "test/images", "test/GT"),
    ("trainset/image", "trainset/GT", "testset/image", "testset/GT"),
    ("trainset/images", "trainset/GT", "testset/images", "testset/GT"),
    MMSEG,
)
"""Of sets of remote sensing. In the second one, DSINet's, `val` is what others call test."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SalientObjects(MaskConfig):
    """Base of the sets: a folder in one of the known layouts, or in one that `folders` names."""

    known: ClassVar[tuple[Folders, ...]] = REMOTE
    """Layouts that are looked for, whatever the case of their letters."""
    class_name: ClassVar[str] = "salient"
    """The one class."""

    root: str = dataclasses.field(metadata={"location": True})
    """The folder that holds the set."""
    folders: Folders | None = None
    """Folders of another layout below root: images and masks of train, images and masks of test.
    Both halves may have their masks in one folder. None: one of the known layouts."""
    masks: Literal["black_white", "indices"] = "black_white"
    """Whether an object is white, or has the value 1 as in folders made for mmsegmentation."""
    names: str = ".+"
    """Regular expression of the file names, without suffix, that are of this set; others in its
    folders are passed over."""
    group: str = "(.+)"
    """Regular expression of a whole file name without suffix; images of which its first group is
    the same are on one side of train and val, such as turned copies of one scene."""
    val_from_train: Share = 0.1
    """Share of train that is taken for val, by the hash of each group's name: files that are added
    later move no other."""

    def __post_init__(self) -> None:
        check_pattern("group", self.group)
        check_pattern("names", f"({self.names})")
        if self.val_from_train == 0:
            raise ValueError(f"val_from_train = 0: {self.name} has no val half, so give a share")

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those of the field."""
        return OF_SALIENCY

    @property
    def names_patients(self) -> bool:
        """An image's number is no patient's name."""
        return False

    def code(self) -> BinaryMask | GreyMask:
        """An object, or not."""
        if self.masks == "indices":
            return GreyMask(values=((self.class_name, ((1, 1),)),), background=((0, 0),))
        return BinaryMask(self.class_name)

    def scan(self) -> Scan:
        """Read and check every file.

        Raises:
            DataError: there is no such folder.
        """
        root = Path(self.root)
        reader = FrameReader(root, self._layouts(root), mask_faults(self.code()))
        found = self._found(reader)
        if found is None:
            reader.faults.add("missing folder", "there is none of any known layout")
            return reader.read({"train": {}, "val": {}, "test": {}})
        halves = self._frames(reader, found)
        frames = val_from_train(halves["train"], halves["test"], self.val_from_train)
        note_empty(reader, frames)
        return reader.read(frames)

    def _layouts(self, root: Path) -> str:
        known = [self.folders] if self.folders is not None else self.known
        lines = (f"    {root}/{', '.join(folders)}" for folders in known)
        return "\n".join(
            [
                "expected layout: images and masks of train, images and masks of test, with the "
                "same file names",
                *lines,
                *([] if self.folders is not None else ["another one: name it with `folders`"]),
            ]
        )

    def _found(self, reader: FrameReader) -> tuple[Path, ...] | None:
        """The folders of the layout of which most is there; None where nothing is."""
        layouts = self.known if self.folders is None else (self.folders,)
        candidates = {f: tuple(_at(reader.root, part) for part in f) for f in layouts}
        there = {f: sum(p.is_dir() for p in paths) for f, paths in candidates.items()}
        most = max(there.values())
        if not most and self.folders is None:
            return None
        best = [f for f in layouts if there[f] == most]
        if most == len(best[0]) and len(best) > 1:
            both = " and ".join(", ".join(f) for f in best)
            reader.faults.add("more than one layout: name one of them with `folders`", both)
        return candidates[best[0]]

    def _frames(
        self, reader: FrameReader, folders: tuple[Path, ...]
    ) -> Mapping[Half, Mapping[str, Frame]]:
        halves: dict[Half, dict[str, Frame]] = {"train": {}, "test": {}}
        of_train, of_test = folders[:2], folders[2:]
        for half, (images, masks), other in (
            ("train", of_train, of_test),
            ("test", of_test, of_train),
        ):
            beside = [other[0]] if other[1] == masks else []
            found = pairs(reader, images, masks, names=self.names, beside=beside)
            for stem, (image, mask) in found.items():
                group = group_of(self.group, stem)
                if group is None:
                    reader.faults.add("file name without a group (`group`)", reader.short(image))
                # Both halves may count from 1: numbers alone would be one patient in two splits.
                name = f"{half} {group or stem}"
                halves[half][stem] = Frame(name, image, mask)  # type: ignore[index]
        return halves


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ORSSD(SalientObjects):
    """ORSSD: 600 images to train on and 200 to test (github.com/rmcong/ORSSD-dataset)."""

    name: ClassVar[str] = "orssd"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EORSSD(SalientObjects):
    """EORSSD: 1400 images to train on and 600 to test (github.com/rmcong/EORSSD-dataset). ORSSD's
    are among them."""

    name: ClassVar[str] = "eorssd"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ORSI4199(SalientObjects):
    """ORSI-4199: 2000 images to train on and 2199 to test (github.com/wchao1213/ORSI-SOD)."""

    name: ClassVar[str] = "orsi_4199"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CAMO(SalientObjects):
    """CAMO: 1000 camouflaged images to train on and 250 to test, in the authors' layout or in that
    of SINet, whose training folder has COD10K's images too."""

    name: ClassVar[str] = "camo"
    class_name: ClassVar[str] = "camouflaged"
    known: ClassVar[tuple[Folders, ...]] = (
        ("Images/Train", "GT", "Images/Test", "GT"),
        ("TrainDataset/Imgs", "TrainDataset/GT", "TestDataset/CAMO/Imgs", "TestDataset/CAMO/GT"),
        MMSEG,
    )

    names: str = "camourflage_.+"
    """As in `SalientObjects`; the authors spell it so."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class COD10K(SalientObjects):
    """COD10K: of its 10,000 images the 3040 to train on and 2026 to test that show a camouflaged
    animal, in the authors' layout (v3) or in that of SINet."""

    name: ClassVar[str] = "cod10k"
    class_name: ClassVar[str] = "camouflaged"
    known: ClassVar[tuple[Folders, ...]] = (
        ("Train/Image", "Train/GT_Object", "Test/Image", "Test/GT_Object"),
        (
            *("TrainDataset/Imgs", "TrainDataset/GT"),
            *("TestDataset/COD10K/Imgs", "TestDataset/COD10K/GT"),
        ),
        MMSEG,
    )

    names: str = "COD10K-CAM-.+"
    """As in `SalientObjects`; images without an animal begin with COD10K-NonCAM."""


def _at(root: Path, folder: str) -> Path:
    """A folder below the root, in whatever case its letters are written."""
    path = root
    for part in Path(folder).parts:
        spelt = path / part
        if not spelt.is_dir() and path.is_dir():
            alike = (p for p in sorted(path.iterdir()) if p.name.lower() == part.lower())
            spelt = next(alike, spelt)
        path = spelt
    return path
