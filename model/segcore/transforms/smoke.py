"""Smoke of electrosurgery: a grey veil of uneven density over the image."""

from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as v2

from segcore.batch import Modality
from segcore.data.dataset import Sample
from segcore.registry import STRICT
from segcore.transforms.transform import Transform

GREY = 205.0
"""Of lit smoke, in levels."""
CELLS = (3, 7)
"""Points in a side of the two noises that density is the sum of; the finer one counts half."""


LIT = 16.0
"""Mean level from which on a place is within the field of view."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Smoke(Transform):
    """Each pixel is mixed with a light grey: I (1 - t) + 205 t, t a smooth random field. The black
    around an endoscope's round picture stays black."""

    name: ClassVar[str] = "smoke"

    probability: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Of smoke."""
    density: Annotated[float, Field(gt=0, lt=1)] = 0.6
    """Largest share of grey where the veil is thickest; drawn from a quarter of it on."""

    def repeats(self, part: Modality) -> bool:
        """The depth, which smoke leaves alone."""
        return part == "depth"

    def apply(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """See `Transform.apply`."""
        if rng.uniform() >= self.probability:
            return sample
        thickest = self.density * rng.uniform(0.25, 1)
        height, width = sample.labels_HW.shape
        field_HW = torch.zeros(height, width)
        for weight, cells in zip((1.0, 0.5), CELLS, strict=True):
            points = torch.from_numpy(rng.uniform(size=(1, 1, cells, cells)).astype(np.float32))
            fine = F.interpolate(points, (height, width), mode="bicubic", align_corners=True)
            field_HW += weight * fine[0, 0]
        field_HW -= field_HW.amin()
        image_HW3 = torch.from_numpy(sample.image_HW3).float()
        share_HW1 = (thickest * field_HW / field_HW.amax() * _seen(image_HW3))[..., None]
        veiled = (image_HW3 * (1 - share_HW1) + GREY * share_HW1).round().to(torch.uint8)
        return replace(sample, image_HW3=veiled.numpy())


def _seen(image_HW3: torch.Tensor) -> torch.Tensor:
    """1 within the field of view, 0 in the black around it, (H, W)."""
    brightest_1HW = image_HW3.amax(2)[None]
    near = 2 * (min(brightest_1HW.shape[1:]) // 32) + 1
    mean_HW = v2.gaussian_blur(brightest_1HW, [near, near])[0]
    seen_HW: torch.Tensor = (mean_HW / LIT).clamp(max=1)
    return seen_HW
