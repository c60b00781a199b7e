"""Volumes in, volumes out: labels of the same geometry, which lie on the scan in any viewer.

    OUT/volumes/NAME.nii.gz       labels, from 1 in the order of the network's classes
    OUT/volumes/NAME-MAP.nii.gz   the network's own maps, such as its uncertainty, 0 to 255
    OUT/overlays/NAME.png         some slices, with the masks on them

Shape suffixes: S slices from the feet up, H W rows and columns of a slice.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from segcore.classes import ClassSpec
from segcore.data.faults import Faults
from segcore.data.prompts import ImageBoxes, are_by_class, given_boxes
from segcore.data.volumes.nifti import SUFFIXES, Volume, stem_of
from segcore.data.volumes.volume_folder import windowed
from segcore.files import whole
from segcore.predict import drawing
from segcore.predict.boxes import boxes_given, read_volume_boxes
from segcore.predict.outputs import Kind
from segcore.predict.predictor import Predicted, Predictor

SHOWN, ACROSS, TILE = 12, 4, 256
"""Slices in an overlay, in a row of it, and the pixels of each one's side."""
LAYOUT = (
    "Give volumes (.nii.gz, .nii) or folders of them. Boxes of a volume stand for its slices, "
    'counted from the feet from 0: {"NAME.nii.gz": {"12": [x0, y0, x1, y1]}}'
)
Window = tuple[float, float]
"""The values that are black and white."""


@dataclass(frozen=True, eq=False)
class VolumeFile:
    """A volume that has been looked over."""

    volume: Volume
    boxes: Mapping[int, ImageBoxes] | None = None
    """Prompts of its slices, in their own pixels: on a slice without one there is nothing. None: no
    prompts were given, and the whole slice is the box."""

    @property
    def name(self) -> str:
        """What its outputs are called."""
        return stem_of(self.volume.path)

    @property
    def count(self) -> int:
        """Slices."""
        return self.volume.shape[0]


def are_volumes(paths: Sequence[Path]) -> bool:
    """Whether any of the paths is a volume, or a folder that holds one."""
    return any(_is_volume(p) or (p.is_dir() and any(map(_is_volume, p.iterdir()))) for p in paths)


def find_volumes(
    paths: Sequence[Path], boxes: Path | None = None, *, prompted: ClassSpec | None = None
) -> list[VolumeFile]:
    """Every volume behind some paths, each looked over.

    Args:
        paths: volumes, and folders of them (not their subfolders).
        boxes: a file of prompts, as `read_volume_boxes` reads it.
        prompted: the classes of a network that looks at boxes; None: it does not.

    Raises:
        DataError: every fault of every file, in one message.
    """
    faults = Faults()
    found = list(dict.fromkeys(p for path in paths for p in _files(path, faults)))
    names: dict[str, Path] = {}
    opened: dict[str, Volume] = {}
    for path in found:
        if names.setdefault(stem_of(path), path) != path:
            same = f"{names[stem_of(path)]}, {path}"
            faults.add("files whose outputs would have one name", same)
        try:
            opened[path.name] = Volume.open(path)
        except OSError as error:
            faults.add("unreadable volume", f"{path}: {error}")
    given = _boxes(boxes, {p.name for p in found}, opened, faults, prompted)
    faults.raise_if_any("what was given", LAYOUT)
    told = {name: given.get(name, {}) for name in opened} if boxes is not None else {}
    return [VolumeFile(volume, told.get(name)) for name, volume in opened.items()]


def predict_volumes(
    predictor: Predictor,
    volumes: Iterable[VolumeFile],
    folder: Path,
    *,
    window: Window,
    kinds: Sequence[Kind],
    batch_size: int,
    advance: Callable[[int], None] = lambda slices: None,
) -> None:
    """Predict volumes slice by slice, and write a file of labels for each.

    Args:
        predictor: the network.
        volumes: as `find_volumes` found them.
        folder: of the outputs. What is interrupted leaves whole files and nothing else.
        window: the values that the network was trained to see as black and white.
        kinds: `masks` are the labels, `maps` the network's own, `overlays` the pictures.
        batch_size: slices that go through the network at a time.
        advance: called with the number of slices that were predicted since the last call.
    """
    for file in volumes:
        predicted: list[Predicted] = []
        for start in range(0, file.count, batch_size):
            indices = range(start, min(start + batch_size, file.count))
            images = [windowed(file.volume.plane(i), window) for i in indices]
            prompts = None if file.boxes is None else [file.boxes.get(i) for i in indices]
            predicted += predictor(images, boxes=prompts)
            advance(len(images))
        _write(file, predicted, folder, window, kinds)


