"""`synthetic_polyps`: rendered scenes of polyps, masks beside images, read as any such folder."""

from pathlib import Path
from typing import Annotated, ClassVar

import cv2
import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from segcore.data.dataset import SPLITS, Split
from segcore.data.rendered import RenderedConfig
from segcore.data.scenes import polyp_scene
from segcore.data.scenes.polyp_scene import DOMAINS, DomainName
from segcore.data.sets.folder import Folder
from segcore.registry import STRICT


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SyntheticPolyps(RenderedConfig):
    """Procedural colonoscopy scenes with one polyp each, rendered on first use."""

    name: ClassVar[str] = "synthetic_polyps"
    version: ClassVar[int] = polyp_scene.VERSION

    size: Annotated[int, Field(ge=64, le=2048)] = 448
    """Side of the rendered images and masks, pixels: larger than what a network sees, so that its
    masks can be compared at sizes that it was not trained at."""
    domain: DomainName = "a"
    """Mucosa and camera. `b` is another hospital with other patients: the external set."""

    def reader(self) -> Folder:
        """A folder of images and masks per split; a file's name begins with its patient's."""
        return Folder(
            root=str(self.folder()),
            images="{split}/images",
            masks="{split}/masks",
            classes=("polyp=255",),
            patient="(.+)_[0-9]+",
        )

    def card(self) -> dict[str, int | str]:
        """All that the files depend on."""
        fields = ("train", "val", "test", "images_per_patient", "size", "seed", "domain")
        return {"version": self.version} | {f: getattr(self, f) for f in fields}

    def render_split(self, folder: Path, split: Split) -> None:
        """Images and masks of a split."""
        place, number = list(DOMAINS).index(self.domain), SPLITS.index(split)
        seed = (self.seed, len(SPLITS) * place + number)  # No domain shares a patient with another.
        for part in ("images", "masks"):
            (folder / split / part).mkdir(parents=True)
        for index in range(getattr(self, split)):
            who, frame = divmod(index, self.images_per_patient)
            patient = polyp_scene.draw_patient(
                np.random.default_rng((*seed, who)), DOMAINS[self.domain]
            )
            rng = np.random.default_rng((*seed, who, frame + 1))
            image_HW3, mask_HW = polyp_scene.render(patient, rng, self.size)
            stem = f"{split}{self.domain}{who:03d}_{frame:03d}"
            path = str(folder / split / "images" / f"{stem}.jpg")
            image = cv2.cvtColor(image_HW3, cv2.COLOR_RGB2BGR)
            written = cv2.imwrite(path, image, [cv2.IMWRITE_JPEG_QUALITY, 92])
            path = str(folder / split / "masks" / f"{stem}.png")
            if not (cv2.imwrite(path, 255 * mask_HW.astype(np.uint8)) and written):
                raise OSError(f"cannot write images below {folder}")
