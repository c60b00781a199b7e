"""What travels through a system: batches in, predictions out.

Shape suffixes: B batch, K classes, H W image size, h w asked-for size, N boxes.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

Part = Literal["image", "depth"]
"""What a system may look at."""


@dataclass(frozen=True)
class ClassSpec:
    """The classes of a dataset and how their masks relate."""

    names: tuple[str, ...]
    """Name of each target channel."""
    exclusive: bool
    """One class per pixel (landmarks, organs): then channel 0 is background.
    Otherwise (binary, multi-label) there is no background channel."""

    @property
    def foreground(self) -> tuple[str, ...]:
        """The names that are scored: all but the background."""
        return self.names[1:] if self.exclusive else self.names


@dataclass(frozen=True)
class Batch:
    """Samples of one step, on one device."""

    image_B3HW: Tensor
    """RGB in [0, 1], float32."""
    target_BKHW: Tensor
    """0 or 1, float32; one-hot where the classes exclude one another."""
    sample_ids: tuple[str, ...]
    patient_ids: tuple[str, ...]
    depth_B1HW: Tensor | None = None
    """Relative depth in [0, 1], larger is farther, float32."""
    boxes_B4: Tensor | None = None
    """Box prompts (x0, y0, x1, y1) in pixels."""
    image_hashes: tuple[str, ...] | None = None
    """Of each sample's image as it is here, where a system keeps what it computes of it."""
    depth_hashes: tuple[str, ...] | None = None
    """Alike, of the depth maps."""

    def __len__(self) -> int:
        return len(self.sample_ids)

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""

        def move(x: Tensor | None) -> Tensor | None:
            return None if x is None else x.to(device, non_blocking=True)

        return replace(
            self,
            image_B3HW=self.image_B3HW.to(device, non_blocking=True),
            target_BKHW=self.target_BKHW.to(device, non_blocking=True),
            depth_B1HW=move(self.depth_B1HW),
            boxes_B4=move(self.boxes_B4),
        )


@dataclass(frozen=True)
class Prediction:
    """What a system says about a batch."""

    logits_BKhw: Tensor
    extras: dict[str, Tensor] = field(default_factory=dict)
    """What the system's own loss needs besides (coarse fields, queries)."""
