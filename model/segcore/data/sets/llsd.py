"""LLSD: laparoscopic frames with landmarks as colour masks, one folder per patient.

The layout is that which the code of SRFT-GaLore reads (mobarakol/SRFTGaLore_LiverLandmark,
utils/dataloader.py, and _Experiments, new_masks.py). There are no depth maps.

    root/<patient>/images/<stem>.png
    root/<patient>/masks_original/<stem>.png        white silhouette, red ligament, blue or green
                                                    ridge, as they were drawn
    root/<patient>/masks_gt/<stem>_convert.png      red ridge, green silhouette, blue ligament

Size and splits are not published: which patients are val and test is for the user to say.
"""

import dataclasses
from pathlib import Path
from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass

from segcore.data.frames import Frame, FrameReader, Scan
from segcore.data.mask_folder import MaskConfig, by_patient, mask_faults, pairs
from segcore.data.masks import ColourMask
from segcore.metrics.table import OF_IMAGES, OF_LINES
from segcore.registry import STRICT

LAYOUT = """expected layout:
    {root}/<patient>/images/<stem>.png
    {root}/<patient>/masks_original/<stem>.png or
    {root}/<patient>/masks_gt/<stem>_convert.png (see the field `masks`)"""
ORIGINAL = ColourMask(
    boxes=(
        ("ridge", (((0, 0, 100), (100, 100, 255)), ((0, 80, 0), (100, 255, 100)))),
        ("silhouette", (((101, 101, 101), (255, 255, 255)),)),
        ("ligament", (((100, 0, 0), (255, 100, 100)),)),
    ),
    ground=((0, 0, 0), (100, 80, 100)),
    opening=3,
)
"""The ranges and the 3 x 3 opening of new_masks.py."""
CONVERTED = ColourMask(
    boxes=(
        ("ridge", (((255, 0, 0), (255, 0, 0)),)),
        ("silhouette", (((0, 255, 0), (0, 255, 0)),)),
        ("ligament", (((0, 0, 255), (0, 0, 255)),)),
    )
)
"""The exact colours that dataloader.py looks for."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LLSD(MaskConfig):
    """A folder in LLSD's layout."""

    name: ClassVar[str] = "llsd"

    root: str = dataclasses.field(metadata={"location": True})
    """The folder that holds the patients' folders."""
    masks: Literal["masks_gt", "masks_original"] = "masks_gt"
    """Which of the two mask folders is read."""
    val: tuple[str, ...] = ("patient3",)
    """Patients of the val split. Those in neither val nor test are train."""
    test: tuple[str, ...] = ("patient4",)
    """Patients of the test split."""

    def __post_init__(self) -> None:
        if both := sorted(set(self.val) & set(self.test)):
            raise ValueError(f"val and test both name {', '.join(both)}")

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those of images and of thin structures."""
        return (*OF_IMAGES, *OF_LINES)

    def code(self) -> ColourMask:
        """The colours of the chosen mask folder."""
        return CONVERTED if self.masks == "masks_gt" else ORIGINAL

    def scan(self) -> Scan:
        """Read and check every file.

        Raises:
            DataError: there is no such folder.
        """
        root = Path(self.root)
        reader = FrameReader(root, LAYOUT.format(root=root), mask_faults(self.code()))
        suffix = "_convert" if self.masks == "masks_gt" else ""
        frames: dict[str, Frame] = {}
        folders = sorted(p for p in root.iterdir() if (p / "images").is_dir())
        for folder in folders:
            found = pairs(
                reader,
                folder / "images",
                folder / self.masks,
                mask_suffix=suffix,
                suffixes=(".png",),
            )
            for stem, (image, mask) in found.items():
                frames[f"{folder.name}_{stem}"] = Frame(folder.name, image, mask)
        patients = [folder.name for folder in folders]
        return reader.read(by_patient(reader, frames, patients, val=self.val, test=self.test))
