"""Multi-scale deformable attention (Zhu et al., arXiv 2010.04159) in plain torch: four linear maps
around transformers' function.

Shape suffixes: B batch, Q queries, L places of all scales, C channels, M heads, S scales, P points
of a head at a scale, V channels of a head's values.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segcore.batch import Size, moved


class DeformableAttention(nn.Module):
    """Each query looks at a few points of each scale, at places that it says itself."""

    def __init__(self, width: int, *, heads: int, scales: int, points: int, values: int) -> None:
        """`values` channels of what is looked at, all heads together."""
        super().__init__()
        # Seconds to import: those who build such a network alone wait for it.
        from transformers.models.mask2former import modeling_mask2former as mask2former

        self._find = mask2former.multi_scale_deformable_attention
        self._heads, self._scales, self._points = heads, scales, points
        self.offsets = nn.Linear(width, heads * scales * points * 2)
        self.weights = nn.Linear(width, heads * scales * points)
        self.value = nn.Linear(width, values)
        self.out = nn.Linear(values, width)
        self._begin()

    def _begin(self) -> None:
        """Every query looks alike at the points of `first_offsets`."""
        with torch.no_grad():
            self.offsets.weight.zero_()
            self.offsets.bias.copy_(first_offsets(self._heads, self._scales, self._points))
            self.weights.weight.zero_()
            self.weights.bias.zero_()
        for layer in (self.value, self.out):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self, x_BQC: Tensor, where_Q2: Tensor, seen_BLC: Tensor, sizes: Sequence[Size]
    ) -> Tensor:
        """What the queries found, (B, Q, C).

        Args:
            x_BQC: the queries.
            where_Q2: where each is, (x, y) as shares of the image.
            seen_BLC: what is looked at, row by row, scale after scale.
            sizes: of the scales.
        """
        batch, queries, _ = x_BQC.shape
        shape = (batch, queries, self._heads, self._scales, self._points)
        offset = self.offsets(x_BQC).view(*shape, 2)
        weight = self.weights(x_BQC).view(*shape[:3], -1).softmax(-1).view(shape)
        value_BLMV = self.value(seen_BLC).view(batch, seen_BLC.shape[1], self._heads, -1)
        width_height_S12 = moved(
            torch.tensor([[(width, height)] for height, width in sizes]), x_BQC.device
        )
        where = where_Q2[None, :, None, None, None] + offset / width_height_S12
        # Half precision would move the points, and grid_sample wants values of theirs.
        where = where.float()
        found_BQC = self._find(
            value_BLMV.to(where.dtype), list(sizes), where, weight.to(where.dtype)
        )
        out: Tensor = self.out(found_BQC)
        return out


def places(size: Size, device: torch.device) -> Tensor:
    """The middles of a grid's cells, (L, 2), as (x, y) in [0, 1], row by row."""
    height, width = size
    y_H = (torch.arange(height, device=device) + 0.5) / height
    x_W = (torch.arange(width, device=device) + 0.5) / width
    y_HW, x_HW = torch.meshgrid(y_H, x_W, indexing="ij")
    return torch.stack([x_HW, y_HW], dim=-1).reshape(-1, 2)


def first_offsets(heads: int, scales: int, points: int) -> Tensor:
    """Points that lie further and further out, each head's in its own direction, as Deformable DETR
    (arXiv 2010.04159) begins: (heads * scales * points * 2,).
    """
    angle_M = torch.arange(heads) * (2 * math.pi / heads)
    way_M2 = torch.stack([angle_M.cos(), angle_M.sin()], dim=-1)
    way_M2 = way_M2 / way_M2.abs().amax(-1, keepdim=True)
    far_P1 = torch.arange(1, points + 1)[:, None]
    place_M11P2 = way_M2[:, None, None] * far_P1
    return place_M11P2.expand(-1, scales, -1, -1).reshape(-1)
