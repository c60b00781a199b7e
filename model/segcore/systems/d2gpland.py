"""What D2GPLand (Pei et al., arXiv 2406.17858) is without its prompts: a ResNet sees the image, a
frozen SAM sees the depth, a light decoder after ESANet draws the landmarks.

Left out, and why it is called the core: the classes' prototypes, by which the published network
weighs SAM's features and draws maps of edges at 16 x 16, and the contrastive loss of them. In their
place the decoder begins with what they are given. That the rest is worth having alone is our
inference.

As in the published code (commit 1425de5): SAM is given the depth through one trained 1 x 1
convolution to three channels, its features are put beside ResNet's coarsest ones, and beside both
their means over the whole image and over a grid of 5 x 5; the decoder adds ResNet's finer features
on its way up. Different from it: norms are those of single images (see `encoders`), and SAM sees
`image_size`, where the code enlarges depth to 1024 whatever the size of the image.

Shape suffixes: B batch, C channels, K classes, H W image size, h w feature size.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from segcore.batch import FINISHED, Batch, Prediction, Progress, Size
from segcore.classes import ClassSpec
from segcore.losses.dice_ce import DiceCe
from segcore.losses.loss import Loss
from segcore.registry import STRICT
from segcore.systems import SYSTEMS
from segcore.systems.blocks import (
    GROUPS,
    NonBottleneck1D,
    SideWeight,
    conv_norm_act,
    drawn,
    loss_with_sides,
    side_heads,
)
from segcore.systems.pixels import Standardise, enlarge, logits_at, resize
from segcore.systems.rgb_encoders.convolutional import EncoderConfig, keep_statistics
from segcore.systems.rgb_encoders.sam_model import SamWeights
from segcore.systems.system import LARGEST_SIDE, Part, System, SystemConfig, Targets, projections
from segcore.systems.weights import from_elsewhere, read_all, tensors_hash

STRIDES = (4, 8, 16)
"""Of ResNet's features that the decoder meets, finest first."""
GRIDS = (1, 5)
"""Sides of the grids over which features are averaged."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class D2gplandConfig(SystemConfig):
    """D2GPLand without prompts; published is the method `frozen`: all but SAM trains."""

    name: ClassVar[str] = "d2gpland"

    image_size: int = Field(default=128, ge=64, le=LARGEST_SIDE, multiple_of=32)
    """Side of the square image that both encoders see, pixels; published: 1024. Others are
    resized."""
    encoder: EncoderConfig = dataclasses.field(default_factory=EncoderConfig)
    """Of the image; published: resnet34 from ImageNet."""
    sam: SamWeights = dataclasses.field(default_factory=SamWeights)
    """Of the depth; published: vit_b. Its prompts and mask decoder are loaded and left out."""
    width: int = Field(default=32, ge=GROUPS, multiple_of=GROUPS)
    """Channels at every scale of the decoder; published: 128."""
    side_weight: SideWeight = 0.0
    """Weight of the loss of the maps at strides 16 and 8, each, beside that of the last map; 0:
    there are none."""
    loss: Loss = dataclasses.field(default_factory=DiceCe)

    @property
    def needs_depth(self) -> bool:
        """Always."""
        return True

    @property
    def gradients_in_frozen_blocks(self) -> bool:
        """What makes colours of the depth is trained, and stands before SAM."""
        return True

    def check_weights(self) -> None:
        """Read the weights of the encoders whose weights come from elsewhere.

        Raises:
            ValueError: a file is missing or does not fit; all of them.
        """
        reads: list[Callable[[], object]] = []
        if self.encoder.from_file:
            reads.append(partial(self.encoder.build, "group"))
        if from_elsewhere(self.sam):
            reads.append(partial(self.sam.build, self.image_size))
        read_all(reads)

    def build(self, classes: ClassSpec) -> "D2gpland":
        """Build the network on the CPU from the global RNG, its pretrained weights loaded.

        Raises:
            ValueError: the weights cannot be read or do not fit.
        """
        return D2gpland(self, classes)


class D2gpland(System):
    """SAM is what a method decides about; the image's encoder is trained by every method."""

    repeats = True

    def __init__(self, config: D2gplandConfig, classes: ClassSpec) -> None:
        super().__init__()
        self._config = config
        self._loss = config.loss.build(classes)
        self.standardise = Standardise()
        self.sam: nn.Module = config.sam.build(config.image_size).vision_encoder
        encoder: Any = config.encoder.build("group")
        self.encoder: nn.Module = encoder
        width, channels = config.width, tuple(encoder.out_channels)
        coarsest: int = channels[-1]
        self.colour = nn.Sequential(nn.Conv2d(1, 3, 1, bias=False), nn.GroupNorm(1, 3), nn.ReLU())
        mixed = GROUPS * -(-coarsest // GROUPS)
        self.mix = conv_norm_act(coarsest + config.sam.width, mixed, 1)
        self.context = Context(mixed, width)
        finer = channels[-1 - len(STRIDES) : -1]
        self.skips = nn.ModuleList(conv_norm_act(c, width, 1) for c in reversed(finer))
        self.refine = nn.ModuleList(
            nn.Sequential(conv_norm_act(width, width, 3), NonBottleneck1D(width)) for _ in STRIDES
        )
        self.out = nn.Conv2d(width, len(classes.names), 3, padding=1)
        self.sides = side_heads(width, len(classes.names), len(STRIDES), config.side_weight)
        hashes = [tensors_hash(self.sam)]
        if config.encoder.from_file:
            hashes.append(tensors_hash(self.encoder))
        self._weights_hash = hashlib.sha256(" ".join(hashes).encode()).hexdigest()

    def train(self, mode: bool = True) -> "D2gpland":
        """Set the mode; a BatchNorm keeps the statistics of its file in both."""
        super().train(mode)
        keep_statistics(self.encoder)
        return self

    def forward(self, batch: Batch, size: Size, progress: Progress = FINISHED) -> Prediction:
        """Predict logits of a size; `extras["native"]` is the map at stride 4.

        Raises:
            ValueError: the batch has no depth maps.
        """
        if batch.depth_B1HW is None:
            advice = SYSTEMS[D2gplandConfig.name].needs["depth maps"]
            raise ValueError(f"the dataset has no depth maps: {advice}")
        shape = self._config.input_size
        depth_B3HW = self.colour(resize(batch.depth_B1HW, shape))
        image_B3HW = self.standardise(resize(batch.image_B3HW, shape))
        depth_BChw: Tensor = self.sam(depth_B3HW).last_hidden_state
        *_, finest, finer, fine, coarse = self.encoder(image_B3HW)
        seen = F.interpolate(depth_BChw, coarse.shape[-2:], mode="area")
        x_BChw = self.context(self.mix(torch.cat((coarse, seen), dim=1)))
        extras: dict[str, Tensor] = {}
        steps = zip(self.skips, self.refine, (fine, finer, finest), strict=True)
        for i, (skip, refine, skipped) in enumerate(steps):
            x_BChw = enlarge(refine(x_BChw), _size(skipped)) + skip(skipped)
            extras |= drawn(self.sides, i, x_BChw)
        native: Tensor = self.out(x_BChw)
        return Prediction(logits_at(native, size), {"native": native, **extras})

    def loss(self, prediction: Prediction, batch: Batch, progress: Progress) -> Tensor:
        """The configured loss of the masks, and of those on the way to them."""
        return loss_with_sides(self._loss, prediction, batch, self._config.side_weight)

    def parts(self) -> Mapping[str, Part]:
        """SAM is pretrained; the image's encoder is trained with everything that comes after."""
        heads = ("colour", "mix", "context", "skips", "refine", "sides", "out")
        return {
            "sam": Part(self.sam, "pretrained"),
            "encoder": Part(self.encoder, "tuned" if self._config.encoder.from_file else "head"),
            **{name: Part(self.get_submodule(name), "head") for name in heads},
        }

    def adaptable(self, targets: Targets) -> Mapping[str, nn.Linear]:
        """Projections of SAM."""
        found = projections(self.sam, mlp=targets == "attention+mlp")
        return {f"sam.{name}": module for name, module in found.items()}

    def weights_hash(self) -> str:
        """Hash of the encoders' weights as they were loaded; of the image's, if it is of a file."""
        return self._weights_hash


class Context(nn.Module):
    """Features beside their means over coarse grids (pyramid pooling; Zhao et al., arXiv
    1612.01105)."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        narrow = max(GROUPS, inputs // len(GRIDS) // GROUPS * GROUPS)
        self.narrow = nn.ModuleList(conv_norm_act(inputs, narrow, 1) for _ in GRIDS)
        self.join = conv_norm_act(inputs + narrow * len(GRIDS), width, 1)

    def forward(self, x_BChw: Tensor) -> Tensor:
        """(B, width, h, w)."""
        parts = [x_BChw]
        for side, narrow in zip(GRIDS, self.narrow, strict=True):
            means = narrow(F.adaptive_avg_pool2d(x_BChw, side))
            parts.append(enlarge(means, _size(x_BChw)))
        out: Tensor = self.join(torch.cat(parts, dim=1))
        return out


def _size(x_BChw: Tensor) -> Size:
    return x_BChw.shape[-2], x_BChw.shape[-1]
