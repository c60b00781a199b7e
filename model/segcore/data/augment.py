"""Augmentation, seeded per sample and epoch; image, depth and mask move together."""

from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from segcore.data.dataset import Sample
from segcore.registry import STRICT


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Augment:
    """What may happen to a training sample. Evaluation never augments."""

    flip: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Probability of a left-right flip."""
    brightness: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Largest relative change of the image's brightness, either way."""

    def apply(self, sample: Sample, *, seed: int, epoch: int, index: int) -> Sample:
        """The sample as this epoch sees it; the same arguments give the same sample."""
        rng = np.random.default_rng((seed, epoch, index))
        gain = 1 + self.brightness * rng.uniform(-1, 1)
        image = np.clip(sample.image_HW3 * gain, 0, 255).astype(np.uint8)
        sample = replace(sample, image_HW3=image)
        if rng.uniform() < self.flip:
            depth = sample.depth_HW
            sample = replace(
                sample,
                image_HW3=np.ascontiguousarray(sample.image_HW3[:, ::-1]),
                labels_HW=np.ascontiguousarray(sample.labels_HW[:, ::-1]),
                depth_HW=None if depth is None else np.ascontiguousarray(depth[:, ::-1]),
            )
        return sample
