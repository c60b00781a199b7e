"""Data sets that are rendered on first use, into a folder that is then read like any other."""

import dataclasses
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from segcore.classes import ClassSpec
from segcore.data.dataset import SPLITS, Split
from segcore.data.faults import DataError
from segcore.data.frame_folder import FolderConfig
from segcore.data.frames import Frame, Scan
from segcore.files import cache_folder
from segcore.registry import STRICT

CARD = "scenes.json"
"""File in a rendered folder that says what it was rendered from."""

_SCRATCH: ContextVar[Path | None] = ContextVar("scratch", default=None)
"""Where scenes are rendered to that nobody wants to keep."""

Count = Annotated[int, Field(gt=0, le=100_000)]


@contextmanager
def nothing_kept() -> Iterator[None]:
    """Render in here what is not there yet into a temporary folder, which goes at the end: to look
    at a data set without making it."""
    with tempfile.TemporaryDirectory(prefix="segtune-scenes-") as scratch:
        before = _SCRATCH.set(Path(scratch))
        try:
            yield
        finally:
            _SCRATCH.reset(before)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RenderedConfig(FolderConfig):
    """Base of the data sets that are rendered: patients with a few images each, in three splits."""

    version: ClassVar[int]
    """Raised when the same seed draws another picture."""

    train: Count = 80
    """Images of the train split."""
    val: Count = 40
    test: Count = 40
    images_per_patient: Count = 5
    """Images that share what belongs to a patient. No patient is in two splits."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Of the scenes."""
    root: str | None = dataclasses.field(default=None, metadata={"location": True})
    """Where the scenes are rendered to and read from; none: a folder named after the other fields
    in $SEGTUNE_CACHE or ~/.cache/segtune."""

    def render_split(self, folder: Path, split: Split) -> None:
        """Write the files of a split; they do not depend on the other splits' sizes.

        Args:
            folder: which will be the data set's.
            split: its name.
        """
        raise NotImplementedError

    def reader(self) -> FolderConfig:
        """What reads the rendered folder."""
        raise NotImplementedError

    def card(self) -> dict[str, int | str]:
        """All that the files depend on; `size` and `domain` are fields of every such set."""
        fields = ("train", "val", "test", "images_per_patient", "size", "seed", "domain")
        return {"version": self.version} | {f: getattr(self, f) for f in fields}

    def scan(self) -> Scan:
        """Render the scenes unless they are there, then read and check them.

        Raises:
            DataError: the folder holds something else, or was damaged.
        """
        folder = self.folder()
        if _is_empty(folder):
            self._render()
        card = folder / CARD
        if not card.is_file():
            raise DataError(f"{folder} exists and holds no synthetic scenes: name another root")
        if json.loads(card.read_text()) != self.card():
            raise DataError(
                f"{folder} was rendered from {card.read_text().strip()}, "
                f"asked for is {json.dumps(self.card())}: name another root or delete it"
            )
        return self.reader().scan()

    def class_spec(self) -> ClassSpec:
        """Those of the reader."""
        return self.reader().class_spec()

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those of the reader."""
        return self.reader().metrics

    @property
    def grey_window(self) -> tuple[float, float] | None:
        """That of the reader."""
        return self.reader().grey_window

    def image(self, frame: Frame) -> NDArray[np.uint8]:
        """Pixels of a frame."""
        return self.reader().image(frame)

    def labels(self, frame: Frame) -> NDArray[np.uint8]:
        """Labels of a frame."""
        return self.reader().labels(frame)

    def redrawn(
        self, frame: Frame, move: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    ) -> NDArray[np.uint8] | None:
        """As of the reader."""
        return self.reader().redrawn(frame, move)

    def folder(self) -> Path:
        """Where the scenes are, or will be once opened."""
        key = hashlib.sha256(json.dumps(self.card(), sort_keys=True).encode()).hexdigest()
        name = f"{self.name}-{key[:16]}"
        kept = cache_folder() / name if self.root is None else Path(self.root)
        scratch = _SCRATCH.get()
        return scratch / name if scratch is not None and _is_empty(kept) else kept

    def _render(self) -> None:
        """Render beside the folder, then rename: nobody ever sees half a data set."""
        folder = self.folder()
        folder.parent.mkdir(parents=True, exist_ok=True)
        workplace = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            for split in SPLITS:
                self.render_split(workplace, split)
            (workplace / CARD).write_text(json.dumps(self.card()) + "\n")
            workplace.chmod(0o755)  # mkdtemp's folders are for their owner alone.
            try:
                workplace.rename(folder)
            except OSError:
                # Another process was first. Its scenes are the same.
                if not folder.is_dir():
                    raise
        finally:
            shutil.rmtree(workplace, ignore_errors=True)


def _is_empty(folder: Path) -> bool:
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
