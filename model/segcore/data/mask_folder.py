"""Folders of images and mask pictures of the same name: finding and checking the pairs."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segcore.classes import ClassSpec
from segcore.data.dataset import SPLITS, Split
from segcore.data.frame_folder import FolderConfig
from segcore.data.frames import CheckLabel, Frame, FrameReader, Frames, WidthHeight
from segcore.data.masks import MaskCode, held_values, read_mask
from segcore.data.splits import val_from_train

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp")
"""Of picture files, in either case."""


class MaskConfig(FolderConfig):
    """Base of the folders whose labels are mask pictures."""

    def code(self) -> MaskCode:
        """What the values of the masks mean."""
        raise NotImplementedError

    def class_spec(self) -> ClassSpec:
        """The classes that the masks hold."""
        return self.code().classes

    def labels(self, frame: Frame) -> NDArray[np.uint8]:
        """Labels (H, W) of a mask at its own size."""
        code = self.code()
        return code.labels(read_mask(frame.label, indexed=code.indexed))

    def held(self, frames: Sequence[Frame]) -> str:
        """The grey levels, palette indices or colours that masks hold, as fields write them."""
        indexed = self.code().indexed
        return held_values(read_mask(frame.label, indexed=indexed) for frame in frames)

    def ignore(self, frame: Frame) -> NDArray[np.bool_] | None:
        """Where a mask says that nobody knows."""
        code = self.code()
        if not code.unknown:
            return None
        return code.ignored(read_mask(frame.label, indexed=code.indexed))


def mask_faults(code: MaskCode) -> CheckLabel:
    """What to check in every mask."""

    def check(content: bytes, size: WidthHeight | None) -> Iterable[tuple[str, str]]:
        try:
            raw = read_mask(content, indexed=code.indexed)
        except (OSError, ValueError) as error:
            yield "unreadable mask", str(error)
            return
        height, width = raw.shape[:2]
        if size is not None and size != (width, height):
            yield "mask of another size", f"{width}x{height}, image is {size[0]}x{size[1]}"
        if (odd := code.odd(raw)) is not None:
            yield "odd mask values", odd

    return check


def pictures(reader: FrameReader, folder: Path, suffixes: Iterable[str]) -> dict[str, Path]:
    """Picture files by stem, sorted; two of one stem, and a missing folder, are faults."""
    if not folder.is_dir():
        reader.faults.add("missing folder", reader.short(folder))
        return {}
    found: dict[str, Path] = {}
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in set(suffixes)):
        if path.stem in found:
            both = f"{reader.short(found[path.stem])} and {path.name}"
            reader.faults.add("two pictures of one name", both)
        found.setdefault(path.stem, path)
    return found


def pairs(
    reader: FrameReader,
    images: Path,
    masks: Path,
    *,
    mask_suffix: str = "",
    suffixes: Iterable[str] = SUFFIXES,
    names: str = ".+",
    beside: Iterable[Path] = (),
) -> dict[str, tuple[Path, Path]]:
    """Image and mask by the image's stem; what has no counterpart is a fault.

    Args:
        reader: where faults are noted.
        images: folder of the images.
        masks: folder of the masks.
        mask_suffix: what a mask's stem has after its image's.
        suffixes: of the files that count.
        names: regular expression of the stems that count.
        beside: further folders of images whose masks lie among these.
    """
    image_of, mask_of = (
        {stem: path for stem, path in found.items() if re.fullmatch(names, stem)}
        for found in (pictures(reader, folder, suffixes) for folder in (images, masks))
    )
    if images.is_dir() and not image_of:
        reader.faults.add("folder without images", reader.short(images))
    if masks.is_dir():
        alone = [p for stem, p in image_of.items() if stem + mask_suffix not in mask_of]
        reader.faults.extend("image without mask", map(reader.short, alone))
    if images.is_dir():
        stems = {*image_of, *(p.stem for f in beside if f.is_dir() for p in f.iterdir())}
        wanted = {stem + mask_suffix for stem in stems}
        alone = [p for stem, p in mask_of.items() if stem not in wanted]
        reader.faults.extend("mask without image", map(reader.short, alone))
    return {
        stem: (path, mask_of[stem + mask_suffix])
        for stem, path in image_of.items()
        if stem + mask_suffix in mask_of
    }


def by_split(frames: Mapping[str, Frame], of: Mapping[str, Split]) -> Frames:
    """Divide frames over the splits by their patients.

    Args:
        frames: by sample id.
        of: the split of each patient.
    """
    divided: dict[Split, dict[str, Frame]] = {split: {} for split in SPLITS}
    for sample_id, frame in frames.items():
        divided[of[frame.patient]][sample_id] = frame
    return divided


def by_patient(
    reader: FrameReader,
    frames: Mapping[str, Frame],
    patients: Sequence[str],
    *,
    val: Sequence[str],
    test: Sequence[str],
) -> Frames:
    """Divide frames over the splits as patients are named; those that are not named are train.

    Args:
        reader: where a name without a folder is noted, a split without images, and that there is
            no folder of a patient.
        frames: by sample id.
        patients: those that have a folder.
        val: the patients of val.
        test: alike.
    """
    if not patients:
        reader.faults.add("missing folder", "<patient>/images")
    named: dict[str, Split] = dict.fromkeys(val, "val")
    named |= dict.fromkeys(test, "test")
    unknown = sorted(named.keys() - set(patients))
    reader.faults.extend("no folder of a patient that val or test names", unknown)
    divided = by_split(frames, {p: named.get(p, "train") for p in patients})
    note_empty(reader, divided)
    return divided


def frames_of_folders(
    reader: FrameReader,
    frames: Callable[[Split], Mapping[str, Frame]],
    *,
    has_val: bool,
    share: float,
) -> Frames:
    """Frames of a folder per split; val is taken from train where a share says so.

    Args:
        reader: where faults are noted.
        frames: finds those of a split's folder, and notes what is wrong there.
        has_val: whether there is a folder of val.
        share: of train, as of `val_from_train`; 0: there must be a folder of val.
    """
    if share and has_val:
        kind = "val_from_train changes nothing where there is a folder of val: leave it out"
        reader.faults.add(kind, f"{share}")
    if has_val or not share:
        return {split: frames(split) for split in SPLITS}
    return val_from_train(frames("train"), frames("test"), share)


def note_empty(reader: FrameReader, frames: Frames, *, allowed: Iterable[Split] = ()) -> None:
    """Note the splits without an image, unless all are (then something else is wrong)."""
    if any(frames.values()):
        empty = [split for split, members in frames.items() if not members]
        reader.faults.extend("split without images", [s for s in empty if s not in allowed])
