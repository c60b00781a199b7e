"""SAM2-UNet (Xiong et al., arXiv 2408.08870): SAM2's trunk, frozen, with a small adapter before
each of its blocks, receptive-field blocks on its four scales, and a U-shaped decoder that is looked
at on its way up.

Different from the published code: norms are GroupNorm, since BatchNorm would tie the samples of a
batch together; the decoder has no fourth step, which the code builds and never calls; and there is
a map for each class, where it has one.

Shape suffixes: B batch, C channels, K classes, H W image size, h w feature size.
"""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

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
from segcore.systems.blocks import (
    GROUPS,
    SideWeight,
    conv_norm_act,
    drawn,
    loss_with_sides,
    side_heads,
)
from segcore.systems.pixels import Standardise, logits_at, resize
from segcore.systems.rgb_encoders.sam2 import SIZE_MULTIPLE, Sam2Config
from segcore.systems.system import LARGEST_SIDE, Part, System, SystemConfig, Targets, projections
from segcore.systems.weights import from_elsewhere, tensors_hash


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Sam2UnetConfig(SystemConfig):
    """SAM2-UNet; published is the method `frozen`, which trains adapters and decoder."""

    name: ClassVar[str] = "sam2_unet"

    image_size: int = Field(default=128, ge=64, le=LARGEST_SIDE, multiple_of=SIZE_MULTIPLE)
    """Side of the square image that the trunk sees, pixels; published: 352. Others are resized."""
    sam2: Sam2Config = dataclasses.field(default_factory=Sam2Config)
    """Its neck is loaded and left out. Published is Hiera-L of SAM2, not of SAM2.1; both fit."""
    adapter_width: Annotated[int, Field(ge=0)] = 32
    """Of the narrow layer of each adapter; 0: there are none."""
    width: int = Field(default=32, ge=GROUPS, multiple_of=GROUPS)
    """Channels at every scale of the decoder; published: 64."""
    side_weight: SideWeight = 1.0
    """Weight of the loss of the maps at strides 16 and 8, each, beside that of the last map; 0:
    there are none."""
    loss: Loss = dataclasses.field(default_factory=DiceCe)

    @property
    def gradients_in_frozen_blocks(self) -> bool:
        """Adapters stand before the trunk's blocks."""
        return self.adapter_width > 0

    def check_weights(self) -> None:
        """Read the weights if they come from elsewhere.

        Raises:
            ValueError: a file is missing or does not fit.
        """
        if from_elsewhere(self.sam2):
            self.sam2.build()

    def build(self, classes: ClassSpec) -> "Sam2Unet":
        """Build the network on the CPU from the global RNG, its pretrained weights loaded.

        Raises:
            ValueError: the weights cannot be read or do not fit.
        """
        return Sam2Unet(self, classes)


