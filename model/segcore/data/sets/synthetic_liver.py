"""`synthetic_liver`: rendered scenes in L3D's own layout, read back by L3D's reader."""

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Annotated, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from segcore.classes import ClassSpec
from segcore.data import labelme
from segcore.data.dataset import SPLITS, Split
from segcore.data.faults import DataError
from segcore.data.frame_folder import FolderConfig
from segcore.data.frames import Frame, Scan
from segcore.data.scenes import liver_scene
from segcore.data.scenes.liver_domain import DOMAINS, DomainName
from segcore.data.sets.l3d import CLASSES, L3D
from segcore.registry import STRICT

CARD = "scenes.json"
"""File in a rendered folder that says what it was rendered from."""

Count = Annotated[int, Field(gt=0, le=100_000)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SyntheticLiver(FolderConfig):
    """Procedural laparoscopic scenes, rendered on first use."""

    name: ClassVar[str] = "synthetic_liver"

    train: Count = 80
    """Images of the train split."""
    val: Count = 40
    test: Count = 40
    images_per_patient: Count = 5
    """Frames that share anatomy, tissue and camera. No patient is in two splits."""
    size: Annotated[int, Field(ge=64, le=2048)] = 192
    """Side of the rendered images, pixels."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Of the scenes."""
    domain: DomainName = "a"
    """Camera, light and tissue. `b` is another hospital with other patients: the external set."""
    line_width: Annotated[float, Field(gt=0, le=0.25)] = 0.06
    """Width of the landmark bands as a share of the image's height: 8 px at 128."""
    root: str | None = dataclasses.field(default=None, metadata={"location": True})
    """Where the scenes are rendered to and read from; none: a folder named after the other fields
    in $SEGTUNE_CACHE or ~/.cache/segtune."""

    def scan(self) -> Scan:
        """Render the scenes unless they are there, then read and check them.

        Raises:
            DataError: the folder holds something else, or was damaged.
        """
        folder = self.folder()
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            _render_into(folder, self)
        card = folder / CARD
        if not card.is_file():
            raise DataError(f"{folder} exists and holds no synthetic scenes: name another root")
        if json.loads(card.read_text()) != self._card():
            raise DataError(
                f"{folder} was rendered from {card.read_text().strip()}, "
                f"asked for is {json.dumps(self._card())}: name another root or delete it"
            )
        return self._rendered().scan()

    def class_spec(self) -> ClassSpec:
        """Those of L3D."""
        return CLASSES

    def labels(self, frame: Frame) -> NDArray[np.uint8]:
        """The landmark bands of a frame."""
        return self._rendered().labels(frame)

    def _rendered(self) -> L3D:
        return L3D(root=str(self.folder()), line_width=self.line_width)

    def folder(self) -> Path:
        """Where the scenes are, or will be once opened."""
        if self.root is not None:
            return Path(self.root)
        cache = os.environ.get("SEGTUNE_CACHE")
        base = Path(cache) if cache else Path.home() / ".cache" / "segtune"
        key = hashlib.sha256(json.dumps(self._card(), sort_keys=True).encode()).hexdigest()
        return base / f"{self.name}-{key[:16]}"

    def _card(self) -> dict[str, int | str]:
        """All that the files depend on; the line width is applied when they are read."""
        fields = ("train", "val", "test", "images_per_patient", "size", "seed")
        card = {"version": liver_scene.VERSION} | {f: getattr(self, f) for f in fields}
        # Without a domain it is `a`: folders from before there was another stay valid.
        return card if self.domain == "a" else card | {"domain": self.domain}


def _render_into(folder: Path, config: SyntheticLiver) -> None:
    """Render beside `folder`, then rename: nobody ever sees half a data set."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    workplace = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for number, split in enumerate(SPLITS):
            _render_split(workplace / split.capitalize(), config, split, number)
        (workplace / CARD).write_text(json.dumps(config._card()) + "\n")
        workplace.chmod(0o755)  # mkdtemp's folders are for their owner alone.
        try:
            workplace.rename(folder)
        except OSError:
            # Another process was first. Its scenes are the same.
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(workplace, ignore_errors=True)


def _render_split(folder: Path, config: SyntheticLiver, split: Split, number: int) -> None:
    """Write one split; its scenes do not depend on the other splits' sizes."""
    place = list(DOMAINS).index(config.domain)
    seed = (config.seed, len(SPLITS) * place + number)  # No domain shares a patient with another.
    mark = "" if config.domain == "a" else config.domain
    for part in ("images", "labels", "depth_AdelaiDepth"):
        (folder / part).mkdir(parents=True)
    for index in range(getattr(config, split)):
        who, frame = divmod(index, config.images_per_patient)
        patient = liver_scene.draw_patient(
            np.random.default_rng((*seed, who)), DOMAINS[config.domain]
        )
        rng = np.random.default_rng((*seed, who, frame + 1))
        scene = liver_scene.render(patient, rng, config.size)
        stem = f"{split}{mark}{who:03d}_{frame:03d}"
        image = cv2.cvtColor(scene.image_HW3, cv2.COLOR_RGB2BGR)
        path = str(folder / "images" / f"{stem}.jpg")
        written = cv2.imwrite(path, image, [cv2.IMWRITE_JPEG_QUALITY, 92])
        path = str(folder / "depth_AdelaiDepth" / f"{stem}.png")
        if not (cv2.imwrite(path, scene.depth_HW) and written):
            raise OSError(f"cannot write images below {folder}")
        annotation = labelme.Annotation(scene.lines, config.size, config.size)
        text = labelme.dump(annotation, f"../images/{stem}.jpg")
        (folder / "labels" / f"{stem}.json").write_text(text)
