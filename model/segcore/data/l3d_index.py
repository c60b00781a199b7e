"""The files of a folder in L3D's layout, checked one by one."""

import hashlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from segcore.data import labelme
from segcore.data.dataset import SPLITS, Split
from segcore.data.faults import DataError, Faults

CLASS_OF_LETTER: Mapping[str, int] = {"r": 1, "s": 2, "l": 3, "f": 3}
"""Class by a label's first letter, either case: ridge (also its misspelling `rigde`), silhouette,
ligament or falciform. D2GPLand's code takes any other label for background; here it is a fault."""

DEPTH_FOLDERS = ("depth_AdelaiDepth", "depth")
LAYOUT = """expected layout:
    {root}/Train|Val|Test/images/<patient>_<frame>.jpg
    {root}/Train|Val|Test/labels/<patient>_<frame>.json
    {root}/Train|Val|Test/depth_AdelaiDepth/<patient>_<frame>.png
No data at hand: the data set synthetic_liver renders a folder of this layout."""


@dataclass(frozen=True)
class Frame:
    """The three files of one image."""

    patient: str
    image: Path
    label: Path
    depth: Path


@dataclass(frozen=True)
class Index:
    """A folder in order."""

    frames: Mapping[Split, Mapping[str, Frame]]
    """By split and stem, stems sorted."""
    content_hash: str


def read_index(root: Path, patient_pattern: str) -> Index:
    """Check every file below `root`.

    Args:
        root: the folder that holds Train, Val and Test.
        patient_pattern: regular expression of a whole stem, its first group the patient.

    Raises:
        DataError: one message with every fault.
    """
    layout = LAYOUT.format(root=root)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder\n{layout}")
    reader = _Reader(root)
    frames = {split: reader.read_split(split, patient_pattern) for split in SPLITS}
    reader.faults.extend("patient in more than one split", _shared_patients(frames))
    reader.faults.raise_if_any(str(root), layout)
    return Index(frames, reader.digest.hexdigest())


def _shared_patients(frames: Mapping[Split, Mapping[str, Frame]]) -> list[str]:
    splits: dict[str, list[str]] = {}
    for split, members in frames.items():
        for patient in sorted({frame.patient for frame in members.values()}):
            splits.setdefault(patient, []).append(split)
    return [f"{p}: {', '.join(s)}" for p, s in sorted(splits.items()) if len(s) > 1]


class _Reader:
    """Reads every file once: its bytes are checked and hashed."""

    def __init__(self, root: Path) -> None:
        self.faults = Faults()
        self.digest = hashlib.sha256()
        self._root = root

    def read_split(self, split: Split, patient_pattern: str) -> dict[str, Frame]:
        """Frames by stem; complete ones only if there were no faults."""
        folders = sorted(p for p in self._root.iterdir() if p.is_dir() and p.name.lower() == split)
        if not folders:
            self.faults.add("missing folder", split.capitalize())
            return {}
        if len(folders) > 1:
            self.faults.add("two folders for one split", " and ".join(p.name for p in folders))
        folder = folders[0]
        depth_name = next((n for n in DEPTH_FOLDERS if (folder / n).is_dir()), DEPTH_FOLDERS[0])
        paths = {
            stem: Frame(
                patient=self._patient(folder, stem, patient_pattern),
                image=folder / "images" / f"{stem}.jpg",
                label=folder / "labels" / f"{stem}.json",
                depth=folder / depth_name / f"{stem}.png",
            )
            for stem in self._stems(folder, depth_name)
        }
        for stem, frame in paths.items():
            size = self._check_image(self._content(split, stem, frame.image), frame.image)
            self._check_depth(self._content(split, stem, frame.depth), frame.depth)
            self._check_label(self._content(split, stem, frame.label), frame.label, size)
        return paths

    def _stems(self, folder: Path, depth_name: str) -> list[str]:
        """Stems of all images; what lacks a counterpart is a fault."""
        stems = {}
        for name, suffix in (("images", ".jpg"), ("labels", ".json"), (depth_name, ".png")):
            if (folder / name).is_dir():
                stems[name] = {p.stem for p in (folder / name).glob(f"*{suffix}")}
            else:
                self.faults.add("missing folder", self._short(folder / name))
        images = stems.get("images")
        if images is None:
            return []
        if not images:
            self.faults.add("split without images", self._short(folder / "images" / "*.jpg"))
        depths, labels = stems.get(depth_name, images), stems.get("labels", images)
        for kind, name, alone in (
            ("image without label", "images/{}.jpg", images - labels),
            ("image without depth", "images/{}.jpg", images - depths),
            ("label without image", "labels/{}.json", labels - images),
        ):
            lacking = (self._short(folder / name.format(stem)) for stem in sorted(alone))
            self.faults.extend(kind, lacking)
        return sorted(images)

    def _patient(self, folder: Path, stem: str, pattern: str) -> str:
        match = re.fullmatch(pattern, stem)
        if match is None:
            name = self._short(folder / "images" / f"{stem}.jpg")
            self.faults.add("file name without a patient (see the field `patient`)", name)
            return stem
        return match.group(1)

    def _content(self, split: Split, stem: str, path: Path) -> bytes | None:
        """The bytes of a file, or None where it is missing (noted as a fault by then)."""
        if not path.is_file():
            return None
        content = path.read_bytes()
        key = f"{split}/{stem}{path.suffix} {hashlib.sha256(content).hexdigest()}\n"
        self.digest.update(key.encode())
        return content

    def _check_image(self, content: bytes | None, path: Path) -> tuple[int, int] | None:
        """Width and height, where the image can be read."""
        if content is None:
            return None
        try:
            with Image.open(io.BytesIO(content)) as picture:
                size = picture.size
                # An eighth of the resolution reads the whole stream at a fraction of the cost.
                picture.draft("L", (size[0] // 8 + 1, size[1] // 8 + 1))
                picture.load()
        except (OSError, SyntaxError) as error:
            self.faults.add("unreadable image", f"{self._short(path)}: {error}")
            return None
        return size

    def _check_depth(self, content: bytes | None, path: Path) -> None:
        if content is None:
            return
        try:
            with Image.open(io.BytesIO(content)) as picture:
                picture.verify()
        except (OSError, SyntaxError) as error:
            self.faults.add("unreadable depth", f"{self._short(path)}: {error}")

    def _check_label(self, content: bytes | None, path: Path, size: tuple[int, int] | None) -> None:
        if content is None:
            return
        try:
            annotation = labelme.parse(content)
        except ValueError as error:
            self.faults.add("not a labelme file", f"{self._short(path)}: {error}")
            return
        for text in sorted({line.label for line in annotation.lines}):
            if text[:1].lower() not in CLASS_OF_LETTER:
                kind = "unknown label (first letter: r ridge, s silhouette, l or f ligament)"
                self.faults.add(kind, f"{self._short(path)}: {text!r}")
        stated = (annotation.width, annotation.height)
        if size is not None and size != stated:
            self.faults.add(
                "label states another image size",
                f"{self._short(path)}: {stated[0]}x{stated[1]}, image is {size[0]}x{size[1]}",
            )

    def _short(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()
