"""What predictions leave on disk: files that are whole, or not there.

    OUT/masks/NAME.png       labels, with a palette
    OUT/overlays/NAME.png    NAME.mp4 for a video
    OUT/contours/NAME.json   as labelme saves polygons
    OUT/coco/instances_default.json    of all images, as CVAT imports masks
    OUT/depth/NAME.png       the depth map that the network saw
    OUT/maps/NAME-MAP.png    the network's own pictures, such as its uncertainty, as grey levels

A video's masks, contours, depth and maps are folders NAME with files for each frame, its instances
a file in such a folder; its overlays have the time stamps of its own frames.
"""

import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from segcore.classes import ClassSpec
from segcore.files import whole
from segcore.predict import drawing
from segcore.predict.coco import FILE, CocoImage, dataset, instances_of
from segcore.predict.predictor import Predicted
from segcore.predict.sources import Frame, ImageFile, VideoFile
from segcore.predict.video import VideoWriter

Kind = Literal["masks", "overlays", "contours", "coco", "depth", "maps"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Drawn:
    """Everything that is written about one frame."""

    name: str
    files: Sequence[tuple[Kind, str, bytes]]
    """Folder, name and content of each."""
    overlay_HW3: NDArray[np.uint8] | None
    """RGB, where overlays are asked for."""
    time: Fraction | None = None
    """Of a video's frame: its time stamp, in seconds."""
    coco: CocoImage | None = None
    """Its instances, where they are asked for."""


class Outputs:
    """A folder and what goes into it."""

    def __init__(self, folder: Path, kinds: Collection[Kind]) -> None:
        """Raises ValueError where the folder cannot be written to; nothing is written yet."""
        there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            raise ValueError(f"can't write to {folder}: {there} is not a folder to write to")
        self.folder = folder
        self.kinds = [kind for kind in KINDS if kind in kinds]
        self._coco: list[CocoImage] = []

    def draw(self, frame: Frame, predicted: Predicted, source: Path, file_name: str) -> Drawn:
        """Encode everything that will be written about a frame but its overlay.

        Args:
            frame: as it was read.
            predicted: what was found on it.
            source: the image or video.
            file_name: of the frame, by which an annotation tool knows it.
        """
        files: list[tuple[Kind, str, bytes]] = []
        overlay_HW3 = None
        borders = drawing.contours(predicted) if {"overlays", "contours"} & set(self.kinds) else []
        if "masks" in self.kinds:
            content = drawing.mask_png(predicted.labels_HW, predicted.classes)
            files.append(("masks", f"{frame.name}.png", content))
        if "overlays" in self.kinds:
            overlay_HW3 = drawing.overlay(frame.image_HW3, predicted, borders)
        if "contours" in self.kinds:
            height, width = predicted.labels_HW.shape
            place = os.path.relpath(source, self.folder / "contours")
            text = drawing.labelme(borders, place, (height, width))
            files.append(("contours", f"{frame.name}.json", text.encode()))
        if "depth" in self.kinds and predicted.depth_HW is not None:
            files.append(("depth", f"{frame.name}.png", drawing.png(predicted.depth_HW)))
        if "maps" in self.kinds:
            for name, grey in predicted.maps.items():
                files.append(("maps", f"{frame.name}-{name}.png", drawing.png(grey)))
        coco = instances_of(predicted, file_name) if "coco" in self.kinds else None
        return Drawn(frame.name, files, overlay_HW3, frame.time, coco)

    def write_image(self, image: ImageFile, frame: Frame, predicted: Predicted) -> None:
        """Write all files of one image, each under a hidden name first."""
        drawn = self.draw(frame, predicted, image.path, image.path.name)
        files = [*drawn.files]
        if drawn.overlay_HW3 is not None:
            files.append(("overlays", f"{image.name}.png", drawing.png(drawn.overlay_HW3)))
        unfinished = {self._path(kind, f".{name}"): content for kind, name, content in files}
        try:
            for path, content in unfinished.items():
                path.write_bytes(content)
            for path in unfinished:
                path.replace(path.with_name(path.name[1:]))
        finally:
            for path in unfinished:
                path.unlink(missing_ok=True)
        if drawn.coco is not None:
            self._coco.append(drawn.coco)

    def finish_images(self, classes: ClassSpec) -> None:
        """Write what is of all images together; of those that were written, where it was
        interrupted."""
        if self._coco:
            with whole(self.folder / "coco" / FILE) as file:
                file.write_text(dataset(self._coco, classes))

    def video(self, video: VideoFile) -> "VideoOutputs":
        """The outputs of a video, to be used as a context."""
        return VideoOutputs(self, video)

    def _path(self, kind: Kind, name: str) -> Path:
        folder = self.folder / kind
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name


class VideoOutputs:
    """Grows under hidden names; takes its place when the video is done, or goes."""

    def __init__(self, outputs: Outputs, video: VideoFile) -> None:
        self._outputs = outputs
        self._video = video
        self._writer: VideoWriter | None = None
        self._coco: list[CocoImage] = []
        self._classes: ClassSpec | None = None

    def __enter__(self) -> Self:
        self._remove()
        return self

    def draw(self, frame: Frame, predicted: Predicted) -> Drawn:
        """As `Outputs.draw`; from any thread. CVAT calls a video's frames `frame_000012`."""
        self._classes = predicted.classes
        return self._outputs.draw(frame, predicted, self._video.path, f"frame_{frame.name}.png")

    def add(self, drawn: Drawn) -> None:
        """Write the next frame."""
        for kind, name, content in drawn.files:
            folder = self._outputs.folder / kind / f".{self._video.name}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        if drawn.coco is not None:
            self._coco.append(drawn.coco)
        if drawn.overlay_HW3 is not None:
            assert drawn.time is not None, "a video's frame has its time"
            if self._writer is None:
                self._writer = self._open()
            self._writer.add(drawn.overlay_HW3, drawn.time)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()
        if error is None:
            if self._coco and self._classes is not None:
                folder = self._outputs.folder / "coco" / f".{self._video.name}"
                folder.mkdir(parents=True, exist_ok=True)
                (folder / FILE).write_text(dataset(self._coco, self._classes))
            for path in self._unfinished():
                _replace(path, path.with_name(path.name[1:]))
        self._remove()

    def _open(self) -> VideoWriter:
        path = self._outputs.folder / "overlays" / f".{self._video.name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        return VideoWriter(path, self._video.facts.rate, self._video.facts.time_base)

    def _unfinished(self) -> Iterator[Path]:
        for kind in KINDS:
            suffix = ".mp4" if kind == "overlays" else ""
            path = self._outputs.folder / kind / f".{self._video.name}{suffix}"
            if path.exists():
                yield path

    def _remove(self) -> None:
        for path in list(self._unfinished()):
            _delete(path)


def _replace(path: Path, target: Path) -> None:
    """Rename, also where a folder with content is in the way."""
    old = target.with_name(f".{target.name}.old")
    if target.is_dir():
        _delete(old)
        target.rename(old)
    path.replace(target)
    _delete(old)


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
