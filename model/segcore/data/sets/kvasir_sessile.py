"""Kvasir-Sessile: 196 colonoscopy images of sessile and flat polyps, with masks.

A part of Kvasir-SEG (Jha et al., arXiv 1911.07069). Masks are JPEG pictures with the name of their
image, and not quite black and white. Each image counts as a patient of its own, as it is not
published which belong together.

    root/images/<stem>.jpg, root/masks/<stem>.jpg           as in sessile-main-Kvasir-SEG
    root/{train,val,test}/{images,masks}/<stem>.jpg         as I-MedSAM (arXiv 2311.17081) has it

Where there are folders of train and test alone, val is taken from train.
"""

import dataclasses
from pathlib import Path
from typing import ClassVar

from pydantic.dataclasses import dataclass

from segcore.data.dataset import SPLITS
from segcore.data.frames import Frame, FrameReader, Frames, Scan
from segcore.data.mask_folder import (
    MaskConfig,
    by_split,
    frames_of_folders,
    mask_faults,
    note_empty,
    pairs,
)
from segcore.data.masks import BinaryMask
from segcore.data.splits import (
    Fractions,
    Share,
    check_fractions,
    left_out,
    split_groups,
)
from segcore.registry import STRICT

FRACTIONS: Fractions = (0.6, 0.2, 0.2)
LAYOUT = """expected layout:
    {root}/images/<stem>.jpg and {root}/masks/<stem>.jpg, or
    {root}/train|val|test/images/<stem>.jpg and masks beside images
without a folder val: val_from_train=0.2 takes it from train"""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class KvasirSessile(MaskConfig):
    """A folder in Kvasir-Sessile's layout, divided by the hash of file names unless it has
    folders of splits."""

    name: ClassVar[str] = "kvasir_sessile"

    root: str = dataclasses.field(metadata={"location": True})
    """The folder that holds images and masks, or train, val and test."""
    fractions: Fractions = FRACTIONS
    """Of train, val and test (I-MedSAM's), where the folder is not divided already; given for
    one that is, they are a fault. (0, 0, 1) makes all of it a test set."""
    val_from_train: Share = 0.0
    """Share of train that is taken for val, by the hash of file names, where there are folders of
    train and test alone."""

    def __post_init__(self) -> None:
        check_fractions(self.fractions)

    def code(self) -> BinaryMask:
        """Polyp or not."""
        return BinaryMask("polyp")

    def scan(self) -> Scan:
        """Read and check every file.

        Raises:
            DataError: there is no such folder.
        """
        root = Path(self.root)
        reader = FrameReader(root, LAYOUT.format(root=root), mask_faults(self.code()))
        frames: Frames
        if any((root / split).is_dir() for split in SPLITS):
            frames = frames_of_folders(
                reader,
                lambda split: _frames(reader, root / split),
                has_val=(root / "val").is_dir(),
                share=self.val_from_train,
            )
            note_empty(reader, frames)
            if self.fractions != FRACTIONS:
                kind = "fractions change nothing where folders say the split: leave them out"
                reader.faults.add(kind, f"{self.fractions}")
        else:
            if self.val_from_train:
                kind = "val_from_train changes nothing without folders of train and test"
                reader.faults.add(kind, f"{self.val_from_train}: set fractions in its place")
            members = _frames(reader, root)
            of = split_groups(dict.fromkeys(members, 1), self.fractions)
            frames = by_split(members, of)
            note_empty(reader, frames, allowed=left_out(self.fractions))
        return reader.read(frames)


def _frames(reader: FrameReader, folder: Path) -> dict[str, Frame]:
    found = pairs(reader, folder / "images", folder / "masks")
    return {stem: Frame(stem, image, mask) for stem, (image, mask) in found.items()}
