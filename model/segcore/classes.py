"""The classes of a data set: how labels are read, written and coloured, said once.

Labels (H, W) of uint8 hold a class index per pixel where the classes exclude one another, else bit
k for class k. Shape suffixes: B batch, K classes, H W image size.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

COLOURS = (
    *((230, 75, 53), (0, 160, 135), (60, 84, 200), (243, 155, 52), (145, 97, 177)),
    *((126, 211, 33), (78, 190, 240), (240, 110, 170), (140, 86, 54), (240, 228, 66)),
    *((178, 34, 90), (20, 90, 50), (170, 180, 190), (100, 240, 210), (255, 190, 170)),
)
"""RGB of the foreground classes in every picture, in their order; then again from the first."""

BITS = 8
"""Of a label: as many classes may overlap."""

Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class ClassSpec:
    """The classes of a dataset and how their masks relate."""

    names: tuple[str, ...]
    """Name of each target channel."""
    exclusive: bool
    """One class per pixel (landmarks, organs): then channel 0 is background.
    Otherwise (binary, multi-label) there is no background channel."""

    def __post_init__(self) -> None:
        taken = sorted({"macro", "pooled"} & set(self.names))
        if taken:
            raise ValueError(f"a class can't be called {' or '.join(taken)}: scores have that name")
        if not self.exclusive and len(self.names) > BITS:
            raise ValueError(f"{len(self.names)} classes that may overlap: at most {BITS} can be")

    def __str__(self) -> str:
        """The names as a person lists them."""
        names = ", ".join(self.names)
        return names if self.exclusive or len(self.names) == 1 else f"{names} (may overlap)"

    @property
    def foreground(self) -> tuple[str, ...]:
        """The names that are scored: all but the background."""
        return self.names[1:] if self.exclusive else self.names

    def mask(self, labels: Labels, name: str) -> NDArray[np.bool_]:
        """Where a class is, in the shape of the labels.

        Raises:
            ValueError: no such class.
        """
        if name not in self.names:
            raise ValueError(f"no class {name!r}: there are {', '.join(self.names)}")
        k = self.names.index(name)
        mask: NDArray[np.bool_] = labels == k if self.exclusive else (labels >> k) & 1 == 1
        return mask

    def foreground_masks(self, labels: Labels) -> dict[str, NDArray[np.bool_]]:
        """The mask of every foreground class by name, in their order."""
        return {name: self.mask(labels, name) for name in self.foreground}

    def targets(self, labels_BHW: Labels) -> NDArray[np.float32]:
        """What a network is trained to say, (B, K, H, W): 1 where a class is, else 0."""
        masks = [self.mask(labels_BHW, name) for name in self.names]
        return np.stack(masks, axis=1).astype(np.float32)

    def labels(self, logits_BKHW: Tensor) -> Labels:
        """The labels (B, H, W) that a network's logits stand for."""
        return self.labels_there(logits_BKHW).cpu().numpy()

    def labels_there(self, logits_BKHW: Tensor) -> Tensor:
        """The same, uint8, on the device of the logits."""
        if self.exclusive:
            labels_BHW = logits_BKHW.argmax(1)
        else:
            bit_K11 = 2 ** torch.arange(len(self.names), device=logits_BKHW.device)[:, None, None]
            labels_BHW = ((logits_BKHW > 0) * bit_K11).sum(1)
        return labels_BHW.to(torch.uint8)

    def probabilities(self, logits_BKHW: Tensor) -> Tensor:
        """Of every class, (B, K, H, W): they add up to 1 where the classes exclude one another."""
        return logits_BKHW.softmax(1) if self.exclusive else logits_BKHW.sigmoid()

    def colour(self, name: str) -> tuple[int, int, int]:
        """RGB of a foreground class."""
        return COLOURS[self.foreground.index(name) % len(COLOURS)]

    def coloured(self, labels_HW: Labels) -> Labels:
        """The labels as a picture (H, W, 3): black background, each class in its colour. Of
        classes that overlap the last one is seen."""
        out_HW3 = np.zeros((*labels_HW.shape, 3), np.uint8)
        for name, mask_HW in self.foreground_masks(labels_HW).items():
            out_HW3[mask_HW] = self.colour(name)
        return out_HW3
