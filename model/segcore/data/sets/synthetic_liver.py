"""`synthetic_liver`: rendered scenes in L3D's own layout, read back by L3D's reader."""

from pathlib import Path
from typing import Annotated, ClassVar

import cv2
import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from segcore.data import labelme
from segcore.data.dataset import SPLITS, Split
from segcore.data.scenes import liver_scene
from segcore.data.scenes.liver_domain import DOMAINS, DomainName
from segcore.data.scenes.rendered import RenderedConfig
from segcore.data.sets.l3d import L3D
from segcore.metrics.table import OF_IMAGES
from segcore.registry import STRICT


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SyntheticLiver(RenderedConfig):
    """Procedural laparoscopic scenes, rendered on first use."""

    name: ClassVar[str] = "synthetic_liver"
    version: ClassVar[int] = liver_scene.VERSION

    size: Annotated[int, Field(ge=64, le=2048)] = 192
    """Side of the rendered images, pixels."""
    domain: DomainName = "a"
    """Camera, light and tissue. `b` is another hospital with other patients: the external set."""
    line_width: Annotated[float, Field(gt=0, le=0.25)] = 0.06
    """Width of the landmark bands as a share of the image's height: 8 px at 128."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those of images alone, so that its tables have what they had before L3D's had lines."""
        return OF_IMAGES

    def reader(self) -> L3D:
        """L3D's."""
        return L3D(root=str(self.folder()), line_width=self.line_width)

    def card(self) -> dict[str, int | str]:
        """All that the files depend on; the line width is applied when they are read."""
        fields = ("train", "val", "test", "images_per_patient", "size", "seed")
        card = {"version": self.version} | {f: getattr(self, f) for f in fields}
        # Without a domain it is `a`: folders from before there was another stay valid.
        return card if self.domain == "a" else card | {"domain": self.domain}

    def render_split(self, folder: Path, split: Split) -> None:
        """Images, depth maps and annotations of a split, in L3D's layout."""
        folder, number = folder / split.capitalize(), SPLITS.index(split)
        place = list(DOMAINS).index(self.domain)
        seed = (self.seed, len(SPLITS) * place + number)  # No domain shares a patient with another.
        mark = "" if self.domain == "a" else self.domain
        for part in ("images", "labels", "depth_AdelaiDepth"):
            (folder / part).mkdir(parents=True)
        for index in range(getattr(self, split)):
            who, frame = divmod(index, self.images_per_patient)
            patient = liver_scene.draw_patient(
                np.random.default_rng((*seed, who)), DOMAINS[self.domain]
            )
            rng = np.random.default_rng((*seed, who, frame + 1))
            scene = liver_scene.render(patient, rng, self.size)
            stem = f"{split}{mark}{who:03d}_{frame:03d}"
            image = cv2.cvtColor(scene.image_HW3, cv2.COLOR_RGB2BGR)
            path = str(folder / "images" / f"{stem}.jpg")
            written = cv2.imwrite(path, image, [cv2.IMWRITE_JPEG_QUALITY, 92])
            path = str(folder / "depth_AdelaiDepth" / f"{stem}.png")
            if not (cv2.imwrite(path, scene.depth_HW) and written):
                raise OSError(f"cannot write images below {folder}")
            annotation = labelme.Annotation(scene.lines, self.size, self.size)
            text = labelme.dump(annotation, f"../images/{stem}.jpg")
            (folder / "labels" / f"{stem}.json").write_text(text)
