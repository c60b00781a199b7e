"""`synthetic_organs`: rendered CTs of 13 organs, saved as NIfTI and read as any such folder."""

from pathlib import Path
from typing import Annotated, ClassVar

import nibabel as nib
import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, ornt_transform
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from segcore.data.dataset import SPLITS, Split
from segcore.data.scenes import organ_atlas
from segcore.data.scenes.organ_atlas import DOMAINS, DomainName
from segcore.data.scenes.rendered import Count, RenderedConfig
from segcore.data.sets.bcv import ORGANS
from segcore.data.sets.nifti_folder import NiftiFolder
from segcore.data.volumes.nifti import SLICES
from segcore.registry import STRICT

STORED = ("LPS", "RAS", "LAS", "PIR")
"""Orders of axes in which scanners and tools store volumes: a patient has one of them."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SyntheticOrgans(RenderedConfig):
    """Procedural CTs of the abdomen, rendered on first use; their images are axial slices."""

    name: ClassVar[str] = "synthetic_organs"
    version: ClassVar[int] = organ_atlas.VERSION

    train: Count = 96
    """Slices of the train split: a multiple of `images_per_patient`, as val and test are."""
    val: Count = 48
    test: Count = 48
    images_per_patient: Count = 12
    """Slices of a volume, from the lowest of 24 cm to the highest."""
    size: Annotated[int, Field(ge=64, le=512)] = 128
    """Side of a slice, pixels, of 38 cm."""
    domain: DomainName = "a"
    """Scanner and protocol. `b` has less contrast agent, more noise and other patients: the
    external set."""
    organs: tuple[str, ...] | None = None
    """Those that are segmented, the others being background; None: all thirteen."""

    def __post_init__(self) -> None:
        counts = {name: getattr(self, name) for name in SPLITS}
        odd = [f"{n} = {c}" for n, c in counts.items() if c % self.images_per_patient]
        if odd:
            raise ValueError(
                f"{', '.join(odd)}: give multiples of images_per_patient = "
                f"{self.images_per_patient}, the slices of a volume"
            )
        self.reader()

    def reader(self) -> NiftiFolder:
        """A folder of volumes per split."""
        return NiftiFolder(
            root=str(self.folder()),
            volume_folder="{split}/volumes",
            label_folder="{split}/labels",
            classes=tuple(f"{organ}={label}" for organ, label in ORGANS.items()),
            organs=self.organs,
        )

    def render_split(self, folder: Path, split: Split) -> None:
        """Volumes and labels of a split."""
        place, number = list(DOMAINS).index(self.domain), SPLITS.index(split)
        seed = (self.seed, len(SPLITS) * place + number)  # No domain shares a patient with another.
        for part in ("volumes", "labels"):
            (folder / split / part).mkdir(parents=True)
        for who in range(getattr(self, split) // self.images_per_patient):
            rng = np.random.default_rng((*seed, who))
            scan = organ_atlas.render(
                rng, tuple(ORGANS), self.images_per_patient, self.size, DOMAINS[self.domain]
            )
            stored = STORED[int(rng.integers(len(STORED)))]
            spacing = (
                organ_atlas.LENGTH_MM / self.images_per_patient,
                organ_atlas.HEIGHT_MM / self.size,
                organ_atlas.WIDTH_MM / self.size,
            )
            origin = rng.normal(0, 100, 3)
            name = f"{split}{self.domain}{who:03d}.nii.gz"
            _save(scan.units_SHW, stored, spacing, origin, folder / split / "volumes" / name)
            _save(scan.labels_SHW, stored, spacing, origin, folder / split / "labels" / name)


def _save(
    slices_SHW: NDArray[np.int16] | NDArray[np.uint8],
    stored: str,
    spacing_mm: tuple[float, float, float],
    origin_mm: NDArray[np.float64],
    path: Path,
) -> None:
    """Write slices as a volume whose axes grow towards the directions of `stored`."""
    turn = ornt_transform(SLICES, axcodes2ornt(tuple(stored)))
    affine = np.eye(4)
    # Of an array of slices: up, to the back, to the patient's left; millimetres grow to the right,
    # to the front and up.
    affine[:3, :3] = np.array([[0, 0, -1], [0, -1, 0], [1, 0, 0]]) * spacing_mm
    affine[:3, 3] = origin_mm
    turned = apply_orientation(slices_SHW, turn)
    image = nib.nifti1.Nifti1Image(turned, affine @ inv_ornt_aff(turn, slices_SHW.shape))
    image.header.set_xyzt_units("mm")
    image.to_filename(path)
