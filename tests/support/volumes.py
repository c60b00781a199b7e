"""Small NIfTI files for tests."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, ornt_transform
from numpy.typing import NDArray

SPACING_MM = (5.0, 1.5, 2.0)
"""Between slices, rows and columns."""


def save_volume(
    path: Path,
    slices_SHW: NDArray[np.generic],
    *,
    stored: str = "LPS",
    spacing_mm: tuple[float, float, float] = SPACING_MM,
    origin_mm: tuple[float, float, float] = (0, 0, 0),
) -> None:
    """Write slices (from the feet up, front at the top, the patient's right on the left) as a
    volume whose axes grow towards the directions of `stored`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, -1], [0, -1, 0], [1, 0, 0]]) * spacing_mm
    affine[:3, 3] = origin_mm
    turn = ornt_transform(axcodes2ornt(("S", "P", "L")), axcodes2ornt(tuple(stored)))
    array = apply_orientation(np.asarray(slices_SHW), turn)
    affine = affine @ inv_ornt_aff(turn, slices_SHW.shape)
    nib.nifti1.Nifti1Image(array, affine).to_filename(path)


def discs(labels: tuple[int, ...], slices: int = 4, size: int = 32) -> NDArray[np.uint8]:
    """Labels (S, H, W): a disc of each in a row of its own, in all slices but the lowest."""
    y, x = np.mgrid[:size, :size]
    out = np.zeros((slices, size, size), np.uint8)
    for n, label in enumerate(labels):
        centre = (n + 0.5) * size / len(labels)
        out[1:, np.hypot(y - centre, x - size / 2) < size / len(labels) / 2.2] = label
    return out


def units_of(labels_SHW: NDArray[np.uint8], seed: int) -> NDArray[np.int16]:
    """Hounsfield units of a scan of such organs."""
    noise = np.random.default_rng(seed).normal(0, 20, labels_SHW.shape)
    return (40.0 * labels_SHW.astype(float) - 60 + noise).astype(np.int16)
