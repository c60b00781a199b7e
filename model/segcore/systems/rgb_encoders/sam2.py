"""`sam2`: SAM2's image encoder (Ravi et al., arXiv 2408.00714): Hiera trunk and FPN neck.

Shape suffixes: B batch, H W image size, C channels, h w feature size.
"""

import dataclasses
from collections.abc import Mapping
from functools import partial
from importlib import resources
from pathlib import Path
from typing import ClassVar, Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from segcore.registry import STRICT
from segcore.systems.pixels import AS_IT_IS, Standardise, taken_out
from segcore.systems.rgb_encoders.rgb_encoder import STRIDES, Levels, RgbEncoder, RgbEncoderConfig
from segcore.systems.system import Published
from segcore.systems.weights import (
    LOCATION,
    Pretrained,
    begin_from,
    check_source,
    load_exactly,
    moves,
    read_published,
    renamed,
)

LIBRARIES = (
    "hydra.utils",
    "omegaconf",
    "sam2.modeling.backbones.image_encoder",
    "sam2.modeling.backbones.hieradet",
    "sam2.modeling.position_encoding",
)
SIZE_MULTIPLE = 32
"""Hiera tiles an 8 x 8 position code over its grid of 4 x 4 pixel patches."""

Size = Literal["nano", "hiera_tiny", "hiera_small", "hiera_base_plus", "hiera_large"]

CONFIGS: Mapping[Size, str] = {
    "hiera_tiny": "sam2.1_hiera_t.yaml",
    "hiera_small": "sam2.1_hiera_s.yaml",
    "hiera_base_plus": "sam2.1_hiera_b+.yaml",
    "hiera_large": "sam2.1_hiera_l.yaml",
}
"""The sam2 package's own description of each of SAM2.1's sizes."""

WIDTHS: Mapping[Size, int] = {"nano": 64, **dict.fromkeys(CONFIGS, 256)}
"""Channels of every level of the neck."""

RENAMED = (
    (r"^vision_encoder\.backbone\.", "image_encoder.trunk."),
    (r"^vision_encoder\.neck\.convs\.(\d+)\.", r"image_encoder.neck.convs.\1.conv."),
    (r"\.patch_embed\.projection\.", ".patch_embed.proj."),
    (r"\.layer_norm([12])\.", r".norm\1."),
    (r"\.mlp\.proj_in\.", ".mlp.layers.0."),
    (r"\.mlp\.proj_out\.", ".mlp.layers.1."),
)
"""What makes names of the sam2 package out of those of transformers' Sam2Model, in this order."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Sam2Config(RgbEncoderConfig):
    """Which SAM2 image encoder, and what its weights start from."""

    name: ClassVar[str] = "sam2"
    size: Size = "nano"
    """Those from `hiera_tiny` to `hiera_large` are SAM2.1's."""
    pretrained: Pretrained = "packaged"
    checkpoint: str | None = dataclasses.field(default=None, metadata=LOCATION)
    """Meta's `sam2.1_*.pt`, a safetensors file, or a folder of transformers' Sam2Model."""
    hub: str | None = None
    """Name on the Hugging Face hub of a Sam2Model, such as facebook/sam2.1-hiera-large."""
    standardise: bool = True
    """Take out ImageNet's mean and standard deviation, as SAM2 was trained. SRFT-GaLore's code
    feeds [0, 1]."""

    def __post_init__(self) -> None:
        check_source("sam2", self.size, self.pretrained, self.checkpoint, self.hub)

    @property
    def width(self) -> int:
        """Channels of every level."""
        return WIDTHS[self.size]

    @property
    def size_multiple(self) -> int:
        """What a side of its input must be a multiple of, pixels."""
        return SIZE_MULTIPLE

    def build(self, side: int | None = None) -> "Sam2Encoder":
        """The encoder on the CPU, its weights loaded.

        Args:
            side: of its input, which need not be known: it is one network for every size.

        Raises:
            ValueError: the checkpoint cannot be read or does not fit.
        """
        encoder = Sam2Encoder(self)
        begin_from(self, "sam2", read_checkpoint, partial(load_exactly, encoder))
        return encoder


