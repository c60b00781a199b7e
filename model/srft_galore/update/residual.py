"""What a step does with the gradient outside of the subspace: G - G P P^T.

GaLore drops it. residual="sign" takes a step of one size in each coordinate, for which it needs no
state of its own (signSGD, as in FRUGAL, arXiv 2411.07837):

    W <- ... - 0.1 lr scale sign(G - G P P^T),     0 for what is no more than rounding

Shapes: a folded weight M x N, or U units of it; projected gradients as in `projection`.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import hardshrink

from srft_galore.projection import CACHED

from .rates import Rates

SIGN_SHARE = 0.1
"""Size of a sign step beside Adam's, whose coordinates are at most about 1."""
_ROUNDING = 32
"""Spacings of the largest element of a gradient that two products may be wrong by."""


class Whole(NamedTuple):
    """What a step needs of the gradients where they are more than their projections."""

    gradients: Mapping[int, Tensor]
    """As they were given, by member."""
    projected_EK: Tensor
    """In the rows of the moments."""
    moved_n: Tensor
    """Which members moved, bool."""
    rates: Rates


def add_signs(
    W_MN: Tensor, G_MN: Tensor, R: Tensor, P_SR: Tensor, size: float | Tensor, *, right: bool
) -> None:
    """W <- W + size sign(G - G P P^T), in place; what is no more than rounding has no sign.

    Where the basis holds all of a gradient, only rounding is left of it, whose signs are noise. On
    a CPU a piece of W that fits the cache is done at a time.

    Args:
        W_MN: A folded weight, or (U, M, N).
        G_MN: Its gradient.
        R: The gradient in the subspace: G P.
        P_SR: The basis.
        size: A number, or one for each unit (U, 1, 1).
        right: Whether the basis is on the right.
    """
    left, other = (R, P_SR.mT) if right else (P_SR, R)
    finfo = torch.finfo(G_MN.dtype)
    largest = torch.maximum(G_MN.amax((-2, -1), keepdim=True), -G_MN.amin((-2, -1), keepdim=True))
    # Multiplied by this, what is no more than rounding is at most 1.
    enlarging = 1 / (_ROUNDING * finfo.eps * largest).clamp_min(finfo.tiny)
    rows, cols = W_MN.shape[-2:]
    piece = max(1, CACHED // cols) if W_MN.device.type == "cpu" else rows
    parts = (tensor.split(piece, dim=-2) for tensor in (W_MN, G_MN, left))
    for W, G, part in zip(*parts, strict=True):
        outside = torch.sub(G, torch.matmul(part, other)).mul_(enlarging)
        W.add_(hardshrink(outside, 1.0).sign_().mul_(size))
