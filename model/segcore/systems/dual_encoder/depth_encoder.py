"""Depth Anything V2's encoder (Yang et al., arXiv 2406.09414): a DINOv2 vision transformer.

Shape suffixes: B batch, H W image size, L tokens, C channels, h w token grid.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config
from transformers.models.dinov2 import Dinov2Backbone

from segcore.registry import STRICT
from segcore.systems.features import KEPT_BYTES, KeptFeatures
from segcore.systems.pixels import Resampling, resize, standardise
from segcore.systems.weights import (
    LOCATION,
    Pretrained,
    check_source,
    from_hub,
    load_exactly,
    moves,
    not_finite,
    packaged,
    read_safetensors,
    refuse_misfits,
)

Size = Literal["nano", "small"]
Source = Literal["map", "image"]

INPUTS: dict[Size, int] = {"nano": 128, "small": 518}
"""Side of the image that an encoder sees, pixels."""

# Depth Anything's 14 would leave an image of 128 too few tokens to place an edge.
PATCHES: dict[Size, int] = {"nano": 8, "small": 14}
"""Side of the square that becomes one token, pixels."""

WIDTHS: dict[Size, int] = {"nano": 96, "small": 384}
"""Channels of the features."""


def backbone_config(size: Size) -> Dinov2Config:
    """The vision transformer of a size; `small` is Depth-Anything-V2-Small's."""
    nano = size == "nano"
    return Dinov2Config.from_dict(
        {
            "image_size": INPUTS[size],
            "patch_size": PATCHES[size],
            "hidden_size": WIDTHS[size],
            "num_hidden_layers": 4 if nano else 12,
            "num_attention_heads": 3 if nano else 6,
            "mlp_ratio": 4,
            # Depth Anything's own head reads four layers; only the last is used here.
            "out_indices": [4] if nano else [3, 6, 9, 12],
            "reshape_hidden_states": False,
            "use_mask_token": not nano,
        }
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DepthConfig:
    """Which depth encoder, what it looks at, and what its weights start from."""

    size: Size = "nano"
    """`small` is the encoder of Depth-Anything-V2-Small."""
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
    """Folder of Depth-Anything-V2-Small-hf (`small`), or a safetensors file (`nano`)."""
    hub: str | None = None
    """Name on the Hugging Face hub, such as depth-anything/Depth-Anything-V2-Small-hf."""

    def __post_init__(self) -> None:
        check_source("depth", self.size, self.pretrained, self.checkpoint, self.hub)

    @property
    def width(self) -> int:
        """Channels of the features."""
        return WIDTHS[self.size]

    def build(self) -> "DepthEncoder":
        """The encoder on the CPU, its weights loaded.

        Raises:
            ValueError: the checkpoint cannot be read or does not fit.
        """
        encoder = DepthEncoder(self)
        if self.pretrained == "packaged":
            load_exactly(encoder, packaged("nano_depth"), "the package")
        elif self.checkpoint is not None and self.size == "nano":
            load_exactly(encoder, read_file(Path(self.checkpoint)), self.checkpoint)
        elif self.checkpoint is not None:
            encoder.backbone = read_folder(Path(self.checkpoint))
        elif self.hub is not None:
            encoder.backbone = read_folder(from_hub(self.hub, "depth"))
        return encoder


def read_file(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        ValueError: no such file.
    """
    if not path.is_file():
        raise ValueError(f"no weights at {path}: write them with python -m segcore.pretrain")
    return read_safetensors(path)


def read_folder(folder: Path) -> Dinov2Backbone:
    """The encoder in a folder of Depth-Anything-V2-Small-hf.

    Raises:
        ValueError: no such folder, or its weights do not fit.
    """
    if not (folder / "model.safetensors").is_file():
        raise ValueError(
            f"no model.safetensors in {folder}: "
            "download depth-anything/Depth-Anything-V2-Small-hf from Hugging Face"
        )
    # from_pretrained knows the names of every transformers version. The whole network is read,
    # so that a name is unused only if Depth Anything does not know it.
    read_safetensors(folder / "model.safetensors")  # says what is wrong with a damaged file
    loaded: Any = DepthAnythingForDepthEstimation.from_pretrained(
        folder,
        config=DepthAnythingConfig(backbone_config=backbone_config("small")),
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


class DepthEncoder(nn.Module):
    """RGB or a depth map in, one feature map out.

    While no parameter moves, features of named images are kept (see `KeptFeatures`). Weights of a
    frozen encoder change by `load_state_dict` alone, which forgets them.
    """

    def __init__(self, config: DepthConfig) -> None:
        super().__init__()
        self.backbone = Dinov2Backbone(backbone_config(config.size))
        self._input = INPUTS[config.size]
        self._side = INPUTS[config.size] // PATCHES[config.size]
        self._resampling = config.resampling
        self._first = 0 if config.shifted else 1  # the class token comes before the patches
        self._kept = KeptFeatures()
        self.register_load_state_dict_post_hook(  # type: ignore[no-untyped-call]
            lambda encoder, _: encoder._kept.clear()
        )

    @property
    def frozen(self) -> bool:
        """Whether no parameter moves."""
        return not any(p.requires_grad for p in self.parameters())

    def forward(self, image_B3HW: Tensor, hashes: Sequence[str] | None = None) -> Tensor:
        """Features (B, C, h, w) of the last layer, normalised.

        Args:
            image_B3HW: in [0, 1]; resized to the size that the encoder was pretrained at.
            hashes: of each image, where it may come again.
        """
        if not self.frozen:
            self._kept.clear()
        with torch.set_grad_enabled(moves(self)):
            if hashes is None or not self.frozen:
                tokens_BLC = self._tokens(image_B3HW)
            else:
                # Evaluation sees each image in every epoch, training only some forms of it.
                most_bytes = KEPT_BYTES // 2 if self.training else KEPT_BYTES
                tokens_BLC = self._kept.of(self._tokens, image_B3HW, hashes, most_bytes)
            tokens_BLC = tokens_BLC[:, self._first : self._first + self._side**2]
        return tokens_BLC.transpose(1, 2).reshape(len(tokens_BLC), -1, self._side, self._side)

    def _tokens(self, image_B3HW: Tensor) -> Tensor:
        """The class token and all patches, (B, 1 + h * w, C)."""
        x_B3HW = standardise(resize(image_B3HW, (self._input, self._input), self._resampling))
        tokens_BLC: Tensor = self.backbone(x_B3HW).feature_maps[-1]
        return tokens_BLC
