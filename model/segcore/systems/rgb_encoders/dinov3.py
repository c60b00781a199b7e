"""`dinov3`: DINOv3's vision transformers (Simeoni et al., arXiv 2508.10104), by transformers, whose
one scale a pyramid brings to three.

Shape suffixes: B batch, H W image size, C channels, L tokens, h w grid of patches.
"""

import dataclasses
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic.dataclasses import dataclass
from torch import Tensor
from transformers import DINOv3ViTConfig, DINOv3ViTModel

from segcore.registry import STRICT
from segcore.systems.rgb_encoders.pyramid import PyramidEncoder, multiple_for, side_seen
from segcore.systems.rgb_encoders.rgb_encoder import RgbEncoderConfig
from segcore.systems.system import Published
from segcore.systems.weights import (
    LOCATION,
    Pretrained,
    apart,
    begin_from,
    check_source,
    load_exactly,
    read_published,
    renamed,
)

Size = Literal["nano", "vits16", "vits16plus", "vitb16", "vitl16", "vith16plus", "vit7b16"]
_GATED: Mapping[str, Any] = {"use_gated_mlp": True, "hidden_act": "silu"}
_VIT: Mapping[Size, Mapping[str, Any]] = {
    "nano": {
        "hidden_size": 96,
        "intermediate_size": 384,
        "num_hidden_layers": 4,
        "num_attention_heads": 3,
        "patch_size": 8,
    },
    "vits16": {
        "hidden_size": 384,
        "intermediate_size": 1536,
        "num_hidden_layers": 12,
        "num_attention_heads": 6,
    },
    "vits16plus": {
        "hidden_size": 384,
        "intermediate_size": 1536,
        "num_hidden_layers": 12,
        "num_attention_heads": 6,
        **_GATED,
    },
    "vitb16": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
    },
    "vitl16": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
    },
    "vith16plus": {
        "hidden_size": 1280,
        "intermediate_size": 5120,
        "num_hidden_layers": 32,
        "num_attention_heads": 20,
        **_GATED,
    },
    "vit7b16": {
        "hidden_size": 4096,
        "intermediate_size": 8192,
        "num_hidden_layers": 40,
        "num_attention_heads": 32,
        "query_bias": False,
        "value_bias": False,
        **_GATED,
    },
}
REGISTERS = 4
"""Tokens beside the class token that stand for no patch."""

RENAMED = (
    (r"^(cls_token|mask_token)$", r"embeddings.\1"),
    (r"^storage_tokens$", "embeddings.register_tokens"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embeddings."),
    (r"^blocks\.", "model.layer."),
    (r"\.ls(\d)\.gamma$", r".layer_scale\1.lambda1"),
    (r"\.attn\.proj\.", ".attention.o_proj."),
    (r"\.attn\.", ".attention."),
    (r"\.mlp\.(fc1|w2)\.", ".mlp.up_proj."),
    (r"\.mlp\.(fc2|w3)\.", ".mlp.down_proj."),
    (r"\.mlp\.w1\.", ".mlp.gate_proj."),
)
"""What makes names of transformers' DINOv3ViTModel out of those of Meta's files, in this order."""

UNREAD = (
    "rope_embed.periods",
    ".attn.qkv.bias_mask",
    "local_cls_norm.weight",
    "local_cls_norm.bias",
)
"""Of Meta's files: what is computed, and what pretraining alone uses. Where there is a mask, keys
have no bias."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Dinov3Config(RgbEncoderConfig):
    """Which DINOv3, and what its weights start from."""

    name: ClassVar[str] = "dinov3"
    size: Size = "nano"
    """`nano` has patches of 8 pixels and no weights of its own: they stay random."""
    pretrained: Pretrained = "random"
    checkpoint: str | None = dataclasses.field(default=None, metadata=LOCATION)
    """Meta's `dinov3_vit*_pretrain_*.pth`, a safetensors file, or a folder of transformers'
    DINOv3ViTModel."""
    hub: str | None = None
    """Name on the Hugging Face hub, such as facebook/dinov3-vitl16-pretrain-lvd1689m."""

    def __post_init__(self) -> None:
        check_source(
            "dinov3", self.size, self.pretrained, self.checkpoint, self.hub, packaged=False
        )

    @property
    def width(self) -> int:
        """Channels of every level."""
        return 64 if self.size == "nano" else 256

    @property
    def size_multiple(self) -> int:
        """What a side of its input must be a multiple of, pixels."""
        return multiple_for(vit_config(self.size).patch_size)

    def build(self, side: int) -> "Dinov3Encoder":
        """See `RgbEncoderConfig.build`. Positions are relative: every size has them."""
        config = vit_config(self.size)
        vit = DINOv3ViTModel(config)
        begin_from(self, "dinov3", read_checkpoint, partial(load_exactly, vit))
        patch, channels = config.patch_size, config.hidden_size
        config.image_size = side_seen(side, patch)  # for who loads what is exported
        return Dinov3Encoder(vit, side=side, patch=patch, channels=channels, width=self.width)


def vit_config(size: Size) -> Any:
    """The vision transformer of a size. Its positions are not stretched at random in training, as
    they were in pretraining: a sample's loss must not depend on what else is drawn."""
    return DINOv3ViTConfig(num_register_tokens=REGISTERS, pos_embed_rescale=None, **_VIT[size])


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint under the names of transformers' DINOv3ViTModel.

    Args:
        path: as of `Dinov3Config.checkpoint`.

    Raises:
        ValueError: no such file, or not a DINOv3 checkpoint.
    """
    advice = "download dinov3_vitl16_pretrain_*.pth from Meta, or the file of the size that is set"
    tensors = read_published(path, "DINOv3", advice, entry=None)
    if "storage_tokens" in tensors:
        return _from_meta(tensors)
    if "embeddings.register_tokens" not in tensors:
        raise ValueError(
            f"{path} is no DINOv3 checkpoint: it has no tensor storage_tokens (as Meta's) or "
            "embeddings.register_tokens (as transformers')"
        )
    # Until version 5 of transformers there was no `model.` before a layer.
    return {renamed(name, ((r"^layer\.", "model.layer."),)): x for name, x in tensors.items()}


def _from_meta(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """q, k and v come apart; the bias of masked keys and what is unread are left out."""
    masked = any(name.endswith(".bias_mask") for name in tensors)
    weights = {name: x for name, x in tensors.items() if not name.endswith(UNREAD)}
    found = {renamed(name, RENAMED): x for name, x in apart(weights).items()}
    if "embeddings.mask_token" in found:
        found["embeddings.mask_token"] = found["embeddings.mask_token"].reshape(1, 1, -1)
    return {n: x for n, x in found.items() if not (masked and n.endswith(".k_proj.bias"))}


class Dinov3Encoder(PyramidEncoder):
    """DINOv3 and the pyramid."""

    def look(self, pixels_B3HW: Tensor) -> Tensor:
        """The patches' features, normalised; class token and registers are dropped."""
        vit: Any = self.vit
        patches_BLC: Tensor = vit(pixels_B3HW).last_hidden_state[:, 1 + REGISTERS :]
        side = pixels_B3HW.shape[-1] // int(vit.config.patch_size)
        map_BChw: Tensor = patches_BLC.transpose(1, 2).unflatten(2, (side, side))
        return map_BChw

    def published(self) -> Published:
        """A DINOv3ViTModel of transformers'."""
        return self.as_published(self.vit, "DINOv3")
