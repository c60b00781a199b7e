"""NIfTI files: their geometry from the header, their slices one by one.

Slices are axial and lie as a radiologist sees them: the patient's front is up, the patient's right
is on the left. However a file stores its voxels, its affine says where they are.

Shape suffixes: S slices from the feet up, H W rows and columns of a slice.
"""

import gzip
import hashlib
import shutil
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from nibabel.arrayproxy import ArrayProxy
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import (
    apply_orientation,
    axcodes2ornt,
    inv_ornt_aff,
    io_orientation,
    ornt_transform,
)
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from segcore.files import cache_folder, whole

SUFFIXES = (".nii.gz", ".nii")
SLICES = axcodes2ornt(("S", "P", "L"))
"""Where the axes of an array of slices (S, H, W) grow towards: head, back, the patient's left."""
APART = 0.1
"""Share of a voxel's shortest side by which the corners of a volume and of its labels may lie
apart: more than rounding and rewriting by other tools leave."""


def stem_of(path: Path) -> str:
    """A file's name without the suffix of a volume."""
    name = path.name
    return next(name[: len(name) - len(s)] for s in (*SUFFIXES, "") if name.lower().endswith(s))


@dataclass(frozen=True, eq=False)
class Volume:
    """One file, unpacked and open; its voxels are read when they are asked for."""

    path: Path
    """As it was given."""
    image: nib.nifti1.Nifti1Image

    @classmethod
    def open(cls, path: Path) -> "Volume":
        """Open a file; a compressed one is unpacked into the cache, once.

        Raises:
            OSError: it has gone, is damaged, or is no volume of three dimensions.
        """
        try:
            image = nib.load(unpacked(path))
            if not isinstance(image, nib.nifti1.Nifti1Image):  # NIfTI-2 is one too
                raise ImageFileError(f"it is a {type(image).__name__}")
            volume = cls(path, image)
            faults = [*volume._faults()]
        except (ImageFileError, HeaderDataError, WrapStructError, ValueError) as error:
            raise OSError(f"no NIfTI file that can be read: {error}") from error
        if faults:
            raise OSError(faults[0])
        return volume

    def _faults(self) -> list[str]:
        shape, affine = self.image.shape, self.image.affine
        if len(shape) != 3 or 0 in shape:
            told = "x".join(map(str, shape))
            return [f"an array of {told}: give volumes of three dimensions"]
        if affine is None or not np.isfinite(affine).all() or not np.linalg.det(affine):
            return ["its affine says nowhere: the file does not tell where its voxels are"]
        proxy = self.image.dataobj
        assert isinstance(proxy, ArrayProxy), "of an image that was loaded from a file"
        if proxy.dtype.kind not in "iuf":
            return [f"voxels of {proxy.dtype}: give one real number each"]
        wanted = int(proxy.offset) + int(np.prod(shape)) * proxy.dtype.itemsize
        if (there := unpacked(self.path).stat().st_size) < wanted:
            return [f"ends after {there:,} of {wanted:,} bytes"]
        return []

    @cached_property
    def turn(self) -> NDArray[np.float64]:
        """What `nibabel.orientations` makes slices (S, H, W) of the stored array by."""
        turn: NDArray[np.float64] = ornt_transform(io_orientation(self.image.affine), SLICES)
        return turn

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """(S, H, W)."""
        slices, height, width = (self.image.shape[axis] for axis in np.argsort(self.turn[:, 0]))
        return slices, height, width

    @cached_property
    def affine(self) -> NDArray[np.float64]:
        """(4, 4), from (slice, row, column) to millimetres."""
        affine: NDArray[np.float64] = self.image.affine @ inv_ornt_aff(self.turn, self.image.shape)
        return affine

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Between slices, rows and columns."""
        slices, rows, columns = map(float, voxel_sizes(self.affine))
        return slices, rows, columns

    def plane(self, index: int) -> NDArray[Any]:
        """Slice (H, W), in the file's units and, unless they are scaled, of its type.

        Raises:
            OSError: the file has gone.
        """
        axis = int(np.flatnonzero(self.turn[:, 0] == 0)[0])
        place = index if self.turn[axis, 1] > 0 else self.shape[0] - 1 - index
        chosen = [slice(None)] * 3
        chosen[axis] = slice(place, place + 1)
        stored = np.asarray(self.image.dataobj[tuple(chosen)])
        plane: NDArray[Any] = apply_orientation(stored, self.turn)[0]
        return plane

    def mismatch(self, volume: "Volume") -> str | None:
        """What keeps this one from being the labels of a volume; None: nothing."""
        if self.shape != volume.shape:
            ours, theirs = ("x".join(map(str, v.shape)) for v in (self, volume))
            return f"{ours} (slices, rows, columns), its volume has {theirs}"
        corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(self.shape) - 1)
        moved = apply_affine(self.affine, corners) - apply_affine(volume.affine, corners)
        apart = float(np.linalg.norm(moved, axis=1).max())
        if apart > APART * min(volume.spacing_mm):
            return f"its affine puts a corner {apart:.2f} mm from where that of its volume does"
        return None

    def save_labels(self, labels_SHW: NDArray[np.uint8], path: Path) -> None:
        """Write labels of this volume's slices as a file of its geometry.

        Args:
            labels_SHW: in the shape of the volume.
            path: to write to.
        """
        back = ornt_transform(SLICES, io_orientation(self.image.affine))
        stored = apply_orientation(labels_SHW, back)
        header = self.image.header.copy()  # units, and which of its two affines counts
        header.set_data_dtype(stored.dtype)
        header.set_slope_inter(1, 0)
        header["cal_min"] = header["cal_max"] = 0
        nib.nifti1.Nifti1Image(stored, self.image.affine, header).to_filename(path)


def unpacked(path: Path) -> Path:
    """The file itself, or what a compressed one holds: unpacked once, into the cache.

    Raises:
        OSError: it has gone or is damaged.
    """
    if path.suffix.lower() != ".gz":
        return path
    kept = kept_beside(path, ".nii")
    if kept.exists():
        return kept
    try:
        with whole(kept) as place, gzip.open(path) as packed, place.open("wb") as file:
            shutil.copyfileobj(packed, file, 1 << 20)
    except (EOFError, zlib.error) as error:
        raise OSError(f"damaged gzip file: {error}") from error
    return kept


def kept_beside(path: Path, suffix: str) -> Path:
    """Where something made of a file is kept: another place once the file is another one."""
    state = path.stat()
    key = f"{path.resolve()} {state.st_size} {state.st_mtime_ns}"
    return cache_folder() / "volumes" / (hashlib.sha256(key.encode()).hexdigest()[:32] + suffix)
