"""`timm_vit`: any plain vision transformer of timm's, whose one scale a pyramid brings to three.

Shape suffixes: B batch, H W image size, C channels, h w grid of patches.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import timm
import torch
from pydantic.dataclasses import dataclass
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.models import Eva, VisionTransformer
from torch import Tensor, nn

from segcore.registry import STRICT
from segcore.systems.pixels import IMAGENET_MEAN, IMAGENET_STD
from segcore.systems.rgb_encoders.pyramid import PyramidEncoder, multiple_for, side_seen
from segcore.systems.rgb_encoders.rgb_encoder import RgbEncoderConfig
from segcore.systems.rgb_encoders.vit import build_vit, load_vit
from segcore.systems.rgb_encoders.vit import read_checkpoint as read_nano
from segcore.systems.system import Published
from segcore.systems.weights import (
    LOCATION,
    Pretrained,
    begin_from,
    check_source,
    load_exactly,
    read_published,
)

NANO = "nano"
"""This project's own transformer, the one that WEFT's small presets have."""
UNREAD = ("head.", "head_drop.", "fc_norm.", "attn_pool.", "mask_token")
"""What names of tensors begin with that classifiers and pretraining have, and no encoder."""


class _Shape(NamedTuple):
    """What a transformer's configuration needs to know of it before it is built."""

    patch: int
    channels: int
    mean: Sequence[float]
    std: Sequence[float]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TimmVitConfig(RgbEncoderConfig):
    """Which transformer, and what its weights start from."""

    name: ClassVar[str] = "timm_vit"
    model: str = NANO
    """timm's name of a VisionTransformer or Eva, such as `vit_base_patch14_dinov2.lvd142m` or
    `vit_base_patch16_dinov3.lvd1689m`: its pixels are standardised as timm says of that name.
    `nano`: this project's own."""
    pretrained: Pretrained = "packaged"
    checkpoint: str | None = dataclasses.field(default=None, metadata=LOCATION)
    """Folder or file as timm publishes it: model.safetensors, or a pickle of nothing but tensors by
    timm's names, as Meta's `dinov2_vit*14_pretrain.pth` is."""
    hub: str | None = None
    """Name on the Hugging Face hub, such as timm/vit_base_patch14_dinov2.lvd142m."""

    def __post_init__(self) -> None:
        if self.model != NANO and not timm.is_model(self.model):
            raise ValueError(
                f"timm_vit: timm has no {self.model!r}: choose one that "
                "timm.list_models('vit*') lists, or 'nano'"
            )
        check_source("timm_vit", self.model, self.pretrained, self.checkpoint, self.hub)
        _shape(self.model)

    @property
    def width(self) -> int:
        """Channels of every level."""
        return 64 if self.model == NANO else 256

    @property
    def size_multiple(self) -> int:
        """What a side of its input must be a multiple of, pixels."""
        return multiple_for(_shape(self.model).patch)

    def build(self, side: int) -> "TimmVitEncoder":
        """See `RgbEncoderConfig.build`. Absolute positions of another size are resized."""
        shape = _shape(self.model)
        seen = side_seen(side, shape.patch)
        if self.model == NANO:
            vit: Any = build_vit("nano", seen)
            begin_from(self, "vit", read_nano, partial(load_vit, vit))
        else:
            vit = timm.create_model(self.model, img_size=seen, num_classes=0)
            vit.fc_norm, vit.attn_pool = nn.Identity(), None
            begin_from(self, "timm_vit", read_checkpoint, partial(_load, vit))
        return TimmVitEncoder(
            vit,
            self.model,
            side=side,
            patch=shape.patch,
            channels=shape.channels,
            width=self.width,
            mean=shape.mean,
            std=shape.std,
        )


@functools.cache
def _shape(model: str) -> _Shape:
    """Of a model by name.

    Raises:
        ValueError: it is no plain vision transformer.
    """
    if model == NANO:
        return _Shape(16, 128, IMAGENET_MEAN, IMAGENET_STD)
    with torch.device("meta"):
        vit: Any = timm.create_model(model, num_classes=0)
    if type(vit) not in (VisionTransformer, Eva):
        raise ValueError(
            f"timm_vit: {model!r} is a {type(vit).__name__}, and no plain vision transformer "
            "(VisionTransformer or Eva): choose another of timm.list_models('vit*')"
        )
    height, width = vit.patch_embed.patch_size
    assert height == width, "timm has no plain transformer of other patches"
    cfg: Any = timm.get_pretrained_cfg(model)
    return _Shape(height, vit.embed_dim, tuple(cfg.mean), tuple(cfg.std))


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The encoder's tensors of a checkpoint, under timm's names.

    Raises:
        ValueError: no such file, or one that holds anything but tensors.
    """
    advice = "download the folder of the model that is set from timm's page on Hugging Face"
    tensors = read_published(path, "timm", advice, entry=None, perhaps=("state_dict", "model"))
    return {name: x for name, x in tensors.items() if not name.startswith(UNREAD)}


def _load(vit: Any, tensors: Mapping[str, Tensor], source: str) -> None:
    """Fill a transformer, its absolute positions resized as timm does.

    Raises:
        ValueError: what does not fit, by name.
    """
    fitted = dict(tensors)
    code_1LC, own = fitted.get("pos_embed"), vit.pos_embed
    if code_1LC is not None and own is not None and code_1LC.shape != own.shape:
        before = 0 if getattr(vit, "no_embed_class", False) else int(vit.num_prefix_tokens)
        patches = code_1LC.shape[1] - before if code_1LC.ndim == 3 else 0
        if patches > 0 and int(patches**0.5) ** 2 == patches:
            fitted["pos_embed"] = resample_abs_pos_embed(
                code_1LC, list(vit.patch_embed.grid_size), num_prefix_tokens=before
            )
    load_exactly(vit, fitted, source)


class TimmVitEncoder(PyramidEncoder):
    """The transformer and the pyramid."""

    def __init__(self, vit: nn.Module, model: str, **options: Any) -> None:
        """Arguments as of `PyramidEncoder`.

        Args:
            vit: the transformer.
            model: timm's name of it.
            options: the others.
        """
        super().__init__(vit, **options)
        self._model = model

    def look(self, pixels_B3HW: Tensor) -> Tensor:
        """The patches' features of the last block, normalised where the transformer has a norm."""
        vit: Any = self.vit
        maps: list[Tensor] = vit.forward_intermediates(
            pixels_B3HW, indices=1, norm=True, output_fmt="NCHW", intermediates_only=True
        )
        return maps[-1]

    def published(self) -> Published:
        """Its tensors under timm's names."""
        return self.as_published(self.vit, f"timm's {self._model}")
