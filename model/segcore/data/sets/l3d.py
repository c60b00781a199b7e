"""L3D: laparoscopic frames with liver landmarks as polylines, and a depth map each.

The data set of D2GPLand (Pei et al., arXiv 2406.17858). Expected layout, where the split folders
may be lower-case and `depth` may stand for `depth_AdelaiDepth` (as in D2GPLand+):

    root/{Train,Val,Test}/images/<stem>.jpg
    root/{Train,Val,Test}/labels/<stem>.json               labelme polylines
    root/{Train,Val,Test}/depth_AdelaiDepth/<stem>.png     larger is farther
"""

import dataclasses
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from segcore.classes import ClassSpec
from segcore.data import labelme
from segcore.data.frame_folder import FolderConfig
from segcore.data.frames import Frame, Scan
from segcore.data.sets.l3d_index import CLASS_OF_LETTER, scan_l3d
from segcore.data.splits import check_pattern
from segcore.registry import STRICT

CLASSES = ClassSpec(names=("background", "ridge", "silhouette", "ligament"), exclusive=True)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class L3D(FolderConfig):
    """A folder in L3D's layout."""

    name: ClassVar[str] = "l3d"

    root: str = dataclasses.field(metadata={"location": True})
    """The folder that holds Train, Val and Test."""
    line_width: Annotated[float, Field(gt=0, le=0.25)] = 30 / 1080
    """Width of the landmark bands as a share of the image's height. 30 px on 1080 rows is
    D2GPLand's; TopoNet draws 35 px, D2GPLand+ 35/1080 of the height."""
    patient: str = r"(.+)[_-][^_-]+"
    """Regular expression of a whole file stem; its first group is the patient. The default takes
    everything before the last `_` or `-`, as in <patient>_<frame>."""

    def __post_init__(self) -> None:
        check_pattern("patient", self.patient)

    def scan(self) -> Scan:
        """Read and check every file.

        Raises:
            DataError: there is no such folder.
        """
        return scan_l3d(Path(self.root), self.patient)

    def class_spec(self) -> ClassSpec:
        """Three landmarks on background."""
        return CLASSES

    def labels(self, frame: Frame) -> NDArray[np.uint8]:
        """The polylines drawn as bands on a canvas of the size that the annotation states."""
        annotation = labelme.parse(frame.label.read_bytes())
        values = [CLASS_OF_LETTER[line.label[0].lower()] for line in annotation.lines]
        width = max(1, round(self.line_width * annotation.height))
        return labelme.draw(annotation, values, width)
