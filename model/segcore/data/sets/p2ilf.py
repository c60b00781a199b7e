"""P2ILF: laparoscopic frames with liver landmarks as polylines in XML, one folder per patient.

The data of the challenge of 2022 (Ali et al., arXiv 2401.15753). The layout is that which public
readers of its training data agree on; the file of an image's landmarks is that which the organisers
publish as a sample (sharib-vision/P2ILF, 4c4ffb8, samplexmlprovided/patient2_1.xml). We have not
seen the data themselves.

    root/<patient>/images/P2ILF22_<patient>_<n>.jpg
    root/<patient>/2D-3D_contours/P2ILF22_<patient>_<n>.xml

A file has `contour`s, each with its `contourType` and, in `imagePoints`, `x` and `y` in pixels of
the image. Vertices of the liver's model beside them are passed over, as are the folders of meshes
and cameras. There are no depth maps.

Training data are 167 images of patients 1 to 3 and 5 to 10; patients 4 and 11 are the challenge's
test, of which no landmarks are published. So there is no published division of what one can have:
which patients are val and test is for the user to say.
"""

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, ClassVar
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from segcore.classes import ClassSpec
from segcore.data import labelme
from segcore.data.frame_folder import FolderConfig
from segcore.data.frames import Frame, FrameReader, Scan, WidthHeight
from segcore.data.mask_folder import by_patient, pairs
from segcore.data.pixels import opened
from segcore.data.sets.l3d import CLASSES
from segcore.metrics.table import OF_IMAGES, OF_P2ILF
from segcore.registry import STRICT

LAYOUT = """expected layout:
    {root}/<patient>/images/P2ILF22_<patient>_<n>.jpg
    {root}/<patient>/2D-3D_contours/P2ILF22_<patient>_<n>.xml"""
SUFFIXES = (".jpg", ".png", ".xml")
"""Of images, as they are published or converted, and of landmarks."""
BEYOND = 0.01
"""Share of the image's side by which points may lie outside of it: lines are cut off there."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class P2ILF(FolderConfig):
    """A folder in P2ILF's layout."""

    name: ClassVar[str] = "p2ilf"

    root: str = dataclasses.field(metadata={"location": True})
    """The folder that holds the patients' folders."""
    line_width: Annotated[float, Field(gt=0, le=0.25)] = 12 / 1080
    """Width of the landmark bands as a share of the image's height. 12 px on 1080 rows is what the
    organisers' evaluation draws; L3D's are 30, so give that to test what was trained there."""
    val: tuple[str, ...] = ("patient8", "patient10")
    """Patients of the val split. Those in neither val nor test are train."""
    test: tuple[str, ...] = ("patient3", "patient5")
    """Patients of the test split."""

    def __post_init__(self) -> None:
        if both := sorted(set(self.val) & set(self.test)):
            raise ValueError(f"val and test both name {', '.join(both)}")

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those of images, of thin structures, and the challenge's own."""
        return (*OF_IMAGES, *OF_P2ILF)

    def class_spec(self) -> ClassSpec:
        """Three landmarks on background, as L3D's."""
        return CLASSES

    def scan(self) -> Scan:
        """Read and check every file.

        Raises:
            DataError: there is no such folder.
        """
        root = Path(self.root)
        reader = FrameReader(root, LAYOUT.format(root=root), _label_faults)
        frames: dict[str, Frame] = {}
        folders = sorted(p for p in root.iterdir() if (p / "images").is_dir())
        for folder in folders:
            found = pairs(reader, folder / "images", folder / "2D-3D_contours", suffixes=SUFFIXES)
            for stem, (image, label) in found.items():
                if stem in frames:
                    both = f"{reader.short(frames[stem].image)} and {reader.short(image)}"
                    reader.faults.add("two images of one name", both)
                frames[stem] = Frame(folder.name, image, label)
        patients = [folder.name for folder in folders]
        return reader.read(by_patient(reader, frames, patients, val=self.val, test=self.test))

    def labels(self, frame: Frame) -> NDArray[np.uint8]:
        """The polylines drawn as bands on a canvas of the image's size."""
        return self._drawn(_annotation(frame))

    def redrawn(
        self, frame: Frame, move: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    ) -> NDArray[np.uint8]:
        """The polylines through other points, as wide."""
        return self._drawn(labelme.with_points(_annotation(frame), move))

    def _drawn(self, annotation: labelme.Annotation) -> NDArray[np.uint8]:
        values = [CLASSES.names.index(line.label) for line in annotation.lines]
        return labelme.draw(annotation, values, max(1, round(self.line_width * annotation.height)))


def _annotation(frame: Frame) -> labelme.Annotation:
    with opened(frame.image) as picture:
        width, height = picture.size
    return labelme.Annotation(parse(frame.label.read_bytes()), height, width)


def parse(text: bytes) -> tuple[labelme.Polyline, ...]:
    """The lines of a file of landmarks, labelled by their class. A contour without points in the
    image is of the model alone, and no line.

    Raises:
        ValueError: what is no such file; the message says why.
    """
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"no XML: {error}") from error
    if root.tag != "contours":
        raise ValueError(f"its root is <{root.tag}>, expected <contours>")
    found = []
    for contour in root.iter("contour"):
        kind = (contour.findtext("contourType") or "").strip()
        if kind.lower() not in CLASSES.foreground:
            raise ValueError(f"contourType {kind!r}: expected Ridge, Silhouette or Ligament")
        x, y = (_numbers(contour.findtext(f"imagePoints/{axis}") or "", kind) for axis in "xy")
        if len(x) != len(y):
            raise ValueError(f"a {kind} has {len(x)} x and {len(y)} y")
        if x:
            found.append(labelme.Polyline(kind.lower(), np.stack([x, y], axis=1)))
    return tuple(found)


def _numbers(text: str, kind: str) -> list[float]:
    try:
        values = [float(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise ValueError(f"points of a {kind} are no numbers: {error}") from error
    if not np.isfinite(values).all():
        raise ValueError(f"points of a {kind} are not all finite")
    return values


def _label_faults(content: bytes, size: WidthHeight | None) -> Iterable[tuple[str, str]]:
    """What is wrong with a file of landmarks."""
    try:
        lines = parse(content)
    except ValueError as error:
        yield "not a file of P2ILF's landmarks", str(error)
        return
    if size is None or not lines:
        return
    points = np.concatenate([line.points_N2 for line in lines])
    low, high = points.min(0), points.max(0)
    margin = BEYOND * np.array(size)
    if (low < -margin).any() or (high > size + margin).any():
        reach = f"x {low[0]:g} to {high[0]:g}, y {low[1]:g} to {high[1]:g}"
        yield "landmarks beyond the image", f"{reach}, image is {size[0]}x{size[1]}"
