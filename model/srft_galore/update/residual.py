"""What a step does with the gradient outside of the subspace: G - G P P^T.

GaLore drops it. Two ways to use it need no state of their own, for U the direction that Adam takes
in the subspace and v_hat its corrected second moment, both M x R for a basis on the right, where a
line is a row of the weight (a column for a basis on the left):

- "scaled": each line of the residual by the factor that Adam has for this line in the subspace,

      phi_i = |U_i| / (|sqrt(v_hat_i)| + eps),     W <- ... - lr scale phi_i (G - G P P^T)_i

  This is Fira's norm-based scaling (arXiv 2410.01623) with the root of the second moment where Fira
  has the projected gradient of the step. A step's gradient can nearly vanish in the subspace, and
  Fira limits what follows by how fast the residual may grow, for which it keeps its last norm; the
  second moment does not vanish.
- "sign": a step of one size in each coordinate (signSGD, as in FRUGAL, arXiv 2411.07837),

      W <- ... - 0.1 lr scale sign(G - G P P^T),     0 for what is no more than rounding

Shapes: a folded weight M x N, or U units of it; projected moments as in `projection`; lines (M, 1)
or (1, N).
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


def line_factors(update: Tensor, squares: Tensor, eps: float | Tensor, *, right: bool) -> Tensor:
    """phi, (M, 1) or (1, N): what each line of the residual is multiplied by.

    Args:
        update: U in the subspace; what it is multiplied by, the factors are multiplied by as well.
        squares: v_hat.
        eps: Adam's, a number or one that broadcasts to the lines.
        right: Whether the basis is on the right.
    """
    dim = -1 if right else -2
    size = torch.linalg.vector_norm(update, dim=dim, keepdim=True)
    factors: Tensor = size / (squares.sum(dim, keepdim=True).sqrt() + eps)
    return factors


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
