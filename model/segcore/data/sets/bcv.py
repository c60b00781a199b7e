"""BCV (also BTCV, Synapse syn3193805): 30 abdominal CTs with 13 organs, as NIfTI.

MICCAI 2015, "Multi-Atlas Labeling Beyond the Cranial Vault". The labels of its own test scans are
not published, so that the 30 are divided; I-MedSAM (arXiv 2311.17081) says 60/20/20 and not which.

    root/img/img0001.nii.gz, root/label/label0001.nii.gz        as in RawData/Training
"""

from typing import ClassVar

from pydantic.dataclasses import dataclass

from segcore.data.dataset import Split
from segcore.data.frames import FrameReader
from segcore.data.splits import Fractions, check_fractions, left_out
from segcore.data.volumes.volume_folder import Cases, Organs, VolumeConfig, divided, pairs
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
    "portal_splenic_vein": 10,
    "pancreas": 11,
    "right_adrenal": 12,
    "left_adrenal": 13,
}
TRANSUNET_TEST = tuple(f"img{n:04d}" for n in (1, 2, 3, 4, 8, 22, 25, 29, 32, 35, 36, 38))
"""The twelve volumes that TransUNet (arXiv 2102.04306) and most after it test on; `test` takes
them."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BCV(VolumeConfig):
    """A folder in BCV's layout."""

    name: ClassVar[str] = "bcv"
    layout: ClassVar[str] = """expected layout:
    {root}/img/img<number>.nii.gz and {root}/label/label<number>.nii.gz"""

    fractions: Fractions = (0.6, 0.2, 0.2)
    """Of train, val and test, in volumes, by the hash of their names. (0, 0, 1) makes all of it a
    test set."""
    test: tuple[str, ...] = ()
    """Volumes that are the test split, as `img0001`; the others are divided into train and val by
    what `fractions` leaves these two. None named: `fractions` alone divides."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fractions(self.fractions)
        if self.test and not self.fractions[0]:
            raise ValueError("fractions: of what `test` does not name nothing would be trained on")

    def known_organs(self) -> Organs:
        """BCV's 13."""
        return ORGANS

    def left_out(self) -> list[Split]:
        """What `fractions` gives nothing."""
        return [split for split in left_out(self.fractions) if not (self.test and split == "test")]

    def cases(self, reader: FrameReader) -> Cases:
        """All volumes, divided."""
        found = pairs(reader, reader.root / "img", reader.root / "label", ("img", "label"))
        return divided(reader, found, self.fractions, self.test)
