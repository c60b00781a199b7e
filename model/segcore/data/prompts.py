"""Box prompts: made from the truth after augmentation, so that they fit what the system sees.

Shape suffixes: H W image size, N boxes of a sample.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from segcore.batch import Prompts, Size
from segcore.classes import ClassSpec
from segcore.data.dataset import Sample
from segcore.registry import STRICT

PromptSource = Literal["none", "truth", "jittered", "grown", "image"]


SALT = 0xB0C5
"""Added to the key of a box's jitter: augmentation draws by the same key."""


class Boxes(NamedTuple):
    """The boxes of one sample, as in `Prompts`."""

    boxes_N4: NDArray[np.float32]
    present_N: NDArray[np.bool_]


Box = tuple[float, float, float, float]
"""(x0, y0, x1, y1) in pixels of the image's own size, x1 and y1 exclusive."""
ImageBoxes = Box | Mapping[str, Box]
"""The box of an image, or of each of its classes that is there."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PromptConfig:
    """Which boxes a system is told. Where they come from the truth, scores are those of a system
    that somebody points at the object: the tables say so in their column `prompts`."""

    source: PromptSource = "none"
    """`truth`: the smallest boxes around the truth. `jittered`: the same, each side moved at
    random. `grown`: in training each side is moved outward at random, in evaluation none is, as in
    I-MedSAM's code. `image`: the whole image, which tells nothing."""
    per: Literal["image", "class"] = "image"
    """One box around all foreground, or one for each foreground class."""
    jitter: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Largest move of a side, as a share of the box's own width or height."""
    growth: Annotated[int, Field(gt=0, le=1024)] = 20
    """Largest move of a side outward, pixels of the image as the system sees it."""

    def __post_init__(self) -> None:
        if self.source != "grown" and self.growth != 20:
            raise ValueError("growth has no effect unless source='grown': leave it out")
        if self.source != "jittered" and self.jitter != 0.1:
            raise ValueError("jitter has no effect unless source='jittered': leave it out")
        if self.source == "none" and self.per != "image":
            raise ValueError("per has no effect with source='none': leave it out")

    def boxes(
        self, sample: Sample, classes: ClassSpec, key: Sequence[int], *, training: bool
    ) -> Boxes:
        """The boxes of one sample, around what is known of its truth.

        Args:
            sample: as the system sees it, augmented if it is.
            classes: of the labels.
            key: seeds what is random: the same key gives the same boxes.
            training: whether the system is trained on it.
        """
        labels_HW = sample.labels_HW
        if sample.ignore_HW is not None:
            labels_HW = np.where(sample.ignore_HW, np.uint8(0), labels_HW)
        masks = [labels_HW > 0]
        if self.per == "class":
            masks = list(classes.foreground_masks(labels_HW).values())
        found = [box_of(mask) for mask in masks]
        if self.source == "image":
            found = [np.array([0, 0, 1, 1], np.float32) for _ in masks]
        if self.source == "jittered":
            rng = np.random.default_rng((*key, SALT))
            moves = rng.uniform(-self.jitter, self.jitter, (len(found), 4))
            pairs = zip(found, moves, strict=True)
            found = [None if box is None else moved(box, move) for box, move in pairs]
        if self.source == "grown" and training:
            rng = np.random.default_rng((*key, SALT))
            height, width = labels_HW.shape
            steps = rng.integers(0, self.growth, (len(found), 4), endpoint=True)
            outward = steps * np.array([-1, -1, 1, 1]) / np.array([width, height, width, height])
            pairs = zip(found, outward, strict=True)
            found = [None if box is None else shifted(box, move) for box, move in pairs]
        absent = np.zeros(4, np.float32)
        return Boxes(
            np.stack([absent if box is None else box for box in found]),
            np.array([box is not None for box in found]),
        )


def box_of(mask_HW: NDArray[np.bool_]) -> NDArray[np.float32] | None:
    """The smallest box around a mask, (x0, y0, x1, y1) in [0, 1]; None where it is empty."""
    rows, columns = np.flatnonzero(mask_HW.any(1)), np.flatnonzero(mask_HW.any(0))
    if not len(rows):
        return None
    height, width = mask_HW.shape
    box = (columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height)
    return np.array(box, np.float32)


def moved(box: NDArray[np.float32], move: NDArray[np.float64]) -> NDArray[np.float32]:
    """Each side moved by a share of the box's size, and kept inside the image and in order."""
    width, height = box[2] - box[0], box[3] - box[1]
    return shifted(box, move * np.array([width, height, width, height]))


def shifted(box: NDArray[np.float32], move: NDArray[np.float64]) -> NDArray[np.float32]:
    """Each side moved by a share of the image, and kept inside it and in order."""
    least = 1e-3
    sides = np.clip(box + move, 0, 1)
    sides[:2] = np.minimum(sides[:2], 1 - least)
    sides[2:] = np.maximum(sides[2:], sides[:2] + least)
    out: NDArray[np.float32] = sides.astype(np.float32)
    return out


def given_boxes(
    given: ImageBoxes | None, size: Size, classes: ClassSpec, *, by_class: bool
) -> Boxes:
    """A user's boxes as a system is told them.

    Args:
        given: of one image; None: there is none.
        size: of that image.
        classes: which a mapping may name.
        by_class: whether the images of the batch have a box for each class.

    Raises:
        ValueError: a class that there is not, a box that is empty or outside of the image, or one
            box where others have one for each class.
    """
    if given is not None and isinstance(given, Mapping) != by_class:
        raise ValueError("boxes: give every image one box, or every image boxes by class")
    if not by_class:
        box, there = _given(given, size)  # type: ignore[arg-type]  # no mapping, as just seen
        return Boxes(box[None], np.array([there]))
    given = given or {}
    assert isinstance(given, Mapping)
    if unknown := sorted(given.keys() - set(classes.foreground)):
        raise ValueError(
            f"boxes: no class {', '.join(unknown)}: there are {', '.join(classes.foreground)}"
        )
    pairs = [_given(given.get(name), size) for name in classes.foreground]
    return Boxes(np.stack([box for box, _ in pairs]), np.array([there for _, there in pairs]))


def _given(box: Box | None, size: Size) -> tuple[NDArray[np.float32], bool]:
    if box is None:
        return np.zeros(4, np.float32), False
    height, width = size
    x0, y0, x1, y1 = box
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise ValueError(
            f"box {tuple(box)}: give x0 < x1 <= {width} and y0 < y1 <= {height}, in pixels"
        )
    return np.array([x0 / width, y0 / height, x1 / width, y1 / height], np.float32), True


def are_by_class(boxes: Iterable[ImageBoxes | None]) -> bool:
    """Whether any image has a box for each class."""
    return any(isinstance(given, Mapping) for given in boxes)


def stack_boxes(boxes: Sequence[Boxes]) -> Prompts:
    """The boxes of a batch as tensors."""
    return Prompts(
        torch.from_numpy(np.stack([b.boxes_N4 for b in boxes])),
        torch.from_numpy(np.stack([b.present_N for b in boxes])),
    )


def seed_of(sample_id: str) -> tuple[int, ...]:
    """A seed for what is random about a sample at evaluation: its name decides and nothing else."""
    digest = hashlib.sha256(sample_id.encode()).digest()
    return tuple(int.from_bytes(digest[i : i + 4], "little") for i in (0, 4))
