"""Objects of a scene with a box around each, for networks that are told by boxes.

Shape suffixes: H W image size.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from segcore.data.prompts import box_of, moved
from segcore.data.scenes.generic_scenes import Float, Mask, Scene
from segcore.metrics.overlap import dice

SMALLEST, LARGEST = 0.01, 0.5
"""Share of the image that an object takes."""
JITTER = 0.1
"""Largest move of a side of the box, as a share of the box's own width or height."""


@dataclass(frozen=True, eq=False)
class BoxedObject:
    """One object, and a box that somebody might draw around it."""

    mask_HW: Mask
    box_4: Float
    """(x0, y0, x1, y1) as shares of the image, each side moved at random."""

    def dice(self, guess_HW: Mask) -> tuple[float, float, float]:
        """Dice of a guess, of the filled box, and of the ellipse in the box."""
        return (
            dice(guess_HW, self.mask_HW),
            dice(filled_box(self.box_4, self.mask_HW.shape), self.mask_HW),
            dice(ellipse_in(self.box_4, self.mask_HW.shape), self.mask_HW),
        )


def boxed_objects(scene: Scene, rng: np.random.Generator, most: int) -> list[BoxedObject]:
    """Some objects of a scene, at random: connected pieces of one material, the background's aside.

    Args:
        scene: whose regions are looked at.
        rng: draws pieces and boxes.
        most: as many, or all there are of a fit size.
    """
    area, pieces = scene.regions_HW.size, []
    for region in range(1, int(scene.regions_HW.max()) + 1):
        _, labels, stats, _ = cv2.connectedComponentsWithStats(
            (scene.regions_HW == region).astype(np.uint8), connectivity=4
        )
        sizes = stats[1:, cv2.CC_STAT_AREA]
        fit = np.flatnonzero((sizes >= SMALLEST * area) & (sizes <= LARGEST * area))
        pieces += [labels == 1 + int(i) for i in fit]
    chosen = rng.permutation(len(pieces))[:most]
    return [BoxedObject(pieces[i], _jittered(pieces[i], rng)) for i in chosen]


def filled_box(box_4: Float, size: tuple[int, ...]) -> Mask:
    """All pixels whose middle lies in a box."""
    y_HW, x_HW = _middles(size)
    x0, y0, x1, y1 = box_4
    return np.asarray((x_HW >= x0) & (x_HW < x1) & (y_HW >= y0) & (y_HW < y1))


def ellipse_in(box_4: Float, size: tuple[int, ...]) -> Mask:
    """All pixels whose middle lies in the ellipse that fills a box."""
    y_HW, x_HW = _middles(size)
    x0, y0, x1, y1 = (float(side) for side in box_4)
    across = (2 * x_HW - x0 - x1) / max(x1 - x0, 1e-6)
    down = (2 * y_HW - y0 - y1) / max(y1 - y0, 1e-6)
    return np.asarray(across**2 + down**2 <= 1)


def _middles(size: tuple[int, ...]) -> tuple[Float, Float]:
    """y (H, 1) and x (1, W) of the pixels' middles, as shares of the image."""
    height, width = size
    y_H, x_W = ((np.arange(n) + 0.5) / n for n in (height, width))
    return y_H[:, None].astype(np.float32), x_W[None].astype(np.float32)


def _jittered(mask_HW: Mask, rng: np.random.Generator) -> Float:
    box = box_of(mask_HW)
    assert box is not None
    return moved(box, rng.uniform(-JITTER, JITTER, 4))
