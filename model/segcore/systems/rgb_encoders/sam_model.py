"""SAM (Kirillov et al., arXiv 2304.02643), by transformers: built at the size of its input, its
weights from Meta's own files or from transformers'.

Shape suffixes: B batch, H W image size, C channels, h w feature size, N boxes, T tokens.
"""

import dataclasses
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor
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
    from transformers import SamModel

LIBRARIES = ("transformers.models.sam.modeling_sam",)
Size = Literal["nano", "vit_b", "vit_l", "vit_h"]
_VISION: Mapping[Size, Mapping[str, Any]] = {
    "nano": {
        "hidden_size": 96,
        "num_hidden_layers": 4,
        "num_attention_heads": 3,
        "global_attn_indexes": (1, 3),
        "window_size": 8,
        "patch_size": 8,
    },
    "vit_b": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12},
    "vit_l": {
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "global_attn_indexes": (5, 11, 17, 23),
    },
    "vit_h": {
        "hidden_size": 1280,
        "num_hidden_layers": 32,
        "num_attention_heads": 16,
        "global_attn_indexes": (7, 15, 23, 31),
    },
}
WIDTHS: Mapping[Size, int] = {"nano": 64, "vit_b": 256, "vit_l": 256, "vit_h": 256}
"""Channels of the image embedding, of the prompts and of the mask decoder."""
PATCHES: Mapping[Size, int] = {"nano": 8, "vit_b": 16, "vit_l": 16, "vit_h": 16}
"""Side of a patch, pixels."""

RENAMED = (
    (r"^image_encoder\.", "vision_encoder."),
    (r"\.patch_embed\.proj\.", ".patch_embed.projection."),
    (r"^vision_encoder\.blocks\.", "vision_encoder.layers."),
    (r"^vision_encoder\.neck\.0\.", "vision_encoder.neck.conv1."),
    (r"^vision_encoder\.neck\.1\.", "vision_encoder.neck.layer_norm1."),
    (r"^vision_encoder\.neck\.2\.", "vision_encoder.neck.conv2."),
    (r"^vision_encoder\.neck\.3\.", "vision_encoder.neck.layer_norm2."),
    (r"\.norm(\d)\.", r".layer_norm\1."),
    (r"\.norm_final_attn\.", ".layer_norm_final_attn."),
    (r"\.point_embeddings\.", ".point_embed."),
    (r"\.mask_downscaling\.0\.", ".mask_embed.conv1."),
    (r"\.mask_downscaling\.1\.", ".mask_embed.layer_norm1."),
    (r"\.mask_downscaling\.3\.", ".mask_embed.conv2."),
    (r"\.mask_downscaling\.4\.", ".mask_embed.layer_norm2."),
    (r"\.mask_downscaling\.6\.", ".mask_embed.conv3."),
    (r"\.output_upscaling\.0\.", ".upscale_conv1."),
    (r"\.output_upscaling\.1\.", ".upscale_layer_norm."),
    (r"\.output_upscaling\.3\.", ".upscale_conv2."),
    (r"(mlps\.\d|iou_prediction_head)\.layers\.0\.", r"\1.proj_in."),
    (r"(mlps\.\d|iou_prediction_head)\.layers\.2\.", r"\1.proj_out."),
    (r"(mlps\.\d|iou_prediction_head)\.layers\.1\.", r"\1.layers.0."),
    (
        r"^prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix$",
        "shared_image_embedding.positional_embedding",
    ),
)
"""What makes names of transformers' SamModel out of those of Meta's files, in this order."""

