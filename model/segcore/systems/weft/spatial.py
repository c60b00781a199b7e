"""SEE, the spatial-aware enhancer of the experts' features, inside of a feed-forward layer.

Shape suffixes: B batch, L places of all scales, C channels, h w size of a scale, D directions, N
kernels.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from segcore.batch import Size
from segcore.registry import STRICT
from segcore.systems.norms import Norm, norm_of
from segcore.systems.weft.experts import PIECES, cascade
from segcore.systems.weft.wavelet import channels_last

KERNELS = (3, 5, 7)
LEVELS = 3
NARROWER = 4
"""Of the transformer's width, what the feed-forward layer has inside."""

DIRECTIONS_D33 = torch.tensor(
    [
        [[0, 0, 0], [1, -2, 1], [0, 0, 0]],
        [[0, 1, 0], [0, -2, 0], [0, 1, 0]],
        [[0.5, 0, 0], [0, -1, 0], [0, 0, 0.5]],
        [[0, 0, 0.5], [0, -1, 0], [0.5, 0, 0]],
    ]
)
"""Second differences across, down and along both diagonals. A diagonal neighbour is farther off by
the root of two, and its difference is halved for it."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EnhancerConfig:
    """The readings of the enhancer."""

    enabled: bool = True
    """False: plain feed-forward layers."""
    laplacian: Literal["directional", "as_coded"] = "directional"
    """`directional`: of the second differences in four directions the largest, without parameters.
    `as_coded`: a depthwise 3 x 3 convolution that is trained, and begins with a second difference
    across in each of its rows."""
    pool: Literal["adaptive", "identity"] = "adaptive"
    """`adaptive`: the largest edge of each cell of a grid of half the size, for all of the cell.
    `identity`: what the code's pooling does, whose output size is not given."""

    def __post_init__(self) -> None:
        if not self.enabled and (self.laplacian, self.pool) != ("directional", "adaptive"):
            raise ValueError("laplacian and pool have no effect with enabled=False: leave them out")


class Enhancer(nn.Module):
    """Edges put to each scale's map, and convolutions of three sizes weighed for each scale."""

    directions_D33: Tensor

    def __init__(self, width: int, config: EnhancerConfig, norm: Norm) -> None:
        super().__init__()
        self._config = config
        self.laplacian: nn.Conv2d | None = None
        if config.laplacian == "as_coded":
            self.laplacian = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
            with torch.no_grad():
                self.laplacian.weight.copy_(torch.tensor([1.0, -2.0, 1.0]).expand(3, 3))
        else:
            self.register_buffer("directions_D33", DIRECTIONS_D33.clone(), persistent=False)
        piece, kinds = width // PIECES, len(KERNELS)
        self.convs = nn.ModuleList(
            nn.Conv2d(piece, piece, k, padding=k // 2, groups=piece) for k in KERNELS
        )
        self.norm = norm_of(kinds * piece, norm, parts=kinds)
        self.mix = nn.Sequential(
            nn.Conv2d(kinds * width, kinds * width, 1, groups=kinds),
            norm_of(kinds * width, norm, parts=kinds),
            nn.ReLU(),
        )
        self.weight = nn.Parameter(torch.zeros(LEVELS, len(KERNELS)))
        """A softmax of a row weighs the convolutions of a scale."""

    def forward(self, x_BLC: Tensor, sizes: Sequence[Size]) -> Tensor:
        """Same shape, whose places are row by row, scale after scale, of these sizes."""
        parts = x_BLC.split([height * width for height, width in sizes], dim=1)
        kernels = together(self.convs)
        out = []
        for level, (part_BLC, size) in enumerate(zip(parts, sizes, strict=True)):
            x_BChw = part_BLC.transpose(1, 2).unflatten(2, size)
            out.append(self._one_scale(x_BChw, level, *kernels).flatten(2).transpose(1, 2))
        return torch.cat(out, dim=1)

    def _one_scale(self, x_BChw: Tensor, level: int, weight: Tensor, bias: Tensor) -> Tensor:
        if self.laplacian is None:
            edges = second_differences(x_BChw, self.directions_D33)
        else:
            edges = self.laplacian(x_BChw)
        if self._config.pool == "adaptive":
            edges = strongest_nearby(edges)
        sharp_BChw = x_BChw + edges

        def see(piece: Tensor) -> Tensor:
            seen = F.conv2d(
                channels_last(piece), weight, bias, padding=KERNELS[-1] // 2, groups=len(weight)
            )
            return F.relu(self.norm(seen))

        # The pieces of all kernels' copies go through together.
        pieces = [piece.repeat(1, len(KERNELS), 1, 1) for piece in sharp_BChw.chunk(PIECES, dim=1)]
        seen = [x.unflatten(1, (len(KERNELS), -1)) for x in cascade(pieces, see)]
        seen_BNChw = torch.cat(seen, dim=2) + sharp_BChw[:, None]
        mixed_BNChw = self.mix(seen_BNChw.flatten(1, 2)).unflatten(1, (len(KERNELS), -1))
        weight_N111 = self.weight[level].softmax(0)[:, None, None, None]
        return F.gelu(x_BChw + (weight_N111 * mixed_BNChw).sum(1))


def together(convs: nn.ModuleList) -> tuple[Tensor, Tensor]:
    """Weight and bias of depthwise convolutions of all kernels in one: the channels are those of
    the smallest kernel, then of the next. Smaller kernels have zeros around them: one call instead
    of three."""
    weights, biases = [], []
    for conv in convs:
        assert isinstance(conv, nn.Conv2d)
        assert conv.bias is not None
        weights.append(F.pad(conv.weight, ((KERNELS[-1] - conv.kernel_size[0]) // 2,) * 4))
        biases.append(conv.bias)
    return torch.cat(weights), torch.cat(biases)


def second_differences(x_BChw: Tensor, directions_D33: Tensor = DIRECTIONS_D33) -> Tensor:
    """The largest absolute second difference of each point over the four directions, (B, C, h, w).

    Args:
        x_BChw: maps.
        directions_D33: the directions, on their device, to which they would be sent at each call.
    """
    around = F.pad(x_BChw.flatten(0, 1)[:, None], (1, 1, 1, 1), mode="replicate")
    found_nDhw = F.conv2d(around, directions_D33[:, None].to(x_BChw.dtype))
    strongest_nhw: Tensor = found_nDhw.abs().max(1).values
    return strongest_nhw.reshape(x_BChw.shape)


def strongest_nearby(x_BChw: Tensor) -> Tensor:
    """The maximum of each cell of a grid of half the size, for all of the cell, (B, C, h, w)."""
    height, width = x_BChw.shape[-2:]
    coarse = F.adaptive_max_pool2d(x_BChw, (max(1, height // 2), max(1, width // 2)))
    return F.interpolate(coarse, (height, width), mode="nearest")


class FeedForward(nn.Module):
    """Norm, narrow, enhance, widen: what is added to the features beside the transformer."""

    def __init__(self, width: int, config: EnhancerConfig, norm: Norm) -> None:
        super().__init__()
        inside = width // NARROWER
        self.norm = nn.LayerNorm(width)
        self.narrow = nn.Linear(width, inside)
        self.enhance = Enhancer(inside, config, norm) if config.enabled else None
        self.widen = nn.Linear(inside, width)

    def forward(self, c_BLC: Tensor, sizes: Sequence[Size]) -> Tensor:
        """What is to be added, (B, L, C)."""
        x_BLC = self.narrow(self.norm(c_BLC))
        if self.enhance is not None:
            x_BLC = self.enhance(x_BLC, sizes)
        out: Tensor = self.widen(F.gelu(x_BLC))
        return out
