"""A plain vision transformer (Dosovitskiy et al., arXiv 2010.11929), by timm: built at the size of
its input, its weights from files of Uni-Perceiver or DINOv2.

Shape suffixes: B batch, H W image size, C channels, L tokens, h w grid of patches.
"""

import dataclasses
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from segcore.registry import STRICT
from segcore.systems.weights import (
    LOCATION,
    Pretrained,
    begin_from,
    check_source,
    load_exactly,
    read_published,
    renamed,
)

if TYPE_CHECKING:
    from timm.models import VisionTransformer

LIBRARIES = ("timm.models",)
Size = Literal["nano", "uniperceiver_l", "dinov2_s", "dinov2_b", "dinov2_l"]
_NORM_FIRST: Mapping[str, Any] = {"class_token": False, "pre_norm": True}
_VIT: Mapping[Size, Mapping[str, Any]] = {
    # Deep and thin, so that LoRA has something to adapt and a step takes a fifth of a second.
    "nano": {"embed_dim": 128, "depth": 8, "num_heads": 4, "patch_size": 16, **_NORM_FIRST},
    "uniperceiver_l": {
        "embed_dim": 1024,
        "depth": 24,
        "num_heads": 16,
        "patch_size": 16,
        **_NORM_FIRST,
    },
    "dinov2_s": {"embed_dim": 384, "depth": 12, "num_heads": 6, "patch_size": 14},
    "dinov2_b": {"embed_dim": 768, "depth": 12, "num_heads": 12, "patch_size": 14},
    "dinov2_l": {"embed_dim": 1024, "depth": 24, "num_heads": 16, "patch_size": 14},
}
LAYER_SCALE: Mapping[Size, float] = {"nano": 1.0}
"""What LayerScale begins at where that is not 1e-5: with that, a transformer that is trained from
random weights passes its input on for long."""

UNIPERCEIVER = (
    (r"^visual_embed\.embeddings_norm\.", "norm_pre."),
    (r"^visual_embed\.patch_embed\.proj\.", "patch_embed.proj."),
    (r"^layers\.", "blocks."),
    (r"\.self_attn\.in_proj\.", ".attn.qkv."),
    (r"\.self_attn\.out_proj\.", ".attn.proj."),
    (r"\.linear(\d)\.", r".mlp.fc\1."),
    (r"\.gamma_(\d)$", r".ls\1.gamma"),
)
"""What makes timm's names out of those of Uni-Perceiver's file as ViT-Adapter converted it."""

DINOV2 = (
    (r"^embeddings\.cls_token$", "cls_token"),
    (r"^embeddings\.mask_token$", "mask_token"),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^encoder\.layer\.", "blocks."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.layer_scale(\d)\.lambda1$", r".ls\1.gamma"),
    (r"^layernorm\.", "norm."),
)
"""What makes timm's names out of those of transformers' Dinov2Model, whose q, k and v are apart."""

UNREAD = ("mask_token", "norm.weight", "norm.bias")
"""Of DINOv2: what stands in for hidden patches in pretraining, and the norm behind the last block.
Features are taken from the blocks themselves."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class VitWeights:
    """Which plain vision transformer, and what its weights start from."""

    size: Size = "nano"
    """`uniperceiver_l` is the paper's: 24 blocks of 1024 channels, a norm before the first one.
    DINOv2's have patches of 14 pixels and a class token, and can be had from the hub."""
    pretrained: Pretrained = "packaged"
    checkpoint: str | None = dataclasses.field(default=None, metadata=LOCATION)
    """Uni-Perceiver's `.pth` as ViT-Adapter converted it; Meta's `dinov2_vit*14_pretrain.pth`, or a
    folder of timm's or transformers'; a safetensors file (`nano`)."""
    hub: str | None = None
    """Name on the Hugging Face hub of a DINOv2, such as facebook/dinov2-large."""

    def __post_init__(self) -> None:
        check_source("vit", self.size, self.pretrained, self.checkpoint, self.hub)
        if self.hub is not None and not self.size.startswith("dinov2"):
            raise ValueError(
                f"vit: weights of size {self.size!r} are on no hub: download ViT-Adapter's "
                "uni-perceiver-large-L24-H1024-224size-pretrained_converted.pth and use "
                "pretrained='checkpoint'"
            )

    @property
    def width(self) -> int:
        """Channels of the features."""
        return int(_VIT[self.size]["embed_dim"])

    @property
    def depth(self) -> int:
        """Blocks."""
        return int(_VIT[self.size]["depth"])

    @property
    def patch(self) -> int:
        """Side of a patch, pixels."""
        return int(_VIT[self.size]["patch_size"])

    def build(self, side: int) -> "VisionTransformer":
        """The transformer on the CPU, its weights loaded.

        Args:
            side: of its square input, pixels. The position code of another size is resized.

        Raises:
            ValueError: the checkpoint cannot be read or does not fit.
        """
        vit = build_vit(self.size, side)
        begin_from(self, "vit", read_checkpoint, partial(load_vit, vit))
        return vit


def build_vit(size: Size, side: int) -> "VisionTransformer":
    """A transformer for square inputs of a size, its weights random.

    Args:
        size: of the transformer.
        side: of its input, pixels; a multiple of its patch's.
    """
    from timm.models import VisionTransformer  # a second, for those who build one alone

    options = dict(_VIT[size])
    first_norm = options.get("pre_norm", False)
    return VisionTransformer(
        img_size=side,
        init_values=LAYER_SCALE.get(size, 1e-5),
        norm_layer=nn.LayerNorm if first_norm else _dinov2_norm,
        final_norm=False,
        num_classes=0,
        global_pool="",
        **options,
    )


