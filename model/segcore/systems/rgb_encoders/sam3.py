"""`sam3`: SAM3's vision encoder (Carion et al., arXiv 2511.16719), a vision transformer and the
neck that brings its one scale to three, by transformers.

Shape suffixes: B batch, H W image size, C channels.
"""

import dataclasses
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor
from transformers import Sam3VisionConfig, Sam3VisionModel, Sam3ViTConfig

from segcore.registry import STRICT
from segcore.systems.pixels import Standardise, resize, taken_out
from segcore.systems.rgb_encoders.pyramid import multiple_for, side_seen, stride_of
from segcore.systems.rgb_encoders.rgb_encoder import STRIDES, Levels, RgbEncoder, RgbEncoderConfig
from segcore.systems.system import Published
from segcore.systems.weights import (
    LOCATION,
    Pretrained,
    apart,
    begin_from,
    check_source,
    load_exactly,
    moves,
    read_published,
    renamed,
)

Size = Literal["nano", "vit_l"]
_VIT: Mapping[Size, Mapping[str, Any]] = {
    "nano": {
        "hidden_size": 96,
        "intermediate_size": 384,
        "num_hidden_layers": 4,
        "num_attention_heads": 3,
        "global_attn_indexes": [1, 3],
        "window_size": 8,
        "patch_size": 8,
        "pretrain_image_size": 64,
    },
    "vit_l": {},  # transformers' defaults
}
WIDTHS: Mapping[Size, int] = {"nano": 64, "vit_l": 256}
"""Channels of every level of the neck."""
MEAN = STD = (0.5, 0.5, 0.5)
"""Of the pixels that SAM3 was trained on."""

RENAMED = (
    (r"^detector\.backbone\.vision_backbone\.trunk\.", "backbone."),
    (r"^detector\.backbone\.vision_backbone\.convs\.", "neck.fpn_layers."),
    (r"^backbone\.pos_embed$", "backbone.embeddings.position_embeddings"),
    (r"^backbone\.patch_embed\.proj\.", "backbone.embeddings.patch_embeddings.projection."),
    (r"^backbone\.ln_pre\.", "backbone.layer_norm."),
    (r"^backbone\.blocks\.", "backbone.layers."),
    (r"\.norm(\d)\.", r".layer_norm\1."),
    (r"\.attn\.proj\.", ".attention.o_proj."),
    (r"\.attn\.", ".attention."),
    (r"\.dconv_2x2(_0)?\.", ".scale_layers.0."),
    (r"\.dconv_2x2_1\.", ".scale_layers.2."),
    (r"\.conv_1x1\.", ".proj1."),
    (r"\.conv_3x3\.", ".proj2."),
)
"""What makes names of transformers' Sam3VisionModel out of those of Meta's file, in this order."""

