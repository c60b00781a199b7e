"""Convolutional encoders, by segmentation_models_pytorch and timm: from random weights or a file,
and such that a sample counts for itself alone.

- BatchNorm would tie the samples of a batch together. Norms of single images, with as many
  parameters, take its place; in an encoder whose weights are from a file it stays, with the mean
  and deviation that the file has, which training leaves as they are.
- Nothing is dropped at random.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from segcore.registry import STRICT
from segcore.systems.norms import Norm, norm_of
from segcore.systems.weights import LOCATION, load_exactly, read_published

WHOLE = "encoder."
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

    @property
    def from_file(self) -> bool:
        """Whether the weights begin as those of a file."""
        return self.pretrained == "checkpoint"

    def __post_init__(self) -> None:
        faults = []
        if self.from_file != (self.checkpoint is not None):
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

    def build(self, norm: Norm) -> nn.Module:
        """The encoder of RGB on the CPU, its weights loaded: features at strides 1, 2, 4, 8, 16 and
        32, of `out_channels`.

        Args:
            norm: in the place of BatchNorm, where it is not from a file.

        Raises:
            ValueError: the file cannot be read or does not fit.
        """
        from segmentation_models_pytorch.encoders import get_encoder

        encoder: nn.Module = get_encoder(self.name, weights=None)
        if self.checkpoint is not None:
            load_encoder(encoder, self.checkpoint)
        replace_norms(encoder, norm, "" if self.from_file else None)
        drop_nothing(encoder)
        return encoder


def _encoders() -> list[str]:
    """The library's own encoders that are offered."""
    from segmentation_models_pytorch.encoders import get_encoder_names  # seconds to import

    return sorted(n for n in get_encoder_names() if not n.startswith(("efficientnet-", "timm-")))


def _is_encoder(name: str) -> bool:
    import timm

    return timm.is_model(name[3:]) if name.startswith("tu-") else name in _encoders()


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
    if any(name.startswith(WHOLE) for name in found):
        found = {n.removeprefix(WHOLE): x for n, x in found.items() if n.startswith(WHOLE)}
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


def replace_norms(network: nn.Module, norm: Norm, kept: str | None) -> int:
    """Put norms of single images in the place of BatchNorm, with its scale and shift; how many.

    Args:
        network: whose they are.
        norm: of which kind.
        kept: beginning of the names of those that stay.
    """
    import timm.layers

    layers: Any = timm.layers
    count = 0
    for name, old in [*network.named_modules()]:
        if not isinstance(old, nn.BatchNorm2d) or (kept is not None and name.startswith(kept)):
            continue
        new = norm_of(old.num_features, norm)
        new.eps, new.weight, new.bias = old.eps, old.weight, old.bias
        activation: Any = old if isinstance(old, layers.BatchNormAct2d) else None
        network.set_submodule(
            name, new if activation is None else nn.Sequential(new, activation.act)
        )
        count += 1
    return count


def drop_nothing(network: nn.Module) -> None:
    """Let all features and blocks through in training too."""
    import timm.layers

    layers: Any = timm.layers
    for module in network.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0
        elif isinstance(module, layers.DropPath):
            module.drop_prob = 0.0


def keep_statistics(network: nn.Module) -> None:
    """Let what is left of BatchNorm use the statistics that it has, in training too."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