def build_nano() -> nn.Module:
    """A SAM2 image encoder of 1.45 M parameters."""
    # The package takes a while to import: those who build one alone wait for it.
    from sam2.modeling.backbones.hieradet import Hiera
    from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
    from sam2.modeling.position_encoding import PositionEmbeddingSine

    trunk = Hiera(
        embed_dim=32,
        num_heads=1,
        stages=(1, 2, 3, 1),
        window_spec=(8, 4, 8, 4),
        global_att_blocks=(5,),
        window_pos_embed_bkg_spatial_size=(7, 7),
    )
    neck = FpnNeck(
        position_encoding=PositionEmbeddingSine(num_pos_feats=WIDTHS["nano"], warmup_cache=False),
        d_model=WIDTHS["nano"],
        backbone_channel_list=trunk.channel_list,
        fpn_top_down_levels=[2, 3],
        fpn_interp_model="nearest",
    )
    encoder: nn.Module = ImageEncoder(trunk=trunk, neck=neck, scalp=1)
    return encoder


def build_hiera(size: Size) -> nn.Module:
    """One of SAM2.1's image encoders, as the sam2 package describes it."""
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    path = resources.files("sam2") / "configs" / "sam2.1" / CONFIGS[size]
    with path.open() as file:
        node = OmegaConf.load(file).model.image_encoder
    # Else it computes position codes on a GPU wherever there is one, and so takes memory there, in
    # processes too that only look whether a study is in order.
    encoder: nn.Module = instantiate(node, neck={"position_encoding": {"warmup_cache": False}})
    return encoder


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The image encoder's tensors of a checkpoint, names from `image_encoder.` on.

    Args:
        path: Meta's `.pt`, or a safetensors file or its folder with Meta's or transformers' names.

    Raises:
        ValueError: no such file, or not a SAM2 checkpoint.
    """
    tensors = {sam2_name(name): x for name, x in read_everything(path).items()}
    own = {name: x for name, x in tensors.items() if name.startswith("image_encoder.")}
    if not own:
        raise ValueError(
            f"{path} is no SAM2 checkpoint: none of its tensors is called image_encoder.* (as "
            "Meta's) or vision_encoder.* (as transformers')"
        )
    return own


def read_everything(path: Path) -> dict[str, Tensor]:
    """Every tensor of a checkpoint, under the names of its file. Arguments as `read_checkpoint`.

    Raises:
        ValueError: no such file, or a damaged one.
    """
    advice = "download sam2.1_hiera_large.pt from Meta, or the file of the size that is set"
    return read_published(path, "SAM2", advice, entry="model")


def sam2_name(name: str) -> str:
    """The sam2 package's name of a tensor of transformers' Sam2Model; others stay as they are."""
    return renamed(name, RENAMED) if name.startswith("vision_encoder.") else name


class Sam2Encoder(RgbEncoder):
    """SAM2's trunk and neck: nothing of it is new."""

    def __init__(self, config: Sam2Config) -> None:
        super().__init__()
        # The attribute's name makes ours the names of Meta's checkpoint.
        self.image_encoder = build_nano() if config.size == "nano" else build_hiera(config.size)
        self.standardise = Standardise() if config.standardise else None

    def forward(self, image_B3HW: Tensor) -> tuple[Levels, Levels]:
        """See `RgbEncoder.forward`; of any size whose sides are multiples of 32."""
        with torch.set_grad_enabled(moves(self)):
            x = image_B3HW if self.standardise is None else self.standardise(image_B3HW)
            output = self.image_encoder(x)
        features = dict(zip(STRIDES, output["backbone_fpn"], strict=True))
        positions = dict(zip(STRIDES, output["vision_pos_enc"], strict=True))
        return features, positions

    def published(self) -> Published:
        """All of it, under the names of Meta's checkpoints."""
        pixels = AS_IT_IS if self.standardise is None else taken_out()
        return Published(self, "SAM2's image encoder", pixels)