META = ("detector.backbone.vision_backbone.trunk.", "detector.backbone.vision_backbone.convs.")
"""What the encoder's tensors begin with in Meta's file; the neck beside it, `sam2_convs`, is the
tracker's."""
TRANSFORMERS = r"^(detector_model\.)?vision_encoder\."
"""What they begin with in a file of transformers' Sam3VideoModel or Sam3Model."""
UNREAD = "neck.fpn_layers.3."
"""The neck's level at stride 32, which SAM3's own image model leaves out too."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Sam3EncoderConfig(RgbEncoderConfig):
    """Which SAM3, and what its weights start from.

    Its patches have 14 pixels: it sees the image at 14/16 of the system's size, so that its levels
    are at strides of 4, 8 and 16. The 1008 pixels that it was trained at are an `image_size` of
    1152.
    """

    name: ClassVar[str] = "sam3"
    size: Size = "nano"
    """`vit_l` is the published one, of 453 M parameters. `nano` has patches of 8 pixels and no
    weights of its own: they stay random."""
    pretrained: Pretrained = "random"
    checkpoint: str | None = dataclasses.field(default=None, metadata=LOCATION)
    """Meta's `sam3.pt`, a safetensors file, or a folder of transformers' Sam3Model, Sam3VideoModel
    or Sam3VisionModel."""
    hub: str | None = None
    """Name on the Hugging Face hub, such as facebook/sam3."""

    def __post_init__(self) -> None:
        check_source("sam3", self.size, self.pretrained, self.checkpoint, self.hub, packaged=False)

    @property
    def width(self) -> int:
        """Channels of every level."""
        return WIDTHS[self.size]

    @property
    def size_multiple(self) -> int:
        """What a side of its input must be a multiple of, pixels."""
        return multiple_for(_patch(self.size))

    def build(self, side: int) -> "Sam3Encoder":
        """See `RgbEncoderConfig.build`. Absolute positions are repeated like tiles, and those of
        global attention stretched, as SAM3 does."""
        encoder = Sam3Encoder(self.size, side)
        load = partial(load_exactly, encoder.model)
        begin_from(self, "sam3", read_checkpoint, load)
        return encoder


def _patch(size: Size) -> int:
    """Side of a patch, pixels."""
    vit: Any = Sam3ViTConfig(**_VIT[size])
    return int(vit.patch_size)


def build_sam3(size: Size, side: int) -> Any:
    """The vision encoder for square inputs, its weights random.

    Args:
        size: of the transformer.
        side: of its input, pixels.
    """
    vit: Any = Sam3ViTConfig(image_size=side, **_VIT[size])
    scales = [stride_of(vit.patch_size) / stride for stride in STRIDES]
    grid = side // vit.patch_size
    return Sam3VisionModel(
        Sam3VisionConfig(
            backbone_config=vit,
            fpn_hidden_size=WIDTHS[size],
            scale_factors=scales,
            backbone_feature_sizes=[[round(grid * s), round(grid * s)] for s in scales],
        )
    )


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The vision encoder's tensors of a checkpoint under the names of transformers'
    Sam3VisionModel.

    Args:
        path: as of `Sam3EncoderConfig.checkpoint`.

    Raises:
        ValueError: no such file, or not a SAM3 checkpoint.
    """
    advice = "download sam3.pt from Meta, or the folder facebook/sam3 from Hugging Face"
    tensors = read_published(path, "SAM3", advice, entry=None, perhaps=("model",))
    if any(name.startswith(META) for name in tensors):
        found = _from_meta({name: x for name, x in tensors.items() if name.startswith(META)})
    else:
        whole = {
            renamed(name, ((TRANSFORMERS, "vision_encoder."),)): x for name, x in tensors.items()
        }
        of_whole = {n: x for n, x in whole.items() if n.startswith("vision_encoder.")}
        found = {n.removeprefix("vision_encoder."): x for n, x in (of_whole or whole).items()}
    if "backbone.embeddings.position_embeddings" not in found:
        raise ValueError(
            f"{path} is no SAM3 checkpoint: none of its tensors is called {META[0]}pos_embed (as "
            "Meta's) or vision_encoder.backbone.embeddings.position_embeddings (as transformers')"
        )
    return {name: x for name, x in found.items() if not name.startswith(UNREAD)}


def _from_meta(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """q, k and v come apart; the position of a class token that is never there, and what is
    computed, are left out."""
    weights = {name: x for name, x in tensors.items() if not name.endswith(".attn.freqs_cis")}
    found = {renamed(name, RENAMED): x for name, x in apart(weights).items()}
    code = "backbone.embeddings.position_embeddings"
    if code in found:
        found[code] = found[code][:, 1:]
    return found


class Sam3Encoder(RgbEncoder):
    """SAM3's vision encoder: nothing of it is new."""

    def __init__(self, size: Size, side: int) -> None:
        super().__init__()
        self._side = side_seen(side, _patch(size))
        self.model, self.standardise = build_sam3(size, self._side), Standardise(MEAN, STD)

    def forward(self, image_B3HW: Tensor) -> tuple[Levels, Levels]:
        """See `RgbEncoder.forward`."""
        with torch.set_grad_enabled(moves(self)):
            seen_B3HW = resize(image_B3HW, (self._side, self._side))
            output = self.model(self.standardise(seen_B3HW))
        features = dict(zip(STRIDES, output.fpn_hidden_states, strict=True))
        return features, dict(zip(STRIDES, output.fpn_position_encoding, strict=True))

    def published(self) -> Published:
        """A Sam3VisionModel of transformers', without the level at stride 32."""
        pixels, size = taken_out(MEAN, STD), (self._side, self._side)
        return Published(self.model, "SAM3's vision encoder", pixels, size)
