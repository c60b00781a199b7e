"""CVC-ClinicDB: 612 colonoscopy frames of 29 sequences, with masks of the polyp.

Bernal et al., Computerized Medical Imaging and Graphics 43, 2015. Frames of a sequence are nearly
alike, so that splits go by sequence. Which frames are which sequence is published with the data
(polyp.grand-challenge.org/CVCClinicDB); the table below is as dataset-ninja/cvc-612 quotes it.

    root/Original/<number>.tif          or .png, 1 to 612
    root/Ground Truth/<number>.tif
"""

import bisect
import dataclasses
from pathlib import Path
from typing import ClassVar

from pydantic.dataclasses import dataclass

from segcore.data.frames import Frame, FrameReader, Scan
from segcore.data.mask_folder import MaskConfig, by_split, mask_faults, note_empty, pairs
from segcore.data.masks import BinaryMask
from segcore.data.splits import Fractions, check_fractions, left_out, split_groups
from segcore.registry import STRICT

LAYOUT = """expected layout:
    {root}/Original/<number>.tif or .png
    {root}/Ground Truth/<number>.tif or .png
numbers from 1 to 612. A copy with the folders PNG and TIF: name one of the two."""
LAST_FRAMES = (
    *(25, 50, 67, 78, 103, 126, 151, 177, 199, 205, 227, 252, 277, 297, 317),
    *(342, 363, 383, 408, 428, 447, 466, 478, 503, 528, 546, 571, 591, 612),
)
"""Number of the last frame of each sequence, from the first sequence on."""


def sequence_of(number: int) -> int | None:
    """The sequence of a frame, both counted from 1; None for a number that is none."""
    if not 1 <= number <= LAST_FRAMES[-1]:
        return None
    return bisect.bisect_left(LAST_FRAMES, number) + 1


def _frame_counts() -> dict[str, int]:
    """How many frames each sequence has in the whole set."""
    firsts = (0, *LAST_FRAMES)
    return {_name(n + 1): last - firsts[n] for n, last in enumerate(LAST_FRAMES)}


def _name(sequence: int) -> str:
    return f"sequence_{sequence:02d}"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CVCClinicDB(MaskConfig):
    """A folder in CVC-ClinicDB's layout, divided by sequence."""

    name: ClassVar[str] = "cvc_clinicdb"

    root: str = dataclasses.field(metadata={"location": True})
    """The folder that holds Original and Ground Truth."""
    fractions: Fractions = (0.6, 0.2, 0.2)
    """Of train, val and test, in images; whole sequences come as near as they can. (0, 0, 1)
    makes all of it a test set, as I-MedSAM uses it."""

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
        frames: dict[str, Frame] = {}
        for stem, (image, mask) in pairs(reader, root / "Original", root / "Ground Truth").items():
            sequence = sequence_of(int(stem)) if stem.isdecimal() else None
            if sequence is None:
                reader.faults.add("file name is no frame of CVC-ClinicDB", reader.short(image))
            else:
                frame = Frame(_name(sequence), image, mask)
                first = frames.setdefault(f"{int(stem):03d}", frame)
                if first is not frame:
                    both = f"{reader.short(first.image)} and {image.name}"
                    reader.faults.add("two pictures of one frame", both)
        # Of the whole set, so that a copy with frames missing has the same splits.
        splits = split_groups(_frame_counts(), self.fractions)
        divided = by_split(dict(sorted(frames.items())), splits)
        note_empty(reader, divided, allowed=left_out(self.fractions))
        return reader.read(divided)
