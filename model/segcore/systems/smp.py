"""U-Net and its relatives, by segmentation_models_pytorch: the baselines that every paper has.

Different from the library's own networks, so that a sample counts for itself alone:

- BatchNorm would tie the samples of a batch together. Norms of single images, with as many
  parameters, take its place; in an encoder whose weights are from a file it stays, with the mean
  and deviation that the file has, which training leaves as they are.
- Nothing is dropped: neither features (FPN, DeepLabV3+) nor blocks (SegFormer's encoder).

Shape suffixes: B batch, C channels, K classes, H W image size.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
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
from segcore.systems.pixels import enlarge, resize, standardise
from segcore.systems.system import Part, System, SystemConfig, Targets
from segcore.systems.weft.norms import Norm, norm_of
from segcore.systems.weights import LOCATION, load_exactly, read_published, tensors_hash

Architecture = Literal[
    "unet", "unetplusplus", "manet", "fpn", "deeplabv3plus", "upernet", "segformer"
]
"""The library's names: U-Net (Ronneberger et al., arXiv 1505.04597), U-Net++ (Zhou et al., arXiv
1807.10165), MA-Net (Fan et al., IEEE Access 2020), FPN (Kirillov et al., CVPR 2019), DeepLabV3+
(Chen et al., arXiv 1802.02611), UPerNet (Xiao et al., arXiv 1807.10221), SegFormer (Xie et al.,
arXiv 2105.15203)."""

ENCODER = "encoder."
"""What names of an encoder's tensors begin with in a whole network."""
CLASSIFIERS = ("fc.", "head.", "classifier.", "last_linear.", "conv_head.", "norm_head.")
"""What files of classifiers have and no encoder: left out."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EncoderConfig:
    """Which encoder, and what its weights start from. Nothing is ever downloaded."""

    name: str = "tu-mobilenetv3_small_100"
    """One of the library's (`resnet34`, `mit_b2`), or `tu-` and a name of timm's that has features
    at several scales."""
    pretrained: Literal["random", "checkpoint"] = "random"
    checkpoint: str | None = dataclasses.field(default=None, metadata=LOCATION)
    """File or folder of a classifier or of the encoder alone, as timm, torchvision and the library
    publish them: safetensors, or a pickle of nothing but tensors by name."""

    def __post_init__(self) -> None:
        faults = []
        if (self.pretrained == "checkpoint") != (self.checkpoint is not None):
            faults.append(
                "encoder.pretrained='checkpoint' and encoder.checkpoint=PLACE go together: give "
                "both or neither"
            )
        if self.name.startswith(("efficientnet-", "timm-")):
            faults.append(
                f"encoder.name = {self.name!r}: not of those that are offered, since it drops "
                "blocks at random or is deprecated; take timm's own, such as "
                "'tu-tf_efficientnet_b0'"
            )
        elif not _is_encoder(self.name):
            faults.append(
                f"encoder.name = {self.name!r} is no encoder: give 'tu-' and a name of timm's, or "
                f"choose one of {', '.join(_encoders())}"
            )
        if faults:
            raise ValueError("; ".join(faults))


def _encoders() -> list[str]:
    """The library's own encoders that are offered."""
    from segmentation_models_pytorch.encoders import get_encoder_names  # seconds to import

    return sorted(n for n in get_encoder_names() if not n.startswith(("efficientnet-", "timm-")))


def _is_encoder(name: str) -> bool:
    import timm

    return timm.is_model(name[3:]) if name.startswith("tu-") else name in _encoders()


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SmpConfig(SystemConfig):
    """An architecture of segmentation_models_pytorch on an encoder."""

    name: ClassVar[str] = "smp"

    image_size: int = Field(default=128, ge=64, multiple_of=32)
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
        """The library's network, with norms of single images. Raises as `build`.

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
        kept = ENCODER if self.encoder.pretrained == "checkpoint" else None
        replace_norms(network, self.norm, kept)
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


def load_encoder(encoder: nn.Module, place: str) -> None:
    """Fill an encoder from a file of it, or of a classifier that it is part of.

    Raises:
        ValueError: no such file, a damaged one, or one that does not fit.
    """
    own = encoder.state_dict()
    advice = "download the encoder's file from timm, torchvision or smp-hub"
    found = read_published(
        Path(place), "encoder", advice, entry=None, perhaps=("state_dict", "model")
    )
    if any(name.startswith(ENCODER) for name in found):
        found = {n.removeprefix(ENCODER): x for n, x in found.items() if n.startswith(ENCODER)}
    tensors = {_own_name(name, own): x for name, x in found.items()}
    tensors = {n: x for n, x in tensors.items() if n in own or not n.startswith(CLASSIFIERS)}
    for name, tensor in own.items():
        if name.endswith(".num_batches_tracked"):
            tensors.setdefault(name, tensor)  # files of before 2018 do not have it
        elif name in tensors:
            tensors[name] = _with_depth(tensors[name], tensor.shape)
    load_exactly(encoder, tensors, place)


def _own_name(name: str, own: Mapping[str, Tensor]) -> str:
    """The encoder's name of a file's tensor: timm's are in a model of it, its stages flattened."""
    flat = name.replace(".", "_", 1)
    return next((n for n in (name, f"model.{name}", f"model.{flat}") if n in own), name)


