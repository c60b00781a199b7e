"""SAM2's image encoder (Ravi et al., arXiv 2408.00714): Hiera trunk and FPN neck.

Shape suffixes: B batch, H W image size, C channels, h w feature size.
"""

import dataclasses
import pickle
from importlib import resources
from pathlib import Path
from typing import Literal

import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from pydantic.dataclasses import dataclass
from sam2.modeling.backbones.hieradet import Hiera
from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
from sam2.modeling.position_encoding import PositionEmbeddingSine
from torch import Tensor, nn

from segcore.registry import STRICT
from segcore.systems.pixels import standardise
from segcore.systems.weights import (
    PLACE,
    Pretrained,
    check_source,
    load_exactly,
    moves,
    packaged,
    read_safetensors,
)

STRIDES = (4, 8, 16)
"""Input pixels per feature, for each level that the neck hands out, finest first."""

SIZE_MULTIPLE = 32
"""Hiera tiles an 8 x 8 position code over its grid of 4 x 4 pixel patches."""

Size = Literal["nano", "hiera_large"]

WIDTHS: dict[Size, int] = {"nano": 64, "hiera_large": 256}
"""Channels of every level of the neck."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Sam2Config:
    """Which SAM2 image encoder, and what its weights start from."""

    size: Size = "nano"
    """`hiera_large` is SAM2.1's largest, from the sam2 package's own YAML file."""
    pretrained: Pretrained = "packaged"
    checkpoint: str | None = dataclasses.field(default=None, metadata=PLACE)
    """Meta's `sam2.1_*.pt`, or a safetensors file with the same names."""
    standardise: bool = True
    """Take out ImageNet's mean and standard deviation, as SAM2 was trained. SRFT-GaLore's code
    feeds [0, 1]."""

    def __post_init__(self) -> None:
        check_source("sam2", self.size, self.pretrained, self.checkpoint)

    @property
    def width(self) -> int:
        """Channels of every level."""
        return WIDTHS[self.size]

    def build(self) -> "Sam2Encoder":
        """The encoder on the CPU, its weights loaded.

        Raises:
            ValueError: the checkpoint cannot be read or does not fit.
        """
        encoder = Sam2Encoder(self)
        if self.pretrained == "packaged":
            load_exactly(encoder, packaged("nano_sam2"), "the package")
        elif self.checkpoint is not None:
            load_exactly(encoder, read_checkpoint(Path(self.checkpoint)), self.checkpoint)
        return encoder


def build_nano() -> nn.Module:
    """A SAM2 image encoder of 1.45 M parameters."""
    trunk = Hiera(
        embed_dim=32,
        num_heads=1,
        stages=(1, 2, 3, 1),
        window_spec=(8, 4, 8, 4),
        global_att_blocks=(5,),
        window_pos_embed_bkg_spatial_size=(7, 7),
    )
    neck = FpnNeck(
        position_encoding=PositionEmbeddingSine(num_pos_feats=WIDTHS["nano"]),
        d_model=WIDTHS["nano"],
        backbone_channel_list=trunk.channel_list,
        fpn_top_down_levels=[2, 3],
        fpn_interp_model="nearest",
    )
    encoder: nn.Module = ImageEncoder(trunk=trunk, neck=neck, scalp=1)
    return encoder


def build_hiera_large() -> nn.Module:
    """SAM2.1's Hiera-L image encoder, as the sam2 package describes it."""
    path = resources.files("sam2") / "configs" / "sam2.1" / "sam2.1_hiera_l.yaml"
    with path.open() as file:
        node = OmegaConf.load(file).model.image_encoder
    encoder: nn.Module = instantiate(node)
    return encoder


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The image encoder's tensors of a checkpoint, names from `image_encoder.` on.

    Raises:
        ValueError: no such file, or not a SAM2 checkpoint.
    """
    if not path.is_file():
        raise ValueError(f"no SAM2 checkpoint at {path}: download sam2.1_hiera_large.pt from Meta")
    if path.suffix == ".safetensors":
        tensors = read_safetensors(path)
    else:
        try:
            # Meta publishes pickles; weights_only refuses everything in them but tensors.
            content = torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            raise ValueError(
                f"{path} is damaged, or holds more than tensors, which is never read: "
                "download it again from Meta"
            ) from error
        if "model" not in content:
            raise ValueError(f"{path} is no SAM2 checkpoint: it has no entry 'model'")
        tensors = content["model"]
    return {name: x for name, x in tensors.items() if name.startswith("image_encoder.")}


class Sam2Encoder(nn.Module):
    """Image in, feature maps of equal width at strides 4, 8 and 16 out."""

    def __init__(self, config: Sam2Config) -> None:
        super().__init__()
        # The attribute's name makes ours the names of Meta's checkpoint.
        self.image_encoder = build_nano() if config.size == "nano" else build_hiera_large()
        self._standardise = config.standardise

    def forward(self, image_B3HW: Tensor) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """Feature maps (B, C, h, w) by stride, and their sine position codes alike.

        Args:
            image_B3HW: RGB in [0, 1], sides multiples of 32.
        """
        with torch.set_grad_enabled(moves(self)):
            x = standardise(image_B3HW) if self._standardise else image_B3HW
            output = self.image_encoder(x)
        features = dict(zip(STRIDES, output["backbone_fpn"], strict=True))
        positions = dict(zip(STRIDES, output["vision_pos_enc"], strict=True))
        return features, positions

    def projections(self, *, mlp: bool) -> dict[str, nn.Linear]:
        """The trunk's linear maps by module path: attention's fused qkv and output, and the
        MLPs' if asked for. The shortcut projections between stages are not among them."""
        return {
            name: module
            for name, module in self.named_modules()
            if isinstance(module, nn.Linear) and (".attn." in name or (mlp and ".mlp." in name))
        }
