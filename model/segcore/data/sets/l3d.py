"""L3D: laparoscopic frames with liver landmarks as polylines, and a depth map each.

The data set of D2GPLand (Pei et al., arXiv 2406.17858). Expected layout, where the split folders
may be lower-case and `depth` may stand for `depth_AdelaiDepth` (as in D2GPLand+):

    root/{Train,Val,Test}/images/<stem>.jpg
    root/{Train,Val,Test}/labels/<stem>.json               labelme polylines
    root/{Train,Val,Test}/depth_AdelaiDepth/<stem>.png     larger is farther
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from segcore.batch import Size
from segcore.classes import ClassSpec
from segcore.data import labelme
from segcore.data.frame_folder import FolderConfig
from segcore.data.frames import Frame, Scan
from segcore.data.pixels import DepthRange, Shrinking, check_range, resized
from segcore.data.sets.d2gpland_truth import d2gpland_truth
from segcore.data.sets.l3d_index import CLASS_OF_LETTER, scan_l3d
from segcore.data.splits import check_pattern
from segcore.metrics.table import OF_IMAGES, OF_LINES
from segcore.registry import STRICT

CLASSES = ClassSpec(names=("background", "ridge", "silhouette", "ligament"), exclusive=True)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class L3D(FolderConfig):
    """A folder in L3D's layout."""

    name: ClassVar[str] = "l3d"

    root: str = dataclasses.field(metadata={"location": True})
    """The folder that holds Train, Val and Test."""
    truth: Literal["scaled", "d2gpland"] = "scaled"
    """`scaled`: bands of one width in every image, a share of its height, resized by nearest
    neighbour. `d2gpland`: as D2GPLand's loader draws and resizes them, see `d2gpland_truth`: bands
    on 4K frames are half as wide, and fringes of other classes run along them."""
    line_width: Annotated[float, Field(gt=0, le=0.25)] = 30 / 1080
    """Width of the landmark bands as a share of the image's height, where the truth is `scaled`. 30
    px on 1080 rows is D2GPLand's; TopoNet draws 35 px, D2GPLand+ 35/1080 of the height."""
    shrink: Shrinking = "area"
    """How images and depth maps are made smaller. D2GPLand's loader does so bilinearly."""
    depth_range: DepthRange | None = None
    """The values of depth maps of 16 bits that are the nearest and the farthest: those of 8 bits
    are taken as they are."""
    patient: str = r"(.+)[_-][^_-]+"
    """Regular expression of a whole file stem; its first group is the patient. The default takes
    everything before the last `_` or `-`, as in <patient>_<frame>."""

    def __post_init__(self) -> None:
        check_pattern("patient", self.patient)
        check_range(self.depth_range)
        usual = {field.name: field.default for field in dataclasses.fields(self)}
        if self.truth == "d2gpland" and self.line_width != usual["line_width"]:
            raise ValueError(
                "line_width has no effect with truth='d2gpland', which is 30 px on every canvas: "
                "leave it out"
            )

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those of images and of thin structures."""
        return (*OF_IMAGES, *OF_LINES)

    @property
    def depth_values(self) -> DepthRange | None:
        """The nearest and farthest values of depth maps of 16 bits."""
        return self.depth_range

    @property
    def shrinking(self) -> Shrinking:
        """How images and depth maps are made smaller."""
        return self.shrink

    def scan(self) -> Scan:
        """Read and check every file.

        Raises:
            DataError: there is no such folder.
        """
        return scan_l3d(Path(self.root), self.patient, self.depth_range)

    def class_spec(self) -> ClassSpec:
        """Three landmarks on background."""
        return CLASSES

    def labels(self, frame: Frame) -> NDArray[np.uint8]:
        """The polylines drawn as bands on a canvas of the size that the annotation states."""
        return self._drawn(labelme.parse(frame.label.read_bytes()), frame)

    def redrawn(
        self, frame: Frame, move: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    ) -> NDArray[np.uint8]:
        """The polylines through other points, as wide."""
        annotation = labelme.parse(frame.label.read_bytes())
        return self._drawn(labelme.with_points(annotation, move), frame)

    def _drawn(self, annotation: labelme.Annotation, frame: Frame) -> NDArray[np.uint8]:
        if self.truth == "d2gpland":
            return d2gpland_truth(annotation, frame.label.stem)
        values = [CLASS_OF_LETTER[line.label[0].lower()] for line in annotation.lines]
        width = max(1, round(self.line_width * annotation.height))
        return labelme.draw(annotation, values, width)

    def resize_labels(self, labels: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
        """Labels at another size; those of D2GPLand bilinearly, as if classes were grey levels: on
        the border of silhouette or ligament lie pixels of the classes that are numbered below."""
        if self.truth == "d2gpland":
            return resized(labels, size, "linear")
        return super().resize_labels(labels, size)