class Sam2Unet(System):
    """Pretrained trunk; adapters and everything after the trunk are head."""

    repeats = True

    def __init__(self, config: Sam2UnetConfig, classes: ClassSpec) -> None:
        super().__init__()
        self._config = config
        self._loss = config.loss.build(classes)
        self.standardise = Standardise()
        trunk: Any = config.sam2.build().image_encoder.trunk
        self.trunk: nn.Module = trunk
        width, outputs = config.width, len(classes.names)
        self.adapters = nn.ModuleList()
        if config.adapter_width:
            for block in trunk.blocks:
                adapter = Adapter(block.dim, config.adapter_width)
                self.adapters.append(adapter)
                # A bound method goes along when the network is copied, a closure would not.
                block.register_forward_pre_hook(adapter.before)
        self.narrow = nn.ModuleList(
            ReceptiveFieldBlock(channels, width) for channels in reversed(trunk.channel_list)
        )
        self.up = nn.ModuleList(
            nn.Sequential(conv_norm_act(2 * width, width, 3), conv_norm_act(width, width, 3))
            for _ in trunk.channel_list[1:]
        )
        self.sides = side_heads(width, outputs, len(self.up), config.side_weight)
        self.out = nn.Conv2d(width, outputs, 1)
        self._weights_hash = tensors_hash(self.trunk)

    def forward(self, batch: Batch, size: Size, progress: Progress = FINISHED) -> Prediction:
        """Predict logits of a size; `extras["native"]` is the map at stride 4, `extras["side 0"]`
        that at stride 16 and `extras["side 1"]` that at stride 8, for the loss."""
        image_B3HW = resize(batch.image_B3HW, self._config.input_size)
        if self._config.sam2.standardise:
            image_B3HW = self.standardise(image_B3HW)
        scales = self.trunk(image_B3HW)  # finest first
        narrowed = [narrow(x) for narrow, x in zip(self.narrow, scales, strict=True)]
        x_BChw = narrowed.pop()
        extras: dict[str, Tensor] = {}
        for i, up in enumerate(self.up):
            finer_BChw = narrowed.pop()
            x_BChw = F.interpolate(
                x_BChw, finer_BChw.shape[-2:], mode="bilinear", align_corners=True
            )
            x_BChw = up(torch.cat((finer_BChw, x_BChw), dim=1))
            extras |= drawn(self.sides, i, x_BChw)
        native: Tensor = self.out(x_BChw)
        return Prediction(logits_at(native, size), {"native": native, **extras})

    def loss(self, prediction: Prediction, batch: Batch, progress: Progress) -> Tensor:
        """The configured loss of the masks, and of those on the way to them."""
        return loss_with_sides(self._loss, prediction, batch, self._config.side_weight)

    def parts(self) -> Mapping[str, Part]:
        """SAM2's trunk is pretrained; adapters and everything after it are not."""
        heads = ("adapters", "narrow", "up", "sides", "out")
        return {
            "trunk": Part(self.trunk, "pretrained"),
            **{name: Part(self.get_submodule(name), "head") for name in heads},
        }

    def adaptable(self, targets: Targets) -> Mapping[str, nn.Linear]:
        """Projections of the trunk."""
        found = projections(self.trunk, mlp=targets == "attention+mlp")
        return {f"trunk.{name}": module for name, module in found.items()}

    def weights_hash(self) -> str:
        """Hash of the trunk's weights as they were loaded."""
        return self._weights_hash


class Adapter(nn.Module):
    """What is added to a block's input: two linear maps of it, a narrow layer between them, a GELU
    after each."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.down = nn.Linear(channels, width)
        self.up = nn.Linear(width, channels)

    def forward(self, x_BhwC: Tensor) -> Tensor:
        """Same shape."""
        narrow = F.gelu(self.down(x_BhwC))
        return F.gelu(self.up(narrow))

    def before(self, block: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        """What the block is given in the place of its input."""
        (x_BhwC,) = inputs
        return (x_BhwC + self(x_BhwC),)


class ReceptiveFieldBlock(nn.Module):
    """Narrow features and let each see its surroundings near and far (RFB; Liu et al., arXiv
    1711.07767, in the form that SAM2-UNet has from camouflaged object detection).

    Beside a plain branch, three of a row and a column of 3, 5 and 7 pixels, then 3 x 3 of the same
    dilation; joined by 3 x 3, beside a shortcut. There is a norm after each convolution, and no
    activation but the last.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.plain = conv_norm(inputs, width)
        self.branches = nn.ModuleList(
            nn.Sequential(
                conv_norm(inputs, width),
                conv_norm(width, width, (1, reach)),
                conv_norm(width, width, (reach, 1)),
                conv_norm(width, width, (3, 3), dilation=reach),
            )
            for reach in (3, 5, 7)
        )
        self.join = conv_norm(4 * width, width, (3, 3))
        self.shortcut = conv_norm(inputs, width)

    def forward(self, x_BChw: Tensor) -> Tensor:
        """(B, width, h, w)."""
        seen = [self.plain(x_BChw), *(branch(x_BChw) for branch in self.branches)]
        out: Tensor = (self.join(torch.cat(seen, dim=1)) + self.shortcut(x_BChw)).relu()
        return out


def conv_norm(
    inputs: int, outputs: int, kernel: Size = (1, 1), *, dilation: int = 1
) -> nn.Sequential:
    """Convolution that keeps the size, GroupNorm."""
    padding = (dilation * (kernel[0] // 2), dilation * (kernel[1] // 2))
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=dilation, bias=False),
        nn.GroupNorm(GROUPS, outputs),
    )
