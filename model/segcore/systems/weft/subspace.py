"""ESTO, the boundary-aware optimiser of subspace tokens: what is injected is made consistent within
an image before it is.

Shape suffixes: B batch, L tokens, C channels, M heads, D channels of a head.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HEADS = 4
"""Subspaces, in which tokens are compared apart."""
_SMALL = 1e-6


class SubspaceTokens(nn.Module):
    """Tokens and the weighted mean of those that are like them, more so at boundaries.

    A token is at a boundary where its channels vary more than those of the image's other tokens.
    The published code compares it with the whole batch's: that ties the samples of a batch
    together (its loss is no mean over samples), and is not offered. Both of its parameters are
    scalars; neither it nor the paper's abstract says what begins where, but that a boundary counts
    up to half as much again.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.zeros(()))
        """A sigmoid of it scales what is added."""
        self.boundary = nn.Parameter(torch.tensor(0.5))
        """How much more a boundary gets."""

    def forward(self, x_BLC: Tensor) -> Tensor:
        """Same shape."""
        split_BMLD = x_BLC.unflatten(2, (HEADS, -1)).transpose(1, 2)
        unit_BMLD = F.normalize(split_BMLD, dim=-1)
        # Cosines over the root of the width, as coded: nearly the mean over all tokens.
        alike_BMLD = F.scaled_dot_product_attention(unit_BMLD, unit_BMLD, split_BMLD)
        alike_BLC = alike_BMLD.transpose(1, 2).flatten(2)
        edge_BL1 = 1 + self.boundary * boundary_share(x_BLC)[..., None]
        return x_BLC + self.gate.sigmoid() * edge_BL1 * alike_BLC


@torch.no_grad()
def boundary_share(x_BLC: Tensor) -> Tensor:
    """How much each token is at a boundary, (B, L) in (0, 1): more than a half where its channels
    vary more than those of an average token of its image."""
    varies_BL = x_BLC.float().var(dim=2)
    mean_B1, std_B1 = varies_BL.mean(1, keepdim=True), varies_BL.std(1, keepdim=True)
    return ((varies_BL - mean_B1) / (std_B1 + _SMALL)).sigmoid()
