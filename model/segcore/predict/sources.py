"""Where images to predict come from: files, folders of them, and videos.

Everything is looked over before the first prediction, so that all faults are told at once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segcore.classes import ClassSpec
from segcore.data import pixels
from segcore.data.faults import Faults
from segcore.data.prompts import ImageBoxes, are_by_class, given_boxes
from segcore.predict.boxes import boxes_given, read_image_boxes
from segcore.predict.video import VideoFacts, decoded, facts

IMAGES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
VIDEOS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm")
LAYOUT = (
    "Give images "
    f"({' '.join(IMAGES)}), folders of them, or videos ({' '.join(VIDEOS)}); volumes "
    "(.nii.gz, .nii) by themselves. With --depth FOLDER "
    "each image or video has its depth map there, under the same name (any of these suffixes)."
)


@dataclass(frozen=True)
class Frame:
    """One image as it was read."""

    name: str
    """What its outputs are called."""
    image_HW3: NDArray[np.uint8]
    """RGB."""
    depth_HW: NDArray[np.uint8] | None
    """Larger is farther."""
    boxes: ImageBoxes | None = None
    """Prompts, in the image's own pixels."""
    time: Fraction | None = None
    """Of a video's frame: its time stamp, in seconds."""


@dataclass(frozen=True)
class ImageFile:
    """An image, and its depth map and boxes if they were given."""

    name: str
    path: Path
    depth: Path | None
    boxes: ImageBoxes | None = None
    depth_range: pixels.DepthRange | None = None

    def read(self) -> Frame:
        """Decode both.

        Raises:
            OSError: a file has gone.
        """
        depth_HW = None if self.depth is None else pixels.read_depth(self.depth, self.depth_range)
        return Frame(self.name, pixels.read_image(self.path), depth_HW, self.boxes)


@dataclass(frozen=True)
class VideoFile:
    """A video, and one of its depth maps if one was given."""

    name: str
    path: Path
    depth: Path | None
    facts: VideoFacts
    """What the file says of itself."""

    @property
    def count(self) -> int:
        """Frames, as the file states it; it may be wrong."""
        return self.facts.count

    def frames(self) -> Iterator[Frame]:
        """Decode from the first frame to the last that can be read.

        Raises:
            ValueError: the depth video ends before the video.
        """
        depths = None if self.depth is None else decoded(self.depth)
        for i, (image_HW3, time) in enumerate(decoded(self.path)):
            depth_HW = None
            if depths is not None:
                read = next(depths, None)
                if read is None:
                    raise ValueError(f"{self.depth} has only {i} frames, {self.path} has more")
                depth_HW = read[0][..., 0]  # grey: all channels alike
            yield Frame(f"{i:06d}", image_HW3, depth_HW, time=time)


Source = ImageFile | VideoFile


def find_sources(
    paths: Sequence[Path],
    depth: Path | None,
    boxes: Path | None = None,
    *,
    needs_depth: bool,
    prompted: ClassSpec | None = None,
    depth_range: pixels.DepthRange | None = None,
) -> tuple[list[ImageFile], list[VideoFile]]:
    """Every image and video behind some paths, each looked over.

    Args:
        paths: images, folders (not their subfolders) and videos.
        depth: folder with a depth map of each, of the same name.
        boxes: a file of prompts, as `read_image_boxes` reads it.
        needs_depth: whether the network looks at depth maps.
        prompted: the classes of a network that looks at boxes; None: it does not.
        depth_range: of depth maps of 16 bits, as of `segcore.data.pixels.read_depth`.

    Raises:
        DataError: every fault of every file, in one message.
    """
    faults = Faults()
    found = list(dict.fromkeys(p for path in paths for p in _files(path, faults)))
    by_name: dict[str, list[Path]] = {}
    for path in found:
        by_name.setdefault(path.stem, []).append(path)
    for name, same in by_name.items():
        if len(same) > 1:
            faults.add("files whose outputs would have one name", ", ".join(map(str, same)))
        if name.startswith("."):
            faults.add("hidden file", str(same[0]))
    maps = _depth_maps(depth, faults) if needs_depth else {}
    if needs_depth and depth is None:
        faults.add(
            "depth maps are missing",
            "this network looks at depth maps (larger is farther): give --depth FOLDER",
        )
    elif needs_depth:
        kind = "no depth map of the same name"
        faults.extend(kind, (str(p) for p in found if not _map_of(p, maps)))
    elif depth is not None:
        faults.add(
            "depth maps without use",
            f"{depth}: this network does not look at depth: leave out --depth",
        )
    given = _boxes(boxes, found, faults, prompted)
    images = [
        ImageFile(p.stem, p, _map_of(p, maps), given.get(p.name), depth_range)
        for p in found
        if _is(p, IMAGES)
    ]
    _check_images(images, depth_range, faults)
    videos = _check_videos([(p, _map_of(p, maps)) for p in found if _is(p, VIDEOS)], faults)
    faults.raise_if_any("what was given", LAYOUT)
    return images, videos


