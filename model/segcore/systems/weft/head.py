"""Mask2Former's head (Cheng et al., arXiv 2112.01527), by transformers' classes: queries, each with
a class and a mask.

Shape suffixes: B batch, C channels, D outputs (one before each layer, and the last), Q queries, L
classes of a query (the background first, nothing at all last), K classes, H W size, h w mask size.
"""

import warnings
from typing import Annotated

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from segcore.batch import Size
from segcore.registry import STRICT
from segcore.systems.pixels import logits_at
from segcore.systems.weft.deformable import first_offsets

LIBRARIES = ("transformers.models.mask2former.modeling_mask2former",)
GROUPS = 32
"""Of every GroupNorm in the pixel decoder."""
_SMALL = 1e-6


@dataclass(frozen=True, kw_only=True, config=STRICT)
class HeadConfig:
    """Sizes of the pixel decoder and of the queries' decoder."""

    width: int = Field(default=32, ge=GROUPS, multiple_of=GROUPS)
    """Channels; the code's are 96."""
    queries: Annotated[int, Field(ge=1)] = 8
    """The code has 100."""
    heads: Annotated[int, Field(ge=1)] = 4
    """Of every attention; the code's are 8."""
    pixel_layers: Annotated[int, Field(ge=1)] = 1
    """Of deformable attention over three scales; the code has 6."""
    pixel_hidden: Annotated[int, Field(ge=1)] = 64
    """Hidden units of their feed-forward nets; the code's are 320."""
    layers: Annotated[int, Field(ge=1)] = 2
    """In which queries look at where their own masks are; the code has 9."""
    hidden: Annotated[int, Field(ge=1)] = 64
    """Hidden units of their feed-forward nets. The code sets 320, and a second setting makes 768 of
    it: with that its parameters are those that the paper counts."""

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width = {self.width} can't be shared out among {self.heads} heads")

    def build(self, inputs: int, classes: int) -> "QueryHead":
        """The head for four scales of `inputs` channels and classes beside the background."""
        return QueryHead(self, inputs, classes)


class QueryHead(nn.Module):
    """Four scales in; the class and the mask of every query out, after every layer."""

    def __init__(self, config: HeadConfig, inputs: int, classes: int) -> None:
        super().__init__()
        # Seconds to import: those who build such a network alone wait for it.
        from transformers import Mask2FormerConfig
        from transformers.models.mask2former.modeling_mask2former import (
            Mask2FormerPixelDecoder,
            Mask2FormerTransformerModule,
        )

        told = Mask2FormerConfig(
            feature_size=config.width,
            mask_feature_size=config.width,
            hidden_dim=config.width,
            encoder_layers=config.pixel_layers,
            encoder_feedforward_dim=config.pixel_hidden,
            decoder_layers=config.layers + 1,  # transformers counts the queries themselves too
            dim_feedforward=config.hidden,
            num_attention_heads=config.heads,
            num_queries=config.queries,
        )
        with warnings.catch_warnings():
            # Of widths that a CUDA operator likes, which is not used here.
            warnings.filterwarnings("ignore", "You'd better set embed_dim")
            self.pixels = Mask2FormerPixelDecoder(told, [inputs] * 4)
        self.queries = Mask2FormerTransformerModule(config.width, told)
        self.classes = nn.Linear(config.width, classes + 2)
        _begin(self.pixels)
        _begin(self.queries)

    def forward(self, scales: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Class logits (D, B, Q, L) and mask logits (D, B, Q, h, w) at the finest scale.

        Args:
            scales: maps (B, C, h, w), finest first.
        """
        seen = self.pixels(scales, output_hidden_states=False, return_dict=True)
        found = self.queries(list(seen.multi_scale_features), seen.mask_features)
        hidden_DQBC = torch.stack(found.intermediate_hidden_states)
        masks_DBQhw = torch.stack(found.masks_queries_logits)
        return self.classes(hidden_DQBC).transpose(1, 2), masks_DBQhw


@torch.no_grad()
def _begin(module: nn.Module) -> None:
    """As Mask2Former begins; transformers does this only for whole models."""
    from transformers.models.mask2former.modeling_mask2former import (
        Mask2FormerMaskedAttentionDecoderLayer,
        Mask2FormerPixelDecoder,
        Mask2FormerPixelDecoderEncoderMultiscaleDeformableAttention,
    )

    for part in module.modules():
        if isinstance(part, Mask2FormerPixelDecoderEncoderMultiscaleDeformableAttention):
            begin = first_offsets(part.n_heads, part.n_levels, part.n_points)
            part.sampling_offsets.weight.zero_()
            part.sampling_offsets.bias.copy_(begin)
            part.attention_weights.weight.zero_()
            part.attention_weights.bias.zero_()
            for layer in (part.value_proj, part.output_proj):
                nn.init.xavier_uniform_(layer.weight)
                layer.bias.zero_()
        elif isinstance(part, Mask2FormerMaskedAttentionDecoderLayer):
            for parameter in part.parameters():
                if parameter.dim() > 1:
                    nn.init.xavier_uniform_(parameter)
            part.cross_attn.in_proj_bias.zero_()
        elif isinstance(part, Mask2FormerPixelDecoder):
            part.level_embed.normal_()


def class_logits(classes_BQL: Tensor, masks_BQhw: Tensor, size: Size, *, exclusive: bool) -> Tensor:
    """Logits of the classes (B, K, *size) from those of the queries.

    A query's share of a point is the probability of its class times that of its mask, and a class
    has the sum over the queries, as in MaskFormer (Cheng et al., arXiv 2107.06278). Where classes
    exclude one another a logit is the logarithm of that: the largest wins, and the softmax is the
    class's part of all. A class alone excludes its background. Of several classes that may overlap
    each is there unless no query says so.

    Args:
        classes_BQL: logits of background, classes and nothing.
        masks_BQhw: logits, enlarged before anything is made of them.
        size: asked for.
        exclusive: whether the background is a class.
    """
    share_BQL = classes_BQL.float().softmax(-1)[..., :-1]
    inside_BQHW = logits_at(masks_BQhw, size).sigmoid()
    if not exclusive and share_BQL.shape[-1] > 2:
        return torch.stack(
            [_any(share_BQ, inside_BQHW) for share_BQ in share_BQL[..., 1:].unbind(-1)], dim=1
        )
    with torch.autocast(inside_BQHW.device.type, enabled=False):
        sum_BLHW = torch.einsum("bql,bqhw->blhw", share_BQL, inside_BQHW)
    logit_BLHW = (sum_BLHW + _SMALL).log()
    return logit_BLHW if exclusive else logit_BLHW[:, 1:] - logit_BLHW[:, :1]


def _any(share_BQ: Tensor, inside_BQHW: Tensor) -> Tensor:
    """The logit (B, H, W) of the probability that a query or another says so."""
    says_BQHW = (share_BQ[..., None, None] * inside_BQHW).clamp(max=1 - _SMALL)
    nobody_BHW = torch.log1p(-says_BQHW).sum(1).clamp(max=-_SMALL)  # its logarithm
    return torch.log(-torch.expm1(nobody_BHW)) - nobody_BHW


def decided(logits_BKHW: Tensor, *, exclusive: bool, certainty: float = 20.0) -> Tensor:
    """Logits that are sure of what those say, as the published code hands out labels alone."""
    if exclusive:
        wins = nn.functional.one_hot(logits_BKHW.argmax(1), logits_BKHW.shape[1])
        return (wins.permute(0, 3, 1, 2) * 2 - 1) * certainty
    return ((logits_BKHW > 0).float() * 2 - 1) * certainty
