"""Masks that another program predicted, or `segtune predict`, read back to be scored.

    DIR/NAME.png      or .tif, .bmp, .jpg: labels of the image's own size
    DIR/CASE.nii.gz   or .nii: labels of a volume's own geometry

NAME and CASE are the image's or volume's file without its suffix, or its id in its data set. A
value is a label as `segtune predict` writes it (with a background channel the place of the class,
from 1; else bit k for class k) unless a code says otherwise. nnU-Net's files are of this form.

Shape suffixes: H W image.
"""

import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segcore.classes import ClassSpec, Labels
from segcore.data.dataset import Dataset, Source, Split
from segcore.data.faults import Faults
from segcore.data.loader import cases_of
from segcore.data.mask_folder import SUFFIXES as PICTURES
from segcore.data.masks import ColourMask, GreyMask, Raw, read_mask
from segcore.data.pixels import resized_labels
from segcore.data.volumes.labels import read_labels
from segcore.data.volumes.nifti import SUFFIXES as VOLUMES
from segcore.data.volumes.nifti import Volume, stem_of
from segcore.training.predicting import PredictedSample, Target

Code = GreyMask | ColourMask
LAYOUT = (
    f"Give a folder with a mask for each image, named as it ({' '.join(PICTURES)}), or for each "
    "volume (.nii.gz, .nii): of what `segtune predict` wrote, its folder masks or volumes"
)


@dataclass(frozen=True)
class GivenMasks:
    """A mask for every sample of a split, each looked over."""

    read: Mapping[str, Callable[[], Labels]]
    """Of each sample, by its id: labels (H, W) of the image's own size."""
    content_hash: str
    """SHA-256 over the samples' ids, the bytes of their files and what values mean."""
    others: int
    """Mask files in the folder that belong to no sample of the split."""

    def of(self, target: Target) -> Iterator[PredictedSample]:
        """The samples of a target with their masks, a case's one after another."""
        dataset = target.dataset
        cases = cases_of(dataset, target.split).values()
        for sample_id in itertools.chain.from_iterable(cases):
            sample = dataset.load(target.split, sample_id, target.size)
            size = (sample.labels_HW.shape[0], sample.labels_HW.shape[1])
            yield PredictedSample(resized_labels(self.read[sample_id](), size), sample=sample)


def find_masks(
    folder: Path, dataset: Dataset, split: Split, *, code: Code | None = None
) -> GivenMasks:
    """The masks of every sample of a split.

    Args:
        folder: holds them; not its subfolders.
        dataset: the data set that they are held against.
        split: of it.
        code: what their values mean; None: they are labels.

    Raises:
        DataError: a mask is missing, cannot be read, or is of another size, geometry or label than
            it may be; all of them.
    """
    faults = Faults()
    if code is not None and code.classes != dataset.classes:
        faults.add(
            "values of other classes than the data's",
            f"{code.classes}; the data have {dataset.classes}",
        )
    files = _files(folder, faults)
    faults.raise_if_any(str(folder), LAYOUT)
    look = _Look(dataset.classes, code, faults)
    read: dict[str, Callable[[], Labels]] = {}
    used: dict[Path, str] = {}
    digest = hashlib.sha256(repr(code).encode())
    opened: dict[Path, Volume | None] = {}
    sources = dataset.sources(split)
    missing: dict[str, None] = {}
    for sample_id, names in _names(sources).items():
        source = sources[sample_id]
        file = next((files[name] for name in names if name in files), None)
        if file is None:
            missing[names[-1]] = None
            continue
        if file not in used:
            used[file] = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{sample_id} {used[file]}\n".encode())
        if _is_volume(file):
            if file not in opened:
                opened[file] = look.volume(file, source)
            volume = opened[file]
            if volume is not None:
                read[sample_id] = look.reader(volume, source.slice)
        else:
            own = dataset.load(split, sample_id, None).labels_HW.shape
            look.picture(file, (own[0], own[1]))
            read[sample_id] = look.reader(file)
    faults.extend(f"nothing for images or volumes of {split}", missing)
    faults.raise_if_any(str(folder), LAYOUT)
    return GivenMasks(read, digest.hexdigest(), len(files) - len(used))