POSITIONS = (
    "shared_image_embedding.positional_embedding",
    "prompt_encoder.shared_embedding.positional_embedding",
)
"""The matrix that encodes positions, which image and prompts share."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SamWeights:
    """Which SAM, and what its weights start from."""

    size: Size = "nano"
    pretrained: Pretrained = "packaged"
    checkpoint: str | None = dataclasses.field(default=None, metadata=LOCATION)
    """Meta's `sam_vit_{b,l,h}_*.pth`, a safetensors file, or a folder of transformers' SamModel."""
    hub: str | None = None
    """Name on the Hugging Face hub of a SamModel, such as facebook/sam-vit-base."""

    def __post_init__(self) -> None:
        check_source("sam", self.size, self.pretrained, self.checkpoint, self.hub)

    @property
    def width(self) -> int:
        """Channels of the image embedding."""
        return WIDTHS[self.size]

    @property
    def patch(self) -> int:
        """Side of a patch, pixels."""
        return PATCHES[self.size]

    def build(self, side: int) -> "SamModel":
        """The model on the CPU, its weights loaded.

        Args:
            side: of its square input, pixels. Position codes of another size are resized.

        Raises:
            ValueError: the checkpoint cannot be read or does not fit.
        """
        model = build_sam(self.size, side)
        begin_from(self, "sam", read_checkpoint, partial(load_sam, model))
        return model


def build_sam(size: Size, side: int) -> "SamModel":
    """A SAM for square inputs of a size, its weights random.

    Args:
        size: of the vision transformer.
        side: of its input, pixels.
    """
    # Seconds to import: those who build one alone wait for it.
    from transformers import (
        SamConfig,
        SamMaskDecoderConfig,
        SamModel,
        SamPromptEncoderConfig,
        SamVisionConfig,
    )

    width = WIDTHS[size]
    vision = SamVisionConfig(
        image_size=side, output_channels=width, num_pos_feats=width // 2, **_VISION[size]
    )
    # transformers begins with half the encoder's width, and boxes are noise until they are trained;
    # and with an encoder of 1e-10, which passes next to nothing on.
    vision.scale, vision.initializer_range = 1, 0.02
    model = SamModel(
        SamConfig(
            vision_config=vision,
            prompt_encoder_config=SamPromptEncoderConfig(
                hidden_size=width, image_size=side, patch_size=PATCHES[size]
            ),
            mask_decoder_config=SamMaskDecoderConfig(
                hidden_size=width, mlp_dim=8 * width, iou_head_hidden_dim=width
            ),
        )
    )
    matrix = model.shared_image_embedding.positional_embedding.detach()
    for holder in (model.shared_image_embedding, model.prompt_encoder.shared_embedding):
        # A buffer, as Meta has it: transformers has a parameter, which would be trained.
        del holder.positional_embedding
        holder.register_buffer("positional_embedding", matrix.clone())
    return model


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint under the names of transformers' SamModel.

    Args:
        path: Meta's `.pth`, or a safetensors file or its folder with Meta's or transformers' names.

    Raises:
        ValueError: no such file, or not a SAM checkpoint.
    """
    advice = "download sam_vit_b_01ec64.pth from Meta, or the file of the size that is set"
    tensors = read_published(path, "SAM", advice, entry=None)
    if any(name.startswith("image_encoder.") for name in tensors):
        tensors = {renamed(name, RENAMED): x for name, x in tensors.items()}
    if "vision_encoder.pos_embed" not in tensors:
        raise ValueError(
            f"{path} is no SAM checkpoint: it has no tensor image_encoder.pos_embed (as Meta's) or "
            "vision_encoder.pos_embed (as transformers')"
        )
    known = next((tensors[name] for name in POSITIONS if name in tensors), None)
    if known is not None:
        tensors |= dict.fromkeys(POSITIONS, known)
    return tensors


def load_sam(model: "SamModel", tensors: Mapping[str, Tensor], source: str) -> None:
    """Fill a model from tensors of its names, position codes resized to its own grid.

    The absolute code is resized bilinearly, the relative ones of global attention linearly, as
    I-MedSAM does.

    Raises:
        ValueError: what does not fit, by name.
    """
    own = model.state_dict()
    fitted = {
        name: _resized(x, own[name].shape) if name in own and _is_position(name) else x
        for name, x in tensors.items()
    }
    load_exactly(model, fitted, source)


def _is_position(name: str) -> bool:
    return name.endswith((".pos_embed", ".rel_pos_h", ".rel_pos_w"))


def _resized(code: Tensor, shape: torch.Size) -> Tensor:
    """A position code (1, h, w, C) or (2 h - 1, C) on another grid; of another width as it is."""
    if code.shape == shape or code.ndim != len(shape) or code.shape[-1] != shape[-1]:
        return code
    if code.ndim == 2:
        longer = F.interpolate(code.T[None], shape[0], mode="linear", align_corners=False)
        return longer[0].T.contiguous()
    moved = F.interpolate(
        code.permute(0, 3, 1, 2), shape[1:3], mode="bilinear", align_corners=False
    )
    return moved.permute(0, 2, 3, 1).contiguous()
