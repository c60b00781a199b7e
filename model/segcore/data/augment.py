"""Augmentation, seeded per sample and epoch; image, depth and mask move together.

What is drawn comes from a generator of the sample's own; what is done is torchvision's (v2), which
never draws here.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Annotated, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass
from torchvision import tv_tensors
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as v2

from segcore.batch import Modality
from segcore.data.dataset import Sample
from segcore.registry import STRICT

ROTATE_DEGREES = 15.0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Augment:
    """What may happen to a training sample. Evaluation never augments.

    SRFT-GaLore's code (commit efcd190, and no other) has flip = 0.5 with flip_axis "either",
    rotate = 0.5 and brightness = 0. There the corners that a rotation leaves empty belong to no
    class at all; here they are background.
    """

    flip: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Probability of a flip."""
    brightness: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Largest relative change of the image's brightness, either way."""
    flip_axis: Literal["horizontal", "either"] = "horizontal"
    """Left-right, or left-right and upside-down equally often."""
    rotate: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Probability of a rotation about the middle; what turns in from outside is black, and
    nearest (0) in depth."""
    rotate_degrees: Annotated[float, Field(gt=0, le=180)] = ROTATE_DEGREES
    """Largest rotation, either way."""

    def __post_init__(self) -> None:
        if self.rotate == 0 and self.rotate_degrees != ROTATE_DEGREES:
            raise ValueError("rotate_degrees changes nothing while rotate is 0: give both")
        if self.flip == 0 and self.flip_axis != "horizontal":
            raise ValueError("flip_axis changes nothing while flip is 0: give both")

    def repeats(self, part: Modality) -> bool:
        """Whether a sample's image or depth only ever takes a few forms, each seen in many epochs:
        flips alone, and brightness where it is the depth."""
        return self.rotate == 0 and (part == "depth" or self.brightness == 0)

    def apply(self, sample: Sample, *, seed: int, epoch: int, index: int) -> Sample:
        """The sample as this epoch sees it; the same arguments give the same sample."""
        # A change in the order of these draws changes every training.
        rng = np.random.default_rng((seed, epoch, index))
        gain = 1 + self.brightness * rng.uniform(-1, 1)
        sample = replace(sample, image_HW3=_brightened(sample.image_HW3, gain))
        if rng.uniform() < self.flip:
            upside_down = self.flip_axis == "either" and rng.uniform() < 0.5
            sample = _moved(sample, v2.vertical_flip if upside_down else v2.horizontal_flip)
        if self.rotate and rng.uniform() < self.rotate:
            angle = self.rotate_degrees * rng.uniform(-1, 1)
            sample = _moved(sample, partial(_rotated, angle=angle))
        return sample


def _brightened(image_HW3: NDArray[np.uint8], gain: float) -> NDArray[np.uint8]:
    levels = np.clip(np.arange(256) * gain, 0, 255).astype(np.uint8)
    return cv2.LUT(image_HW3, levels).astype(np.uint8, copy=False)


def _rotated(x: torch.Tensor, *, angle: float) -> torch.Tensor:
    """About the middle. Torchvision turns a `Mask` by nearest neighbour whatever it is told."""
    turned: torch.Tensor = v2.rotate(x, angle, interpolation=InterpolationMode.BILINEAR)
    return turned


def _moved(sample: Sample, move: Callable[[torch.Tensor], torch.Tensor]) -> Sample:
    """Do the same to image, labels and depth."""
    image_3HW = tv_tensors.Image(torch.from_numpy(sample.image_HW3).permute(2, 0, 1))
    labels_1HW = tv_tensors.Mask(torch.from_numpy(sample.labels_HW)[None])
    depth_HW, ignore_HW = sample.depth_HW, sample.ignore_HW
    if depth_HW is not None:
        depth_HW = _array(move(tv_tensors.Image(torch.from_numpy(depth_HW)[None]))[0])
    if ignore_HW is not None:
        ignored = tv_tensors.Mask(torch.from_numpy(ignore_HW.astype(np.uint8))[None])
        ignore_HW = _array(move(ignored)[0]) == 1
    return replace(
        sample,
        image_HW3=_array(move(image_3HW).permute(1, 2, 0)),
        labels_HW=_array(move(labels_1HW)[0]),
        depth_HW=depth_HW,
        ignore_HW=ignore_HW,
    )


def _array(tensor: torch.Tensor) -> NDArray[np.uint8]:
    return np.ascontiguousarray(tensor.numpy())
