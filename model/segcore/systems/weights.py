"""Pretrained tensors: where they come from, that they fit, and what they hash to."""

import hashlib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file
from torch import Tensor, nn

Pretrained = Literal["packaged", "random", "checkpoint"]
"""`packaged`: this project's own small weights; `checkpoint`: a file or folder of the user's;
`random`: none, asked for by name."""

PLACE: Mapping[str, Any] = {"place": True}
"""Metadata of a field that says where something lies on disk, and so is no part of a hash."""


def check_source(part: str, size: str, pretrained: Pretrained, checkpoint: str | None) -> None:
    """Refuse a source of weights that cannot be.

    Raises:
        ValueError: no packaged weights of that size, or `checkpoint` is missing or unused.
    """
    if pretrained == "packaged" and size != "nano":
        raise ValueError(
            f"{part}: packaged weights exist for size 'nano', not {size!r}: "
            "set pretrained='checkpoint' with checkpoint=PLACE, or pretrained='random'"
        )
    if pretrained == "checkpoint" and checkpoint is None:
        raise ValueError(f"{part}: pretrained='checkpoint' needs checkpoint=PLACE")
    if pretrained != "checkpoint" and checkpoint is not None:
        raise ValueError(
            f"{part}: checkpoint has no effect with pretrained={pretrained!r}: "
            "leave it out or set pretrained='checkpoint'"
        )


def packaged(name: str) -> dict[str, Tensor]:
    """The tensors of `segcore/weights/<name>.safetensors`."""
    path = resources.files("segcore") / "weights" / f"{name}.safetensors"
    return load(path.read_bytes())


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file.

    Raises:
        ValueError: it is no safetensors file, or a damaged one.
    """
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} can't be read as safetensors: {error}") from error


def load_exactly(module: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Fill a module, in its own precision, from tensors that match it name by name.

    Raises:
        ValueError: every missing, unused and misshapen name, in one message.
    """
    own = module.state_dict()
    misshapen = [
        f"{name} {tuple(tensors[name].shape)} instead of {tuple(own[name].shape)}"
        for name in sorted(own.keys() & tensors.keys())
        if tensors[name].shape != own[name].shape
    ]
    refuse_misfits(
        source,
        missing=sorted(own.keys() - tensors.keys()),
        unused=sorted(tensors.keys() - own.keys()),
        misshapen=misshapen,
    )
    module.load_state_dict(dict(tensors))


def refuse_misfits(
    source: str, *, missing: list[str], unused: list[str], misshapen: list[str]
) -> None:
    """Raise a ValueError that lists what does not fit, if anything does not."""
    kinds = {"missing": missing, "unused": unused, "misshapen": misshapen}
    faults = [f"{kind}: {', '.join(names)}" for kind, names in kinds.items() if names]
    if faults:
        raise ValueError(f"the weights in {source} do not fit the network; " + "; ".join(faults))


def tensors_hash(module: nn.Module) -> str:
    """SHA-256 of a module's names, shapes and values."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        array = tensor.detach().cpu().contiguous().numpy()
        digest.update(f"{name} {array.dtype} {array.shape};".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def moves(module: nn.Module) -> bool:
    """Whether a forward pass of the module has to record a graph."""
    return torch.is_grad_enabled() and any(p.requires_grad for p in module.parameters())