def _with_depth(weight: Tensor, shape: torch.Size) -> Tensor:
    """A first convolution's weights for colours, with those for depth behind them."""
    if len(shape) != 4 or shape[1] != 4 or weight.shape != (shape[0], 3, *shape[2:]):
        return weight
    return torch.cat((weight, weight.mean(1, keepdim=True)), dim=1) * 0.75


def replace_norms(network: nn.Module, norm: Norm, kept: str | None) -> None:
    """Put norms of single images in the place of BatchNorm, with its scale and shift.

    Args:
        network: whose they are.
        norm: of which kind.
        kept: beginning of the names of those that stay.
    """
    import timm.layers

    layers: Any = timm.layers
    for name, old in [*network.named_modules()]:
        if not isinstance(old, nn.BatchNorm2d) or (kept is not None and name.startswith(kept)):
            continue
        new = norm_of(old.num_features, norm)
        new.eps, new.weight, new.bias = old.eps, old.weight, old.bias
        activation: Any = old if isinstance(old, layers.BatchNormAct2d) else None
        network.set_submodule(
            name, new if activation is None else nn.Sequential(new, activation.act)
        )


def drop_nothing(network: nn.Module) -> None:
    """Let all features and blocks through in training too."""
    import timm.layers

    layers: Any = timm.layers
    for module in network.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0
        elif isinstance(module, layers.DropPath):
            module.drop_prob = 0.0


class Smp(System):
    """The encoder is what a method decides about, random or not; decoder and head are trained."""

    def __init__(self, config: SmpConfig, classes: ClassSpec) -> None:
        super().__init__()
        self._config = config
        self._loss = config.loss.build(classes)
        self.network = config.network(len(classes.names))
        read = config.encoder.pretrained == "checkpoint"
        self._weights_hash = tensors_hash(self._part("encoder")) if read else "none"

    def train(self, mode: bool = True) -> "Smp":
        """Set the mode; a BatchNorm keeps the statistics of its file in both."""
        super().train(mode)
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def forward(self, batch: Batch, size: Size, progress: Progress = FINISHED) -> Prediction:
        """Predict logits of a size; `extras["native"]` is the library's output at the network's.

        Raises:
            ValueError: depth is to be a channel and the batch has none.
        """
        shape = self._config.input_size
        x_BCHW = standardise(resize(batch.image_B3HW, shape))
        if self._config.needs_depth:
            if batch.depth_B1HW is None:
                raise ValueError(
                    "the dataset has no depth maps: give a set that has them, or set "
                    "system.inputs='rgb'"
                )
            # About as wide as a standardised colour.
            x_BCHW = torch.cat((x_BCHW, 4 * resize(batch.depth_B1HW, shape) - 2), dim=1)
        native: Tensor = self.network(x_BCHW)
        logits = native if native.shape[-2:] == size else enlarge(native, size)
        return Prediction(logits, {"native": native})

    def loss(self, prediction: Prediction, batch: Batch, progress: Progress) -> Tensor:
        """The configured loss of the masks."""
        value: Tensor = self._loss(prediction, batch)
        return value

    def parts(self) -> Mapping[str, Part]:
        """The encoder, decoder and head."""
        return {
            "network.encoder": Part(self._part("encoder"), "pretrained"),
            "network.decoder": Part(self._part("decoder"), "head"),
            "network.segmentation_head": Part(self._part("segmentation_head"), "head"),
        }

    def adaptable(self, targets: Targets) -> Mapping[str, nn.Linear]:
        """None: these networks are trained whole, or on top of an encoder as it is."""
        return {}

    def weights_hash(self) -> str:
        """Hash of the encoder's weights as they were loaded; `none` where it began at random."""
        return self._weights_hash

    def _part(self, name: str) -> nn.Module:
        return self.network.get_submodule(name)
