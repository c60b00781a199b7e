"""`folder`: any folder of images and mask pictures, described by its configuration."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import ClassVar

from pydantic.dataclasses import dataclass

from segcore.data.dataset import Split
from segcore.data.frames import Frame, FrameReader, Frames, Scan
from segcore.data.mask_folder import (
    SUFFIXES,
    MaskConfig,
    by_split,
    frames_of_folders,
    mask_faults,
    note_empty,
    pairs,
    pictures,
)
from segcore.data.masks import ColourMask, GreyMask, parse_code
from segcore.data.pixels import DepthRange, check_range
from segcore.data.splits import (
    Fractions,
    Share,
    check_fractions,
    check_pattern,
    group_of,
    left_out,
    split_groups,
)
from segcore.registry import STRICT

SPLIT = "{split}"
EACH_ITS_OWN = "(.+)"
"""The pattern of a patient whose name is its image's."""
SPLIT_NAMES: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""What the folder of a split may be called, in either case."""
LAYOUT = """expected layout, as the fields say:
    images  {root}/{images}/<stem>.jpg, .png, .tif or .bmp
    masks   {root}/{masks}/<stem>{suffix}.png, .tif, .bmp or .jpg
{{split}} stands for train, val and test; without a folder of val, val_from_train=0.1 takes it from
train."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Folder(MaskConfig):
    """Images and masks that lie in folders of their own and share file names."""

    name: ClassVar[str] = "folder"

    root: str = dataclasses.field(metadata={"location": True})
    """The folder below which all lies."""
    images: str = "images"
    """Folder of the images below root. `{split}` in it, as in `{split}/images`, stands for a
    folder per split; without it, images are divided by `fractions`."""
    masks: str = "masks"
    """Folder of the masks below root, with `{split}` if images has it."""
    depth: str | None = None
    """Folder of the depth maps (larger is farther), if there are any, named as their images."""
    depth_range: DepthRange | None = None
    """The values of depth maps of 16 bits that are the nearest and the farthest: those of 8 bits
    are taken as they are."""
    mask_suffix: str = ""
    """What a mask's name has after its image's, as `_mask`."""
    classes: tuple[str, ...] = ("object=128..255", "background=0..127")
    """What mask values mean, one text per class in order: `polyp=255`, `liver=1`, `vein=2|3`,
    `tool=128..255` for grey levels or palette indices, `ridge=#ff0000|#0000ff` for colours.
    `background` is 0, or black, unless it is among them. `ignore=255` are pixels whose truth nobody
    knows: they count in no loss and no score. One class: a binary set, without a
    background channel."""
    patient: str = EACH_ITS_OWN
    """Regular expression of a whole file stem; its first group is the patient or sequence. The
    default takes each image for a patient of its own."""
    fractions: Fractions = (0.6, 0.2, 0.2)
    """Of train, val and test, in images, where there is no folder per split: patients are divided
    by the hash of their names."""
    val_from_train: Share = 0.0
    """Share of train that is taken for val, by the hash of patients' names, where `{split}` has
    folders of train and test alone; images that are added later move no other."""

    def __post_init__(self) -> None:
        check_pattern("patient", self.patient)
        check_fractions(self.fractions)
        parse_code(self.classes)
        check_range(self.depth_range)
        if self.depth_range is not None and self.depth is None:
            raise ValueError("depth_range has no effect without depth: leave it out")
        several = [n for n in ("images", "masks", "depth") if SPLIT in (getattr(self, n) or "")]
        wanted = [n for n in ("images", "masks", "depth") if getattr(self, n) is not None]
        if several and several != wanted:
            raise ValueError(
                f"{SPLIT} is in {' and '.join(several)} alone: write it in {', '.join(wanted)}, "
                "or in none of them"
            )
        if several and self.fractions != (0.6, 0.2, 0.2):
            raise ValueError(f"fractions change nothing where folders say the split ({SPLIT})")
        if self.val_from_train and not several:
            raise ValueError(f"val_from_train changes nothing without folders of splits ({SPLIT})")

    @property
    def names_patients(self) -> bool:
        """Whether `patient` says how: an image's number is no patient's name."""
        return self.patient != EACH_ITS_OWN

    @property
    def depth_values(self) -> DepthRange | None:
        """The nearest and farthest values of depth maps of 16 bits."""
        return self.depth_range

    def code(self) -> GreyMask | ColourMask:
        """What `classes` says."""
        return parse_code(self.classes)

    def scan(self) -> Scan:
        """Read and check every file.

        Raises:
            DataError: there is no such folder.
        """
        root = Path(self.root)
        layout = LAYOUT.format(
            root=root, images=self.images, masks=self.masks, suffix=self.mask_suffix
        )
        reader = FrameReader(root, layout, mask_faults(self.code()), self.depth_range)
        frames: Frames
        if SPLIT in self.images:
            frames = frames_of_folders(
                reader,
                partial(self._frames, reader),
                has_val=folder_of(root, self.images, "val").is_dir(),
                share=self.val_from_train,
            )
            note_empty(reader, frames)
        else:
            members = self._frames(reader, None)
            sizes: dict[str, int] = {}
            for frame in members.values():
                sizes[frame.patient] = sizes.get(frame.patient, 0) + 1
            frames = by_split(members, split_groups(sizes, self.fractions))
            note_empty(reader, frames, allowed=left_out(self.fractions))
        return reader.read(frames)

    def _frames(self, reader: FrameReader, split: Split | None) -> dict[str, Frame]:
        images = folder_of(reader.root, self.images, split)
        masks = folder_of(reader.root, self.masks, split)
        found = pairs(reader, images, masks, mask_suffix=self.mask_suffix)
        depths: dict[str, Path] | None = None
        if self.depth is not None:
            depths = pictures(reader, folder_of(reader.root, self.depth, split), SUFFIXES)
        frames = {}
        for stem, (image, mask) in found.items():
            patient = group_of(self.patient, stem)
            if patient is None:
                kind = "file name without a patient (see the field `patient`)"
                reader.faults.add(kind, reader.short(image))
            if depths is not None and stem not in depths:
                reader.faults.add("image without depth", reader.short(image))
            frames[stem] = Frame(patient or stem, image, mask, (depths or {}).get(stem))
        return frames


def folder_of(root: Path, pattern: str, split: Split | None) -> Path:
    """The folder that a pattern means for a split: the first that is there, else its plain name."""
    if split is None:
        return root / pattern
    names = SPLIT_NAMES[split]
    spellings = [s for name in names for s in (name, name.capitalize(), name.upper())]
    candidates = [root / pattern.replace(SPLIT, s) for s in spellings]
    return next((c for c in candidates if c.is_dir()), candidates[0])
