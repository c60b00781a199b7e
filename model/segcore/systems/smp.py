"""U-Net and its relatives, by segmentation_models_pytorch: the baselines that every paper has.

Different from the library's own networks, so that a sample counts for itself alone: norms are those
of `segcore.systems.rgb_encoders.convolutional`, and neither features (FPN, DeepLabV3+) nor blocks
(SegFormer's encoder) are dropped.

Shape suffixes: B batch, C channels, K classes, H W image size.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from segcore.batch import FINISHED, Batch, Prediction, Progress, Size
from segcore.classes import ClassSpec
from segcore.losses.dice_ce import DiceCe
from segcore.losses.loss import Loss
from segcore.registry import STRICT
from segcore.systems.norms import Norm
from segcore.systems.pixels import Standardise, logits_at, resize
from segcore.systems.rgb_encoders.convolutional import (
    WHOLE,
    EncoderConfig,
    drop_nothing,
    keep_statistics,
    load_encoder,
    replace_norms,
)
from segcore.systems.system import LARGEST_SIDE, Part, System, SystemConfig, Targets
from segcore.systems.weights import tensors_hash

Architecture = Literal[
    "unet", "unetplusplus", "manet", "fpn", "deeplabv3plus", "upernet", "segformer"
]
"""The library's names: U-Net (Ronneberger et al., arXiv 1505.04597), U-Net++ (Zhou et al., arXiv
1807.10165), MA-Net (Fan et al., IEEE Access 2020), FPN (Kirillov et al., CVPR 2019), DeepLabV3+
(Chen et al., arXiv 1802.02611), UPerNet (Xiao et al., arXiv 1807.10221), SegFormer (Xie et al.,
arXiv 2105.15203)."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SmpConfig(SystemConfig):
    """An architecture of segmentation_models_pytorch on an encoder."""

    name: ClassVar[str] = "smp"

    image_size: int = Field(default=128, ge=64, le=LARGEST_SIDE, multiple_of=32)
    """Side of the square image that the network sees, pixels. Other images are resized, and
    ImageNet's mean and standard deviation are taken out, which is how most encoders were
    trained."""
    inputs: Literal["rgb", "rgbd"] = "rgb"
    """Whether depth is a fourth channel. Where the encoder is from a file, its first convolution's
    weights for depth begin as the mean of those for the colours, and all at three quarters: where
    depth and colours are equal, its output is what it was."""
    architecture: Architecture = "unet"
    encoder: EncoderConfig = dataclasses.field(default_factory=EncoderConfig)
    width: int = Field(default=64, ge=64, multiple_of=64)
    """Channels at the decoder's widest; 256 in the library, for all of them. U-Net and its nearest
    halve it from scale to scale, FPN's second half has half of it."""
    norm: Norm = "group"
    """In the place of BatchNorm, where it is not from a file."""
    loss: Loss = dataclasses.field(default_factory=DiceCe)

    @property
    def needs_depth(self) -> bool:
        """Whether depth is one of the channels."""
        return self.inputs == "rgbd"

    def check_weights(self) -> None:
        """Build the network once: the library has no list of what goes together.

        Raises:
            ValueError: the file is missing or does not fit, or as of `build`.
        """
        self.network(1)

    def build(self, classes: ClassSpec) -> "Smp":
        """Build the network on the CPU from the global RNG, its pretrained weights loaded.

        Raises:
            ValueError: the weights cannot be read or do not fit, or the architecture does not go
                with the encoder.
        """
        return Smp(self, classes)

    def network(self, outputs: int) -> nn.Module:
        """The library's network, with norms of single images. Raises as `build`, and where `norm`
        has no effect.

        Args:
            outputs: channels of its logits.
        """
        import segmentation_models_pytorch as smp

        try:
            network: nn.Module = smp.create_model(
                self.architecture,
                self.encoder.name,
                encoder_weights=None,
                in_channels=4 if self.needs_depth else 3,
                classes=outputs,
                **_widths(self.architecture, self.width),
            )
        except (ValueError, KeyError, NotImplementedError, RuntimeError) as error:
            raise ValueError(
                f"system.architecture = {self.architecture!r} does not go with system.encoder.name "
                f"= {self.encoder.name!r}: {error}"
            ) from error
        if self.encoder.checkpoint is not None:
            load_encoder(network.get_submodule("encoder"), self.encoder.checkpoint)
        replaced = replace_norms(network, self.norm, WHOLE if self.encoder.from_file else None)
        if not replaced and self.norm != "group":
            raise ValueError(
                f"system.norm = {self.norm!r} has no effect: this network has no BatchNorm but its "
                "file's; leave it out"
            )
        drop_nothing(network)
        return network


def _widths(architecture: Architecture, width: int) -> dict[str, Any]:
    """The library's arguments for a decoder of that width."""
    if architecture == "fpn":
        return {"decoder_pyramid_channels": width, "decoder_segmentation_channels": width // 2}
    if architecture == "segformer":
        return {"decoder_segmentation_channels": width}
    if architecture in ("deeplabv3plus", "upernet"):
        return {"decoder_channels": width}
    return {"decoder_channels": tuple(width // 2**i for i in range(5))}


class Smp(System):
    """The encoder is what a method decides about, random or not; decoder and head are trained."""

    repeats = True

    def __init__(self, config: SmpConfig, classes: ClassSpec) -> None:
        super().__init__()
        self._config = config
        self._loss = config.loss.build(classes)
        self.standardise = Standardise()
        self.network = config.network(len(classes.names))
        encoder = self.network.get_submodule("encoder")
        self._weights_hash = tensors_hash(encoder) if config.encoder.from_file else "none"

    def train(self, mode: bool = True) -> "Smp":
        """Set the mode; a BatchNorm keeps the statistics of its file in both."""
        super().train(mode)
        keep_statistics(self.network)
        return self

    def forward(self, batch: Batch, size: Size, progress: Progress = FINISHED) -> Prediction:
        """Predict logits of a size; `extras["native"]` is the library's output at the network's.

        Raises:
            ValueError: depth is to be a channel and the batch has none.
        """
        shape = self._config.input_size
        x_BCHW = self.standardise(resize(batch.image_B3HW, shape))
        if self._config.needs_depth:
            if batch.depth_B1HW is None:
                raise ValueError(
                    "the dataset has no depth maps: give a set that has them, or set "
                    "system.inputs='rgb'"
                )
            # About as wide as a standardised colour.
            x_BCHW = torch.cat((x_BCHW, 4 * resize(batch.depth_B1HW, shape) - 2), dim=1)
        native: Tensor = self.network(x_BCHW)
        return Prediction(logits_at(native, size), {"native": native})

    def loss(self, prediction: Prediction, batch: Batch, progress: Progress) -> Tensor:
        """The configured loss of the masks."""
        value: Tensor = self._loss(prediction, batch)
        return value

    def parts(self) -> Mapping[str, Part]:
        """The encoder, decoder and head."""
        heads = ("network.decoder", "network.segmentation_head")
        return {
            "network.encoder": Part(self.get_submodule("network.encoder"), "pretrained"),
            **{name: Part(self.get_submodule(name), "head") for name in heads},
        }

    def adaptable(self, targets: Targets) -> Mapping[str, nn.Linear]:
        """None: these networks are trained whole, or on top of an encoder as it is."""
        return {}

    def weights_hash(self) -> str:
        """Hash of the encoder's weights as they were loaded; `none` where it began at random."""
        return self._weights_hash
