"""The expert-guided conditional adapter: between the stages of a frozen transformer, features
beside it are injected, and are renewed themselves.

Shape suffixes: B batch, Q tokens of the transformer, L places of all scales, C channels, h w grid.
"""

from collections.abc import Sequence
from dataclasses import field
from typing import Annotated, Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from segcore.batch import Size
from segcore.registry import STRICT
from segcore.systems.norms import Norm
from segcore.systems.pixels import enlarge
from segcore.systems.weft.deformable import DeformableAttention, places
from segcore.systems.weft.spatial import LEVELS, EnhancerConfig, FeedForward
from segcore.systems.weft.subspace import HEADS as SUBSPACES
from segcore.systems.weft.subspace import SubspaceTokens

STAGES = 4


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AdapterConfig:
    """How the transformer's tokens and the features beside it tell each other of themselves."""

    heads: Annotated[int, Field(ge=1)] = 4
    """Of the deformable attention; the code's are 16."""
    points: Annotated[int, Field(ge=1)] = 4
    """That a head looks at in each scale."""
    subspace_tokens: bool = True
    """ESTO; False: what was found is injected as it is."""
    enhancer: EnhancerConfig = field(default_factory=EnhancerConfig)
    """SEE."""
    update: Literal["added", "none"] = "added"
    """Whether the features beside the transformer are renewed from its tokens: "both are updated"
    (the paper's abstract, whose count of parameters leaves no room for more than this sum). In the
    code they never look at them."""
    extra_layers: Annotated[int, Field(ge=0)] = 0
    """Feed-forward layers that the last stage has beside its own; the code has 2."""


class Stage(nn.Module):
    """What stands before and behind a quarter of the transformer's blocks."""

    def __init__(self, width: int, config: AdapterConfig, norm: Norm, *, last: bool) -> None:
        super().__init__()
        self._config = config
        self.norm_x = nn.LayerNorm(width)
        self.norm_c = nn.LayerNorm(width)
        self.attention = DeformableAttention(
            width, heads=config.heads, scales=LEVELS, points=config.points, values=width // 2
        )
        self.tokens = SubspaceTokens() if config.subspace_tokens else None
        self.gamma = nn.Parameter(torch.zeros(width))
        layers = 1 + (config.extra_layers if last else 0)
        self.layers = nn.ModuleList(
            FeedForward(width, config.enhancer, norm) for _ in range(layers)
        )

    def inject(self, x_BQC: Tensor, grid: Size, c_BLC: Tensor, sizes: Sequence[Size]) -> Tensor:
        """The transformer's tokens with what they found in the features beside it; as they were
        before the first training step.

        Args:
            x_BQC: of the patches, row by row.
            grid: of the patches.
            c_BLC: features beside the transformer.
            sizes: of their scales.
        """
        where_Q2 = places(grid, x_BQC.device)
        found = self.attention(self.norm_x(x_BQC), where_Q2, self.norm_c(c_BLC), sizes)
        if self.tokens is not None:
            found = self.tokens(found)
        injected: Tensor = x_BQC + self.gamma * found
        return injected

    def renew(self, c_BLC: Tensor, sizes: Sequence[Size], x_BQC: Tensor, grid: Size) -> Tensor:
        """The features beside the transformer after the stage, (B, L, C). Arguments as above."""
        if self._config.update == "added":
            x_BCL = F.layer_norm(x_BQC, x_BQC.shape[-1:]).transpose(1, 2)
            x_BChw = x_BCL.unflatten(2, grid)
            c_BLC = c_BLC + flat([enlarge(x_BChw, size) for size in sizes])
        for layer in self.layers:
            c_BLC = c_BLC + layer(c_BLC, sizes)
        return c_BLC


def flat(scales: Sequence[Tensor]) -> Tensor:
    """Maps (B, C, h, w) as places in a row, (B, L, C), scale after scale."""
    return torch.cat([x_BChw.flatten(2).transpose(1, 2) for x_BChw in scales], dim=1)


def check_width(width: int, config: AdapterConfig) -> list[str]:
    """What does not divide in a transformer of a width, as sentences."""
    faults = []
    for count, what in ((2 * config.heads, "twice the heads"), (SUBSPACES, "ESTO's subspaces")):
        if width % count:
            faults.append(f"{width} channels can't be shared out among {what}, {count}")
    return faults
