"""What every system that is told by boxes does with them.

Shape suffixes: B batch, K classes, H W size of the logits, N boxes of an image.
"""

import torch
from torch import Tensor

from segcore.batch import Prompts

NOWHERE = -20.0
"""Logit of an object that no box points at."""


def told(prompts: Prompts | None, image_B3HW: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes (B, N, 4) as shares of the image, and whether each is there (B, N); without any, the
    whole image is the box."""
    if prompts is not None:
        return prompts.boxes_BN4, prompts.present_BN
    whole_4 = image_B3HW.new_tensor([0.0, 0.0, 1.0, 1.0])
    boxes_B14 = whole_4.expand(len(image_B3HW), 1, 4)
    return boxes_B14, torch.ones_like(boxes_B14[..., 0], dtype=torch.bool)


def finished(logits_BKHW: Tensor, present_BN: Tensor, *, exclusive: bool) -> Tensor:
    """Logits of all classes from those of the foreground: nothing where no box points, and a
    background of 0 where classes exclude one another.

    Args:
        logits_BKHW: of the foreground classes.
        present_BN: whether there is a box: one for all of them, or one for each.
        exclusive: whether there is a background.
    """
    there = present_BN.expand(-1, logits_BKHW.shape[1])[..., None, None]
    logits = torch.where(there, logits_BKHW, torch.full_like(logits_BKHW[:1, :1], NOWHERE))
    return torch.cat([torch.zeros_like(logits[:, :1]), logits], dim=1) if exclusive else logits
