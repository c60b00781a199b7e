"""Where depth meets RGB.

Shape suffixes: B batch, C channels, h w size of the fused level, L = h * w tokens.
"""

import dataclasses
from typing import Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from segcore.registry import STRICT
from segcore.systems.blocks import conv_norm_act

Mode = Literal["cross_attention", "sum", "concatenation", "rgb_only"]

USED_BY: dict[str, tuple[Mode, ...]] = {
    "query": ("cross_attention",),
    "heads": ("cross_attention",),
    "residual": ("cross_attention",),
    "stride": ("cross_attention", "sum", "concatenation"),
    "train_depth_projection": ("cross_attention", "sum", "concatenation"),
}
"""The modes in which a field has an effect."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FusionConfig:
    """How depth features join the RGB features, and at which level."""

    mode: Mode = "cross_attention"
    """`rgb_only` leaves depth out: its encoder is neither built nor run."""
    stride: Literal[4, 8, 16] = 8
    """Level of the RGB encoder's features, in input pixels per feature. The paper's is 16."""
    query: Literal["depth", "rgb"] = "depth"
    """Who asks; the other one answers with keys and values."""
    heads: int = Field(default=2, ge=1)
    residual: bool = True
    """Add the query's features to the answer, normalise both inputs and give them a sine
    position code. The paper does none of the three."""
    train_depth_projection: bool = True
    """SRFT-GaLore's code computes the 1 x 1 convolution on the depth features without a gradient:
    False leaves it as it started, a random projection, the same for every seed."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(type(self)):
            modes = USED_BY.get(field.name)
            if modes and self.mode not in modes:
                default = getattr(type(self)(), field.name)
                if getattr(self, field.name) != default:
                    raise ValueError(
                        f"fusion.{field.name} has no effect with mode={self.mode!r}: leave it at "
                        f"{default!r}, or choose mode {' or '.join(modes)}"
                    )

    def check_heads(self, width: int) -> None:
        """Refuse a number of heads that does not divide the features' width."""
        if width % self.heads:
            allowed = ", ".join(str(n) for n in range(1, width + 1) if width % n == 0)
            raise ValueError(
                f"fusion.heads={self.heads} does not divide the width {width}: "
                f"choose one of {allowed}"
            )

    def build(self, width: int, depth_width: int, out_width: int | None) -> "Fusion":
        """The fusion of RGB features of `width` channels with depth features.

        Args:
            width: channels of the RGB features.
            depth_width: channels of the depth features.
            out_width: channels of the result; None leaves it at `width`, without a convolution.
        """
        join: nn.Module
        if self.mode == "cross_attention":
            join = CrossAttention(self, width)
        else:
            join = Sum() if self.mode == "sum" else Concatenation(width)
        fusion = Fusion(join, width, depth_width, out_width)
        if not self.train_depth_projection:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                fusion.depth_in = conv_norm_act(depth_width, width, 1)
            fusion.depth_in.requires_grad_(False)
        return fusion


class Fusion(nn.Module):
    """Brings depth features to the RGB level's width and size, joins the two, and hands the
    result to the decoder."""

    def __init__(
        self, join: nn.Module, width: int, depth_width: int, out_width: int | None
    ) -> None:
        super().__init__()
        self.depth_in = conv_norm_act(depth_width, width, 1)
        self.join = join
        self.out = nn.Identity() if out_width is None else nn.Conv2d(width, out_width, 1)

    def forward(self, rgb_BChw: Tensor, depth_BCHW: Tensor, position_BChw: Tensor) -> Tensor:
        """Fused features (B, C, h, w) from an RGB level, depth features of any size and the sine
        position code of the level."""
        depth_BChw = F.interpolate(
            self.depth_in(depth_BCHW), rgb_BChw.shape[-2:], mode="bilinear", align_corners=False
        )
        fused: Tensor = self.out(self.join(rgb_BChw, depth_BChw, position_BChw))
        return fused


class Sum(nn.Module):
    """RGB plus depth."""

    def forward(self, rgb_BChw: Tensor, depth_BChw: Tensor, position_BChw: Tensor) -> Tensor:
        """The sum, (B, C, h, w)."""
        return rgb_BChw + depth_BChw


class Concatenation(nn.Module):
    """RGB beside depth, mixed by a 1 x 1 convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = conv_norm_act(2 * width, width, 1)

    def forward(self, rgb_BChw: Tensor, depth_BChw: Tensor, position_BChw: Tensor) -> Tensor:
        """The mixture, (B, C, h, w)."""
        mixed: Tensor = self.mix(torch.cat([rgb_BChw, depth_BChw], dim=1))
        return mixed


class CrossAttention(nn.Module):
    """One modality asks and the other answers (SRFT-GaLore: depth asks)."""

    def __init__(self, config: FusionConfig, width: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, config.heads, batch_first=True)
        if config.residual:
            self.query_norm = nn.LayerNorm(width)
            self.answer_norm = nn.LayerNorm(width)
        self._residual = config.residual
        self._depth_asks = config.query == "depth"

    def forward(self, rgb_BChw: Tensor, depth_BChw: Tensor, position_BChw: Tensor) -> Tensor:
        """What the asking modality is told, (B, C, h, w)."""
        ask_BLC, answer_BLC, position_BLC = (
            x.flatten(2).transpose(1, 2)
            for x in (
                (depth_BChw, rgb_BChw, position_BChw)
                if self._depth_asks
                else (rgb_BChw, depth_BChw, position_BChw)
            )
        )
        if self._residual:
            query_BLC = self.query_norm(ask_BLC) + position_BLC
            value_BLC = self.answer_norm(answer_BLC)
            told_BLC, _ = self.attention(
                query_BLC, value_BLC + position_BLC, value_BLC, need_weights=False
            )
            told_BLC = ask_BLC + told_BLC
        else:
            told_BLC, _ = self.attention(ask_BLC, answer_BLC, answer_BLC, need_weights=False)
        told_BCL: Tensor = told_BLC.transpose(1, 2)
        return told_BCL.reshape(rgb_BChw.shape)