def _write(
    file: VolumeFile,
    predicted: Sequence[Predicted],
    folder: Path,
    window: Window,
    kinds: Sequence[Kind],
) -> None:
    labelled = folder / "volumes"
    if "masks" in kinds:
        labels_SHW = np.stack([p.labels_HW for p in predicted])
        with whole(labelled / f"{file.name}.nii.gz") as place:
            file.volume.save_labels(labels_SHW, place)
    if "maps" in kinds:
        for name in predicted[0].maps:
            map_SHW = np.stack([p.maps[name] for p in predicted])
            with whole(labelled / f"{file.name}-{name}.nii.gz") as place:
                file.volume.save_labels(map_SHW, place)
    if "overlays" in kinds:
        with whole(folder / "overlays" / f"{file.name}.png") as place:
            place.write_bytes(drawing.png(_overview(file, predicted, window)))


def _overview(
    file: VolumeFile, predicted: Sequence[Predicted], window: Window
) -> NDArray[np.uint8]:
    """Slices from the lowest to the highest on which anything was found, spread evenly."""
    there = [i for i, p in enumerate(predicted) if p.labels_HW.any()] or range(file.count)
    low, high = min(there), max(there)
    chosen = sorted({round(i) for i in np.linspace(low, high, min(SHOWN, high - low + 1))})
    tiles = []
    for index in chosen:
        image_HW3 = windowed(file.volume.plane(index), window)
        borders = drawing.contours(predicted[index])
        overlay_HW3 = drawing.overlay(image_HW3, predicted[index], borders)
        tiles.append(_tile(overlay_HW3, file.volume.spacing_mm))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % min(ACROSS, len(tiles)))
    rows = [
        np.concatenate(row, axis=1)
        for row in zip(*[iter(tiles)] * min(ACROSS, len(tiles)), strict=True)
    ]
    return np.concatenate(rows)


def _tile(
    picture_HW3: NDArray[np.uint8], spacing_mm: tuple[float, float, float]
) -> NDArray[np.uint8]:
    """A slice on a square tile, as wide and high as it is in millimetres."""
    height, width = (n * mm for n, mm in zip(picture_HW3.shape[:2], spacing_mm[1:], strict=True))
    scale = TILE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    scaled = cv2.resize(picture_HW3, size, interpolation=cv2.INTER_LINEAR)
    tile = np.zeros((TILE, TILE, 3), np.uint8)
    top, left = (TILE - size[1]) // 2, (TILE - size[0]) // 2
    tile[top : top + size[1], left : left + size[0]] = scaled
    return tile


def _files(path: Path, faults: Faults) -> Iterator[Path]:
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if _is_volume(p))
        if not files:
            faults.add("folder without volumes", str(path))
        yield from files
    elif not path.is_file():
        faults.add("no such file or folder", str(path))
    elif not _is_volume(path):
        faults.add("no volume: images and videos are predicted by themselves", str(path))
    else:
        yield path


def _is_volume(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES) and not path.name.startswith(".")


def _boxes(
    file: Path | None,
    names: set[str],
    opened: Mapping[str, Volume],
    faults: Faults,
    prompted: ClassSpec | None,
) -> Mapping[str, Mapping[int, ImageBoxes]]:
    """Boxes by the names of volumes and the numbers of slices, each held against its slice."""
    given = boxes_given(file, read_volume_boxes, prompted, faults)
    if given is None or prompted is None:
        return {}
    if not any(given.values()):
        faults.add("no box in the file", str(file))
    faults.extend("boxes of no volume that was given", (n for n in given if n not in names))
    every = [boxes for slices in given.values() for boxes in slices.values()]
    by_class = are_by_class(every)
    for name, slices in given.items():
        if (volume := opened.get(name)) is None:
            continue  # told already
        count, height, width = volume.shape
        for index, boxes in slices.items():
            if index >= count:
                faults.add("boxes of a slice that is not there", f"{name}: {index} of {count}")
                continue
            try:
                given_boxes(boxes, (height, width), prompted, by_class=by_class)
            except ValueError as error:
                faults.add("boxes that can't be", f"{name}, slice {index}: {error}")
    return given
