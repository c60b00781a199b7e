"""AMOS22: 500 CTs and 100 MRs of the abdomen with 15 organs, as NIfTI.

Ji et al., "AMOS: A Large-Scale Abdominal Multi-Organ Benchmark", arXiv 2206.08023. Labels of its
test part are not needed: the validation part is tested on here, and val is taken from train.

    root/imagesTr/amos_<number>.nii.gz, root/labelsTr/amos_<number>.nii.gz
    root/imagesVa/amos_<number>.nii.gz, root/labelsVa/amos_<number>.nii.gz

Numbers below 500 are CT, the others MR.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from segcore.data.dataset import Split
from segcore.data.frames import FrameReader
from segcore.data.splits import taken_for_val
from segcore.data.volumes.volume_folder import Case, Cases, Organs, VolumeConfig, pairs
from segcore.registry import STRICT

ORGANS: Organs = {
    "spleen": 1,
    "right_kidney": 2,
    "left_kidney": 3,
    "gallbladder": 4,
    "esophagus": 5,
    "liver": 6,
    "stomach": 7,
    "aorta": 8,
    "inferior_vena_cava": 9,
    "pancreas": 10,
    "right_adrenal": 11,
    "left_adrenal": 12,
    "duodenum": 13,
    "bladder": 14,
    "prostate_uterus": 15,
}
"""Those that BCV has too are called as there."""
FIRST_MR = 500


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AMOS(VolumeConfig):
    """A folder in AMOS22's layout."""

    name: ClassVar[str] = "amos"
    layout: ClassVar[str] = """expected layout:
    {root}/imagesTr/amos_<number>.nii.gz and {root}/labelsTr/amos_<number>.nii.gz
    {root}/imagesVa/amos_<number>.nii.gz and {root}/labelsVa/amos_<number>.nii.gz"""

    modality: Literal["ct", "mr"] = "ct"
    """Which scans. MR has no Hounsfield units: give a window of its own values with it."""
    test: Literal["validation", "training"] = "validation"
    """The published part that is the test split. `training`: all of that part, and nothing is
    trained on: as I-MedSAM (arXiv 2311.17081) tests what it trained on BCV on 200 CTs."""
    val_from_train: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the training part's volumes that is val, by the hash of their names."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.test == "training" and self.val_from_train != 0.2:
            raise ValueError("val_from_train changes nothing with test='training': leave it out")

    def known_organs(self) -> Organs:
        """AMOS's 15."""
        return ORGANS

    def left_out(self) -> list[Split]:
        """Train and val, where the training part is tested on."""
        return ["train", "val"] if self.test == "training" else []

    def cases(self, reader: FrameReader) -> Cases:
        """The volumes of the modality."""
        train = self._part(reader, "Tr")
        if self.test == "training":
            return {"test": train}
        val = taken_for_val(train, self.val_from_train)
        return {
            "train": {name: case for name, case in train.items() if name not in val},
            "val": {name: case for name, case in train.items() if name in val},
            "test": self._part(reader, "Va"),
        }

    def _part(self, reader: FrameReader, part: str) -> Mapping[str, Case]:
        found = pairs(reader, reader.root / f"images{part}", reader.root / f"labels{part}")
        kept = {}
        for name, case in found.items():
            number = name.removeprefix("amos_")
            if not number.isdecimal():
                kind = "file name is none of AMOS's: amos_<number>"
                reader.faults.add(kind, reader.short(case.volume))
            elif (int(number) >= FIRST_MR) == (self.modality == "mr"):
                kept[name] = case
        return kept
