"""Rendered images of one class with masks beside them, read like any folder of that kind."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from segcore.data.dataset import SPLITS, Split
from segcore.data.scenes.rendered import RenderedConfig
from segcore.data.sets.folder import Folder
from segcore.registry import STRICT

DomainName = Literal["a", "b"]
DOMAIN_NAMES: tuple[DomainName, ...] = ("a", "b")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RenderedMasks(RenderedConfig):
    """Base of such data sets: they say what a patient is and how an image of it is drawn."""

    class_name: ClassVar[str]
    """The one class."""

    size: Annotated[int, Field(ge=64, le=2048)] = 448
    """Side of the rendered images and masks, pixels: larger than what a network sees, so that its
    masks can be compared at sizes that it was not trained at."""
    domain: DomainName = "a"
    """Where images are from. `b` is elsewhere, with other patients: the external set."""

    def draw_patient(self, rng: np.random.Generator) -> Any:
        """What all images of a patient share."""
        raise NotImplementedError

    def render(
        self, patient: Any, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """An image of a patient, RGB (size, size, 3), and its mask."""
        raise NotImplementedError

    def reader(self) -> Folder:
        """A folder of images and masks per split; a file's name begins with its patient's."""
        return Folder(
            root=str(self.folder()),
            images="{split}/images",
            masks="{split}/masks",
            classes=(f"{self.class_name}=255",),
            patient="(.+)_[0-9]+",
        )

    def render_split(self, folder: Path, split: Split) -> None:
        """Images and masks of a split."""
        place, number = DOMAIN_NAMES.index(self.domain), SPLITS.index(split)
        seed = (self.seed, len(SPLITS) * place + number)  # No domain shares a patient with another.
        for part in ("images", "masks"):
            (folder / split / part).mkdir(parents=True)
        for index in range(getattr(self, split)):
            who, frame = divmod(index, self.images_per_patient)
            patient = self.draw_patient(np.random.default_rng((*seed, who)))
            rng = np.random.default_rng((*seed, who, frame + 1))
            image_HW3, mask_HW = self.render(patient, rng)
            stem = f"{split}{self.domain}{who:03d}_{frame:03d}"
            path = str(folder / split / "images" / f"{stem}.jpg")
            image = cv2.cvtColor(image_HW3, cv2.COLOR_RGB2BGR)
            written = cv2.imwrite(path, image, [cv2.IMWRITE_JPEG_QUALITY, 92])
            path = str(folder / split / "masks" / f"{stem}.png")
            if not (cv2.imwrite(path, 255 * mask_HW.astype(np.uint8)) and written):
                raise OSError(f"cannot write images below {folder}")