def _dinov2_norm(channels: int, **options: Any) -> nn.LayerNorm:
    return nn.LayerNorm(channels, eps=1e-6, **options)


def embed(vit: "VisionTransformer", image_B3HW: Tensor) -> Tensor:
    """The tokens that go into the first block, (B, L, C): a class token first, where there is one.

    Args:
        vit: the transformer.
        image_B3HW: of the size that it is built for, standardised.
    """
    x_BLC: Tensor = vit.patch_embed(image_B3HW)
    if vit.cls_token is not None:
        x_BLC = torch.cat([vit.cls_token.expand(len(x_BLC), -1, -1), x_BLC], dim=1)
    assert vit.pos_embed is not None
    out: Tensor = vit.norm_pre(x_BLC + vit.pos_embed)
    return out


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint under timm's names; what is added to every patch is added up.

    Args:
        path: as of `VitWeights.checkpoint`.

    Raises:
        ValueError: no such file, or no plain vision transformer's.
    """
    advice = (
        "download ViT-Adapter's uni-perceiver-large-L24-H1024-224size-pretrained_converted.pth, or "
        "a DINOv2 of the size that is set"
    )
    tensors = read_published(
        path, "vision transformer", advice, entry=None, perhaps=("state_dict", "model")
    )
    if "visual_embed.patch_embed.spatial_pos_embed.weight" in tensors:
        return _from_uniperceiver(tensors)
    if "embeddings.position_embeddings" in tensors:
        tensors = _from_transformers(tensors)
    if "pos_embed" not in tensors:
        raise ValueError(
            f"{path} is no plain vision transformer's checkpoint: it has no tensor pos_embed (as "
            "timm's and Meta's), embeddings.position_embeddings (as transformers') or "
            "visual_embed.patch_embed.spatial_pos_embed.weight (as Uni-Perceiver's)"
        )
    return {name: x for name, x in tensors.items() if name not in UNREAD}


def _from_uniperceiver(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Its patches have a bias and, as frames of a video, a code of their time. An image is frame 0:
    both are the same for every patch, and become part of the position code. That is exact, also
    where the code is resized: bicubic weights add up to 1."""
    found = {renamed(name, UNIPERCEIVER): x for name, x in tensors.items()}
    of_patches = "visual_embed.patch_embed."
    code_LC = found.pop(f"{of_patches}spatial_pos_embed.weight")
    time_TC = found.pop(f"{of_patches}temporal_pos_embed.weight", None)
    bias_C = found.pop("patch_embed.proj.bias", None)
    lacking = [
        name
        for name, x in (
            (f"{of_patches}temporal_pos_embed.weight", time_TC),
            (f"{of_patches}proj.bias", bias_C),
        )
        if x is None
    ]
    if time_TC is None or bias_C is None:
        raise ValueError(f"Uni-Perceiver's file lacks {', '.join(lacking)}: download it again")
    found["pos_embed"] = (code_LC + time_TC[0] + bias_C)[None]
    return found


def _from_transformers(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """q, k and v become one product."""
    found = {renamed(name, DINOV2): x for name, x in tensors.items()}
    for name in [name for name in found if ".attention.attention.query." in name]:
        parts = [name.replace(".query.", f".{part}.") for part in ("query", "key", "value")]
        if all(part in found for part in parts):
            fused = name.replace(".attention.attention.query.", ".attn.qkv.")
            found[fused] = torch.cat([found.pop(part) for part in parts])
    return found


def load_vit(vit: "VisionTransformer", tensors: Mapping[str, Tensor], source: str) -> None:
    """Fill a transformer from tensors of timm's names, its position code resized to its own grid.

    The code is resized bicubically and not low-passed, as Uni-Perceiver's authors do; timm would.

    Raises:
        ValueError: what does not fit, by name.
    """
    fitted = dict(tensors)
    if "pos_embed" in fitted:
        assert vit.pos_embed is not None
        before = int(vit.num_prefix_tokens)
        fitted["pos_embed"] = _resized(fitted["pos_embed"], vit.pos_embed.shape, before)
    load_exactly(vit, fitted, source)


def _resized(code_1LC: Tensor, shape: torch.Size, before: int) -> Tensor:
    """A position code on another square grid; what can't be one stays as it is.

    Args:
        code_1LC: of the class token, where there is one, and of the patches.
        shape: wanted.
        before: tokens in front of the patches.
    """
    if code_1LC.ndim != 3 or code_1LC.shape == shape or code_1LC.shape[-1] != shape[-1]:
        return code_1LC
    prefix, patches = code_1LC[:, :before], code_1LC[:, before:]
    old, new = (round((length - before) ** 0.5) for length in (code_1LC.shape[1], shape[1]))
    if old**2 != patches.shape[1]:
        return code_1LC
    grid = patches.transpose(1, 2).unflatten(2, (old, old))
    moved = F.interpolate(grid.float(), (new, new), mode="bicubic", align_corners=False)
    return torch.cat([prefix, moved.flatten(2).transpose(1, 2).to(prefix.dtype)], dim=1)
