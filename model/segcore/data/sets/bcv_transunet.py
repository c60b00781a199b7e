"""BCV as TransUNet (arXiv 2102.04306) prepared it: slices to train on, volumes to test on.

    root/train_npz/case0005_slice000.npz    arrays `image` and `label` of a slice
    root/test_vol_h5/case0001.npy.h5        data sets `image` and `label` of a volume, slice first

Images are cut to [-125, 275] Hounsfield units and scaled to [0, 1]. The spacing of the scans is
lost, so that there are no distances in millimetres. These are other organs, and other splits, than
those of I-MedSAM; `bcv` reads the scans themselves.
"""

import re
from collections.abc import Callable
from dataclasses import field
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from zipfile import BadZipFile

import h5py
import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from segcore.classes import ClassSpec
from segcore.data.frame_folder import FolderConfig
from segcore.data.frames import Frame, FrameReader, Scan, WidthHeight
from segcore.data.mask_folder import note_empty
from segcore.data.splits import Share, val_from_train
from segcore.data.volumes.volume_folder import windowed
from segcore.metrics.table import OF_CASES, OF_IMAGES
from segcore.registry import STRICT

T = TypeVar("T")
LAYOUT = """expected layout:
    {root}/train_npz/case<number>_slice<number>.npz
    {root}/test_vol_h5/case<number>.npy.h5"""
SAMED = (
    *("spleen", "right_kidney", "left_kidney", "gallbladder"),
    *("liver", "stomach", "aorta", "pancreas"),
)
"""The organs of the labels 1 to 8, as SAMed's preprocessing makes them of BCV's 1 to 4, 6 to 8 and
11."""
_FAULTS = (OSError, KeyError, ValueError, BadZipFile)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BCVTransUNet(FolderConfig):
    """A folder in TransUNet's layout."""

    name: ClassVar[str] = "bcv_transunet"

    root: str = field(metadata={"location": True})
    """The folder that holds train_npz and test_vol_h5."""
    organs: tuple[str, ...] = SAMED
    """Of the labels from 1 on, in their order. A copy that was prepared by others may have another
    one: look at the contact sheet."""
    val_from_train: Share = 0.2
    """Share of the training cases that is val, by the hash of their names."""

    def __post_init__(self) -> None:
        if not self.organs or len(set(self.organs)) < len(self.organs):
            raise ValueError(f"organs = {self.organs}: name at least one, each once")

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those of images, for its slices, and those of cases; distances in pixels alone."""
        return (*OF_IMAGES, *(key for key in OF_CASES if not key.endswith("_mm")))

    def class_spec(self) -> ClassSpec:
        """Background and organs."""
        return ClassSpec(("background", *self.organs), exclusive=True)

    def image(self, frame: Frame) -> NDArray[np.uint8]:
        """A slice, grey as RGB (H, W, 3)."""
        return windowed(_read(frame.image, "image", _plane(frame.slice)), (0.0, 1.0))

    def labels(self, frame: Frame) -> NDArray[np.uint8]:
        """Labels (H, W) of a slice."""
        found: NDArray[np.uint8] = _read(frame.label, "label", _plane(frame.slice)).astype(np.uint8)
        return found

    def scan(self) -> Scan:
        """Read and check every file.

        Raises:
            DataError: there is no such folder.
        """
        root = Path(self.root)
        reader = FrameReader(root, LAYOUT.format(root=root), check_label=None)
        train, sizes = self._frames(reader, "train_npz", r"(case\d+)_slice(\d+)\.npz")
        test, more = self._frames(reader, "test_vol_h5", r"(case\d+)\.npy\.h5")
        frames = val_from_train(train, test, self.val_from_train)
        note_empty(reader, frames, allowed=["val"] if not self.val_from_train else [])
        return reader.read(frames, {**sizes, **more})

    def _frames(
        self, reader: FrameReader, name: str, pattern: str
    ) -> tuple[dict[str, Frame], dict[Path, WidthHeight]]:
        """The slices in a folder's files by sample id, and the sizes of the files' images."""
        folder = reader.root / name
        if not folder.is_dir():
            reader.faults.add("missing folder", name)
            return {}, {}
        frames, sizes = {}, {}
        for path in sorted(p for p in folder.iterdir() if p.suffix in (".npz", ".h5")):
            match = re.fullmatch(pattern, path.name)
            if match is None:
                reader.faults.add("file name without case and slice", reader.short(path))
                continue
            try:
                shape = self._checked(path)
            except _FAULTS as error:
                reader.faults.add("unreadable file", f"{reader.short(path)}: {error}")
                continue
            *many, height, width = shape
            sizes[path] = width, height
            first = int(match[2]) if match.lastindex == 2 else 0
            for index in range(first, first + (many[0] if many else 1)):
                frame = Frame(match[1], path, path, case=match[1], slice=index)
                frames[f"{match[1]}_{index:04d}"] = frame
        return frames, sizes

    def _checked(self, path: Path) -> tuple[int, ...]:
        """The shape of a file's image; what is wrong with the file is raised as an error."""
        shape: tuple[int, ...] = _read(path, "image", np.shape)
        labels: NDArray[Any] = _read(path, "label", np.asarray)
        wanted = 2 if path.suffix == ".npz" else 3
        if len(shape) != wanted or labels.shape != shape:
            raise ValueError(f"image {shape} and label {labels.shape}: not {wanted} alike axes")
        odd = set(np.unique(labels).tolist()) - set(range(len(self.organs) + 1))
        if odd:
            raise ValueError(f"labels beyond the list: {', '.join(f'{v:g}' for v in sorted(odd))}")
        return shape


def _read(path: Path, key: str, what: Callable[[Any], T]) -> T:
    """Something of one array of a file; nothing is ever unpickled.

    Raises:
        OSError, KeyError, ValueError: it is damaged, or has no such array.
    """
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            return what(arrays[key])
    with h5py.File(path) as arrays:
        return what(arrays[key])


def _plane(index: int) -> Callable[[Any], NDArray[Any]]:
    """The slice of a volume, or what is one already."""

    def plane(array: Any) -> NDArray[Any]:
        return np.asarray(array[index] if array.ndim == 3 else array)

    return plane
