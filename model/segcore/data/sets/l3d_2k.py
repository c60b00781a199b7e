"""L3D-2K: the larger successor of L3D, in the layout that D2GPLand+ reads.

github.com/cuiruize/D2GPLand-Plus (fcc2812): lower-case split folders, `depth` for
`depth_AdelaiDepth`, bands of 35 px on 1080 rows. Either spelling of a folder is accepted:

    root/{train,val,test}/images/<stem>.jpg
    root/{train,val,test}/labels/<stem>.json     labelme polylines
    root/{train,val,test}/depth/<stem>.png       larger is farther
"""

from typing import Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from segcore.data.sets.l3d import L3D
from segcore.registry import STRICT


@dataclass(frozen=True, kw_only=True, config=STRICT)
class L3D2K(L3D):
    """A folder in L3D-2K's layout."""

    name: ClassVar[str] = "l3d_2k"

    line_width: Annotated[float, Field(gt=0, le=0.25)] = 35 / 1080
    """Width of the landmark bands as a share of the image's height."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.truth != "scaled":
            raise ValueError("truth: D2GPLand+ scales its bands: leave it at 'scaled'")
