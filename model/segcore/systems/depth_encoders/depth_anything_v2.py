"""`depth_anything_v2`: Depth Anything V2's encoder (Yang et al., arXiv 2406.09414), a DINOv2 vision
transformer, by transformers."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from segcore.registry import STRICT
from segcore.systems.depth_encoders.depth_encoder import DepthEncoderConfig, Source
from segcore.systems.depth_encoders.dinov2 import Dinov2DepthEncoder, backbone_config
from segcore.systems.pixels import Resampling
from segcore.systems.weights import (
    LOCATION,
    Pretrained,
    check_source,
    from_hub,
    load_exactly,
    not_finite,
    packaged,
    read_safetensors,
    refuse_misfits,
)

if TYPE_CHECKING:
    from transformers import DepthAnythingConfig, Dinov2Config
    from transformers.models.dinov2 import Dinov2Backbone

LIBRARIES = ("transformers.models.dinov2.modeling_dinov2",)
Size = Literal["nano", "small", "base", "large"]
WIDTHS: Mapping[Size, int] = {"nano": 96, "small": 384, "base": 768, "large": 1024}
"""Channels of the features."""
_HEADS: Mapping[Size, Mapping[str, Any]] = {
    "small": {"neck_hidden_sizes": [48, 96, 192, 384], "fusion_hidden_size": 64},
    "base": {"neck_hidden_sizes": [96, 192, 384, 768], "fusion_hidden_size": 128},
    "large": {"neck_hidden_sizes": [256, 512, 1024, 1024], "fusion_hidden_size": 256},
}
"""What Depth Anything has behind the encoder: it is read, and left out."""


def encoder_config(size: Size) -> "Dinov2Config":
    """The vision transformer of a size; those but `nano` are Depth Anything V2's."""
    width = WIDTHS[size]
    if size == "nano":
        # Patches of 14 would leave an image of 128 too few tokens to place an edge.
        return backbone_config(width, 4, 3, [4], mask_token=False, side=128, patch=8)
    if size == "large":
        return backbone_config(width, 24, 16, [5, 12, 18, 24], mask_token=True)
    return backbone_config(width, 12, width // 64, [3, 6, 9, 12], mask_token=True)


def network_config(size: Size) -> "DepthAnythingConfig":
    """The whole network of a size."""
    from transformers import DepthAnythingConfig  # seconds, for those who read one alone

    return DepthAnythingConfig(
        backbone_config=encoder_config(size), reassemble_hidden_size=WIDTHS[size], **_HEADS[size]
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DepthAnythingV2Config(DepthEncoderConfig):
    """Which depth encoder, what it looks at, and what its weights start from."""

    name: ClassVar[str] = "depth_anything_v2"
    size: Size = "nano"
    """Those but `nano` are the encoders of Depth-Anything-V2-Small, -Base and -Large."""
    source: Source = "map"
    """`map`: the batch's depth map as a grey image. `image`: the RGB image, as Depth Anything was
    trained for and as SRFT-GaLore's code does, whose depth input is unused."""
    shifted: bool = False
    """Keep the class token as the first feature and leave out the last patch: every feature moves
    by one place. SRFT-GaLore's code does."""
    resampling: Resampling = "bilinear"
    """How what it looks at is brought to its size. Depth Anything's own processor does so
    bicubically."""
    pretrained: Pretrained = "packaged"
    checkpoint: str | None = dataclasses.field(default=None, metadata=LOCATION)
    """Folder such as Depth-Anything-V2-Small-hf, or a safetensors file (`nano`)."""
    hub: str | None = None
    """Name on the Hugging Face hub, such as depth-anything/Depth-Anything-V2-Small-hf."""

    def __post_init__(self) -> None:
        check_source("depth", self.size, self.pretrained, self.checkpoint, self.hub)

    @property
    def width(self) -> int:
        """Channels of the features."""
        return WIDTHS[self.size]

    def build(self) -> Dinov2DepthEncoder:
        """See `DepthEncoderConfig.build`."""
        config = encoder_config(self.size)
        encoder = Dinov2DepthEncoder(config, self.resampling, shifted=self.shifted)
        if self.pretrained == "packaged":
            load_exactly(encoder, packaged("nano_depth"), "the package")
        elif self.checkpoint is not None and self.size == "nano":
            load_exactly(encoder, read_file(Path(self.checkpoint)), self.checkpoint)
        elif self.checkpoint is not None:
            encoder.backbone = read_folder(Path(self.checkpoint), self.size)
        elif self.hub is not None:
            encoder.backbone = read_folder(from_hub(self.hub), self.size)
        return encoder


def read_file(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        ValueError: no such file.
    """
    if not path.is_file():
        raise ValueError(f"no weights at {path}: write them with python -m segcore.pretrain")
    return read_safetensors(path)


def read_folder(folder: Path, size: Size) -> "Dinov2Backbone":
    """The encoder in a folder such as Depth-Anything-V2-Small-hf.

    Raises:
        ValueError: no such folder, or its weights do not fit.
    """
    if not (folder / "model.safetensors").is_file():
        raise ValueError(
            f"no model.safetensors in {folder}: "
            f"download depth-anything/Depth-Anything-V2-{size.capitalize()}-hf from Hugging Face"
        )
    # from_pretrained knows the names of every transformers version. The whole network is read,
    # so that a name is unused only if Depth Anything does not know it.
    read_safetensors(folder / "model.safetensors")  # says what is wrong with a damaged file
    from transformers import DepthAnythingForDepthEstimation

    loaded: Any = DepthAnythingForDepthEstimation.from_pretrained(
        folder,
        config=network_config(size),
        local_files_only=True,
        use_safetensors=True,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
        dtype=torch.float32,
    )
    model, info = loaded
    refuse_misfits(
        str(folder),
        missing=sorted(info["missing_keys"]),
        unused=sorted(info["unexpected_keys"]),
        misshapen=[
            f"{name} {tuple(found)} instead of {tuple(wanted)}"
            for name, found, wanted in sorted(info["mismatched_keys"])
        ],
        damaged=not_finite(model.state_dict()),
    )
    backbone: Dinov2Backbone = model.backbone
    return backbone
