"""Where a point of the mask lies, as a network is told it (I-MedSAM, section 3.3).

Shape suffixes: H W size of the mask, P points, D dimensions, E encoded dimensions.
"""

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from segcore.batch import Progress, Size
from segcore.registry import STRICT

OCTAVES = 10


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CoordinateConfig:
    """Sines and cosines of a point's coordinates in [-1, 1]."""

    frequencies: Literal["octaves", "spread"] = "octaves"
    """`octaves`: pi 2^k for k from 0 to 9, the paper's. `spread`: ten from 2 pi to 2 pi 2^10, their
    logarithms evenly spread, the code's."""
    include_input: bool = False
    """Whether the coordinates themselves are told too, as in the code."""
    plane: bool = False
    """Whether a third coordinate is told, which is -1 everywhere, as in the code."""
    warmup_epochs: Annotated[int, Field(ge=0)] = 0
    """Epochs over which more and more dimensions are told, from the lowest on; the code's are 20
    and count the current one, the paper has none."""

    @property
    def width(self) -> int:
        """Encoded dimensions."""
        dimensions = 3 if self.plane else 2
        return dimensions * (2 * OCTAVES + int(self.include_input))

    def encode(self, points_PD: Tensor) -> Tensor:
        """Points (P, 2), as (y, x) in [-1, 1], encoded, (P, E).

        The order is the input, then sine and cosine of each frequency, lowest first.
        """
        if self.plane:
            flat_P1 = torch.full_like(points_PD[:, :1], -1)
            points_PD = torch.cat([flat_P1, points_PD], dim=1)
        steps = torch.arange(OCTAVES, device=points_PD.device, dtype=points_PD.dtype)
        if self.frequencies == "octaves":
            factors = math.pi * 2**steps
        else:
            factors = 2 * math.pi * 2 ** (steps * OCTAVES / (OCTAVES - 1))
        parts = [points_PD] if self.include_input else []
        for factor in factors:
            parts += [(points_PD * factor).sin(), (points_PD * factor).cos()]
        return torch.cat(parts, dim=1)

    def told(self, progress: Progress) -> int:
        """How many of the encoded dimensions are told; the others are zero."""
        if not self.warmup_epochs:
            return self.width
        share = progress.epoch / self.warmup_epochs
        finished = progress.step >= progress.total
        return self.width if finished else min(int(share * self.width) + 3, self.width)


def grid(size: Size, device: torch.device) -> Tensor:
    """The middles of a mask's pixels, (H W, 2), as (y, x) in [-1, 1], row by row."""
    height, width = size
    y_H = (2 * torch.arange(height, device=device) + 1) / height - 1
    x_W = (2 * torch.arange(width, device=device) + 1) / width - 1
    return torch.stack(torch.meshgrid(y_H, x_W, indexing="ij"), dim=-1).reshape(-1, 2)