def _boxes(
    file: Path | None, found: Sequence[Path], faults: Faults, prompted: ClassSpec | None
) -> Mapping[str, ImageBoxes]:
    """The boxes by the names of their images, each held against its image."""
    given = boxes_given(file, read_image_boxes, prompted, faults)
    if given is None or prompted is None:
        return {}
    if not given:
        faults.add("no box in the file", str(file))
    by_name, by_class = {p.name: p for p in found}, are_by_class(given.values())
    faults.extend("boxes of no image that was given", (n for n in given if n not in by_name))
    for name, boxes in given.items():
        try:
            width, height = pixels.check(by_name[name])
            given_boxes(boxes, (height, width), prompted, by_class=by_class)
        except (KeyError, OSError):
            continue  # told already, or when the images are looked over
        except ValueError as error:
            faults.add("boxes that can't be", f"{name}: {error}")
    return given


def _files(path: Path, faults: Faults) -> list[Path]:
    """The images and videos that a path stands for."""
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if _is(p, IMAGES + VIDEOS) and p.is_file())
        files = [p for p in files if not p.name.startswith(".")]
        if not files:
            faults.add("folder without images or videos", str(path))
        return files
    if not path.is_file():
        faults.add("no such file or folder", str(path))
        return []
    if not _is(path, IMAGES + VIDEOS):
        faults.add("neither an image nor a video", str(path))
        return []
    return [path]


def _is(path: Path, suffixes: tuple[str, ...]) -> bool:
    return path.suffix.lower() in suffixes


def _depth_maps(folder: Path | None, faults: Faults) -> dict[tuple[str, bool], Path]:
    """Depth maps by name and whether they are videos."""
    if folder is None:
        return {}
    if not folder.is_dir():
        faults.add("no such folder of depth maps", str(folder))
        return {}
    return {
        (p.stem, _is(p, VIDEOS)): p for p in sorted(folder.iterdir()) if _is(p, IMAGES + VIDEOS)
    }


def _map_of(path: Path, maps: dict[tuple[str, bool], Path]) -> Path | None:
    return maps.get((path.stem, _is(path, VIDEOS)))


def _check_images(
    images: Sequence[ImageFile], depth_range: pixels.DepthRange | None, faults: Faults
) -> None:
    """Read every image and map once, on all cores, and note what is wrong."""

    def look(
        path: Path | None, check: Callable[[Path], tuple[int, int]]
    ) -> tuple[int, int] | OSError | None:
        try:
            return None if path is None else check(path)
        except OSError as error:
            return error

    with ThreadPoolExecutor() as pool:
        sizes = pool.map(look, (i.path for i in images), repeat(pixels.check))
        check_depth = partial(pixels.check_depth, depth_range=depth_range)
        depth_sizes = pool.map(look, (i.depth for i in images), repeat(check_depth))
        for image, size, depth_size in zip(images, sizes, depth_sizes, strict=True):
            if isinstance(size, OSError):
                faults.add("unreadable image", f"{image.path}: {size}")
            if isinstance(depth_size, OSError):
                faults.add("unreadable depth map", f"{image.depth}: {depth_size}")
            if isinstance(size, tuple) and isinstance(depth_size, tuple):
                _check_shapes(image, size, depth_size, faults)


def _check_videos(found: Sequence[tuple[Path, Path | None]], faults: Faults) -> list[VideoFile]:
    """Open every video and its depth, and note what is wrong."""
    videos = []
    for path, depth in found:
        said, of_depth = facts(path), None if depth is None else facts(depth)
        for one, told in ((path, said), (depth, of_depth)):
            if told is not None and not told.width:
                faults.add("unreadable video", f"{one}: no frame of it can be decoded")
        video = VideoFile(path.stem, path, depth, said)
        if of_depth is not None and said.width and of_depth.width:
            size, depth_size = (said.width, said.height), (of_depth.width, of_depth.height)
            _check_shapes(video, size, depth_size, faults)
            if of_depth.count < said.count:
                counts = f"{of_depth.count} frames for {said.count} of {path}"
                faults.add("depth video that ends too soon", f"{depth}: {counts}")
        videos.append(video)
    return videos


def _check_shapes(
    source: Source, size: tuple[int, int], depth_size: tuple[int, int], faults: Faults
) -> None:
    """A map may be smaller than its image, but not of another shape."""
    (width, height), (depth_width, depth_height) = size, depth_size
    if pixels.other_shape(size, depth_size):
        faults.add(
            "depth map of another shape",
            f"{source.depth}: {depth_width}x{depth_height} for {width}x{height} of {source.path}",
        )
