"""`depth_anything_3`: the encoder of Depth Anything 3's networks of single images (Lin et al.,
arXiv 2511.10647), DA3MONO-LARGE and DA3METRIC-LARGE, which is a plain DINOv2-L.

Its networks of several views (DA3-SMALL to -GIANT) turn queries and keys by their place, normalise
them, and let views see one another from a block on: no library that can be installed beside this
project has that transformer, and they are not offered.
"""

import dataclasses
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic.dataclasses import dataclass
from torch import Tensor

from segcore.registry import STRICT
from segcore.systems.depth_encoders.depth_encoder import DepthEncoderConfig, Source
from segcore.systems.depth_encoders.dinov2 import Dinov2DepthEncoder, backbone_config
from segcore.systems.pixels import Resampling
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

if TYPE_CHECKING:
    from transformers import Dinov2Config

LIBRARIES = ("transformers.models.dinov2.modeling_dinov2",)
Size = Literal["nano", "large"]
BACKBONE = "model.backbone.pretrained."
"""What the encoder's tensors begin with in the authors' file; others are its head's, which is left
out."""
LAST_EPS = 1e-5
"""Epsilon of the norm behind the last block, where DINOv2 has 1e-6."""

RENAMED = (
    (r"^cls_token$", "embeddings.cls_token"),
    (r"^pos_embed$", "embeddings.position_embeddings"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
    (r"^blocks\.", "encoder.layer."),
    (r"\.attn\.proj\.", ".attention.o_proj."),
    (r"\.attn\.", ".attention."),
    (r"\.ls(\d)\.gamma$", r".layer_scale\1.lambda1"),
    (r"^norm\.", "layernorm."),
)
"""What makes names of transformers' Dinov2Backbone out of the authors', in this order."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DepthAnything3Config(DepthEncoderConfig):
    """Which depth encoder, what it looks at, and what its weights start from."""

    name: ClassVar[str] = "depth_anything_3"
    size: Size = "nano"
    """`large` is the encoder of DA3MONO-LARGE and of DA3METRIC-LARGE. `nano` has no weights of its
    own: they stay random."""
    source: Source = "map"
    """`map`: the batch's depth map as a grey image. `image`: the RGB image, as Depth Anything was
    trained for."""
    resampling: Resampling = "bilinear"
    """How what it looks at is brought to 518 pixels, the size of its position code."""
    pretrained: Pretrained = "random"
    checkpoint: str | None = dataclasses.field(default=None, metadata=LOCATION)
    """Folder of DA3MONO-LARGE or DA3METRIC-LARGE, or its model.safetensors."""
    hub: str | None = None
    """Name on the Hugging Face hub, such as depth-anything/DA3MONO-LARGE."""

    def __post_init__(self) -> None:
        check_source("depth", self.size, self.pretrained, self.checkpoint, self.hub, packaged=False)

    @property
    def width(self) -> int:
        """Channels of the features."""
        return 96 if self.size == "nano" else 1024

    def build(self) -> Dinov2DepthEncoder:
        """See `DepthEncoderConfig.build`."""
        encoder = Dinov2DepthEncoder(encoder_config(self.size), self.resampling, shifted=False)
        encoder.backbone.layernorm.eps = LAST_EPS
        begin_from(self, "depth", read_checkpoint, partial(load_exactly, encoder.backbone))
        return encoder


def encoder_config(size: Size) -> "Dinov2Config":
    """The vision transformer of a size."""
    if size == "nano":
        return backbone_config(96, 4, 3, [4], mask_token=False, side=128, patch=8)
    return backbone_config(1024, 24, 16, [5, 12, 18, 24], mask_token=False)


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The encoder's tensors of a checkpoint under the names of transformers' Dinov2Backbone.

    Args:
        path: as of `DepthAnything3Config.checkpoint`.

    Raises:
        ValueError: no such file, or not one of Depth Anything 3.
    """
    advice = "download depth-anything/DA3MONO-LARGE from Hugging Face"
    tensors = read_published(path, "Depth Anything 3", advice, entry=None)
    own = {n.removeprefix(BACKBONE): x for n, x in tensors.items() if n.startswith(BACKBONE)}
    if not own:
        raise ValueError(
            f"{path} is no Depth Anything 3 checkpoint: none of its tensors is called {BACKBONE}*"
        )
    return {renamed(name, RENAMED): x for name, x in apart(own).items()}
