"""The files of a folder in L3D's layout."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from segcore.data import labelme
from segcore.data.dataset import SPLITS, Split
from segcore.data.frames import Frame, FrameReader, Scan, WidthHeight
from segcore.data.pixels import DepthRange

CLASS_OF_LETTER: Mapping[str, int] = {"r": 1, "s": 2, "l": 3, "f": 3}
"""Class by a label's first letter, either case: ridge (also its misspelling `rigde`), silhouette,
ligament or falciform. D2GPLand's code takes any other label for background; here it is a fault."""

DEPTH_FOLDERS = ("depth_AdelaiDepth", "depth")
LAYOUT = """expected layout:
    {root}/Train|Val|Test/images/<patient>_<frame>.jpg
    {root}/Train|Val|Test/labels/<patient>_<frame>.json
    {root}/Train|Val|Test/depth_AdelaiDepth/<patient>_<frame>.png
No data at hand: the data set synthetic_liver renders a folder of this layout."""


def scan_l3d(root: Path, patient_pattern: str, depth_range: DepthRange | None) -> Scan:
    """Check every file below `root`.

    Args:
        root: the folder that holds Train, Val and Test, in either case.
        patient_pattern: regular expression of a whole stem, its first group the patient.
        depth_range: of depth maps of 16 bits, as of `read_depth`.

    Raises:
        DataError: there is no such folder.
    """
    reader = FrameReader(root, LAYOUT.format(root=root), _label_faults, depth_range)
    return reader.read({split: _find(reader, split, patient_pattern) for split in SPLITS})


def _find(reader: FrameReader, split: Split, patient_pattern: str) -> dict[str, Frame]:
    """Frames of a split by stem."""
    folders = sorted(p for p in reader.root.iterdir() if p.is_dir() and p.name.lower() == split)
    if not folders:
        reader.faults.add("missing folder", split.capitalize())
        return {}
    if len(folders) > 1:
        reader.faults.add("two folders for one split", " and ".join(p.name for p in folders))
    folder = folders[0]
    depth_name = next((n for n in DEPTH_FOLDERS if (folder / n).is_dir()), DEPTH_FOLDERS[0])
    return {
        stem: Frame(
            patient=_patient(reader, folder, stem, patient_pattern),
            image=folder / "images" / f"{stem}.jpg",
            label=folder / "labels" / f"{stem}.json",
            depth=folder / depth_name / f"{stem}.png",
        )
        for stem in _stems(reader, folder, depth_name)
    }


def _stems(reader: FrameReader, folder: Path, depth_name: str) -> list[str]:
    """Stems of all images; what lacks a counterpart is a fault."""
    stems = {}
    for name, suffix in (("images", ".jpg"), ("labels", ".json"), (depth_name, ".png")):
        if (folder / name).is_dir():
            stems[name] = {p.stem for p in (folder / name).glob(f"*{suffix}")}
        else:
            reader.faults.add("missing folder", reader.short(folder / name))
    images = stems.get("images")
    if images is None:
        return []
    if not images:
        reader.faults.add("split without images", reader.short(folder / "images" / "*.jpg"))
    depths, labels = stems.get(depth_name, images), stems.get("labels", images)
    for kind, name, alone in (
        ("image without label", "images/{}.jpg", images - labels),
        ("image without depth", "images/{}.jpg", images - depths),
        ("label without image", "labels/{}.json", labels - images),
    ):
        lacking = (reader.short(folder / name.format(stem)) for stem in sorted(alone))
        reader.faults.extend(kind, lacking)
    return sorted(images)


def _patient(reader: FrameReader, folder: Path, stem: str, pattern: str) -> str:
    match = re.fullmatch(pattern, stem)
    patient = match.group(1) if match else None
    if not patient:
        name = reader.short(folder / "images" / f"{stem}.jpg")
        reader.faults.add("file name without a patient (see the field `patient`)", name)
    return patient or stem


def _label_faults(content: bytes, size: WidthHeight | None) -> Iterable[tuple[str, str]]:
    """What is wrong with a labelme file."""
    try:
        annotation = labelme.parse(content)
    except ValueError as error:
        yield "not a labelme file", str(error)
        return
    for text in sorted({line.label for line in annotation.lines}):
        if text[:1].lower() not in CLASS_OF_LETTER:
            yield "unknown label (first letter: r ridge, s silhouette, l or f ligament)", repr(text)
    stated = (annotation.width, annotation.height)
    if size is not None and size != stated:
        told = f"{stated[0]}x{stated[1]}, image is {size[0]}x{size[1]}"
        yield "label states another image size", told