@dataclass(frozen=True)
class _Look:
    """Checks files, and reads them once more when they are scored."""

    classes: ClassSpec
    code: Code | None
    faults: Faults

    def picture(self, file: Path, size: tuple[int, int]) -> None:
        """Note what is wrong with a picture."""
        try:
            raw = read_mask(file, indexed=self.code is None or self.code.indexed)
        except (OSError, ValueError) as error:
            self.faults.add("unreadable mask", f"{file.name}: {error}")
            return
        if raw.shape[:2] != size:
            height, width = raw.shape[:2]
            told = f"{file.name}: {width}x{height}, the image is {size[1]}x{size[0]}"
            self.faults.add("mask of another size than its image", told)
        self._values(file, raw)

    def volume(self, file: Path, source: Source) -> Volume | None:
        """Open a volume of labels and note what is wrong with it; None where it can't be read."""
        try:
            volume = Volume.open(file)
            if isinstance(self.code, ColourMask):
                raise ValueError("a volume has no colours: give grey levels")
            planes = [read_labels(volume, i) for i in range(volume.shape[0])]
        except (OSError, ValueError) as error:
            self.faults.add("unreadable mask", f"{file.name}: {error}")
            return None
        if source.file is None or not _is_volume(source.file):
            told = f"{file.name}: the data are no NIfTI: give a picture of each slice, as its id"
            self.faults.add("mask of a volume of another kind", told)
            return None
        if mismatch := volume.mismatch(Volume.open(source.file)):
            self.faults.add("mask that lies elsewhere than its volume", f"{file.name}: {mismatch}")
            return None
        self._values(file, np.unique(np.concatenate([np.unique(p) for p in planes]))[None])
        return volume

    def reader(self, file: Path | Volume, index: int = 0) -> Callable[[], Labels]:
        """What reads the labels of an image."""

        def read() -> Labels:
            raw: Raw
            if isinstance(file, Volume):
                raw = read_labels(file, index)
            else:
                raw = read_mask(file, indexed=self.code is None or self.code.indexed)
            return _first(raw) if self.code is None else self.code.labels(raw)

        return read

    def _values(self, file: Path, raw: Raw) -> None:
        """Note values that are no labels."""
        if self.code is not None:
            if odd := self.code.odd(raw):
                self.faults.add("odd mask values", f"{file.name}: {odd}")
            return
        if raw.ndim == 3 and (raw != raw[..., :1]).any():
            self.faults.add("mask with colours", f"{file.name}: say what they mean (--values)")
            return
        classes = self.classes
        most = len(classes.names) - 1 if classes.exclusive else 2 ** len(classes.names) - 1
        if beyond := [int(value) for value in np.unique(raw) if int(value) > most]:
            self.faults.add(
                f"label beyond {most} (of {classes}; say with --values what values mean)",
                f"{file.name}: {', '.join(map(str, beyond[:6]))}",
            )


def _first(raw: Raw) -> NDArray[np.uint8]:
    """Labels (H, W) of a mask that was found to hold labels."""
    return (raw[..., 0] if raw.ndim == 3 else raw).astype(np.uint8)


def _files(folder: Path, faults: Faults) -> dict[str, Path]:
    """The masks of a folder by their name without suffix."""
    if not folder.is_dir():
        faults.add("no such folder", str(folder))
        return {}
    found: dict[str, Path] = {}
    for path in sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")):
        if not _is_volume(path) and path.suffix.lower() not in PICTURES:
            continue
        name = _stem(path)
        if found.setdefault(name, path) != path:
            faults.add("two masks of one name", f"{found[name].name} and {path.name}")
    if not found:
        faults.add("folder without masks", str(folder))
    return found


def _names(sources: Mapping[str, Source]) -> dict[str, tuple[str, ...]]:
    """What the mask of each sample may be called: as the sample; as its image's file, where no
    other image has that name; as its volume."""
    files = {s.file for s in sources.values() if s.file is not None}
    stems = Counter(map(_stem, files))
    names = {}
    for sample_id, source in sources.items():
        stem = None if source.file is None else _stem(source.file)
        own = () if stem is None or stems[stem] > 1 else (stem,)
        of_volume = () if source.case_id is None else (source.case_id,)
        names[sample_id] = (sample_id, *own, *of_volume)
    return names


def _stem(path: Path) -> str:
    """A file's name without its suffix."""
    return stem_of(path) if _is_volume(path) else path.stem


def _is_volume(path: Path) -> bool:
    return path.name.lower().endswith(VOLUMES)
