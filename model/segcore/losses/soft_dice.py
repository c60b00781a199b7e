"""Soft Dice (Milletari et al., arXiv 1606.04797), as MONAI's DiceLoss computes it at its defaults.

MONAI's own makes a list of a tensor, which a compiled network can't hold and a GPU is waited for.
Digits are the same.

Shape suffixes: B batch, K classes, H W image size.
"""

import torch
from torch import Tensor

SMOOTH = 1e-5
"""Added to numerator and denominator, so that a class that is nowhere has a loss of 0."""


def soft_dice(shares_BKHW: Tensor, target_BKHW: Tensor, *, squared: bool = False) -> Tensor:
    """1 - Dice of each class in each sample, and the mean of all.

    Args:
        shares_BKHW: probabilities.
        target_BKHW: 0 or 1, or between.
        squared: whether the denominator sums squares.
    """
    both_BK, said_BK, true_BK = _sums(shares_BKHW, target_BKHW, squared)
    wrong_BK = 0.5 * (said_BK - both_BK), 0.5 * (true_BK - both_BK)
    denominator_BK = 2 * (both_BK + wrong_BK[0] + wrong_BK[1]) + SMOOTH
    mean: Tensor = (1 - (2 * both_BK + SMOOTH) / denominator_BK).mean()
    return mean


def _sums(shares: Tensor, target: Tensor, squared: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Over pixels: of what is both said and true, of what is said, and of what is true."""
    pixels = (2, 3)
    if not squared:
        return (shares * target).sum(pixels), shares.sum(pixels), target.sum(pixels)
    said, true, apart = (
        torch.linalg.vector_norm(x, dim=pixels).pow(2) for x in (shares, target, shares - target)
    )
    return (said + true - apart) / 2, said, true
