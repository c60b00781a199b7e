"""Checkpoints: `best.safetensors` + `config.json` to use, `last.pt` to go on from.

Only tensors that training changes are kept; the pretrained ones are named by their hash. Nothing
is ever unpickled: `last.pt` holds tensors and plain values and is read with `weights_only=True`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

BEST, CONFIG, LAST = "best.safetensors", "config.json", "last.pt"


class CheckpointError(ValueError):
    """A checkpoint that does not belong to what it is loaded into."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training after an epoch."""

    description: Mapping[str, Any]
    """Configuration and hash of the pretrained weights: what the tensors belong to."""
    best: Mapping[str, Tensor]
    """Tensors of the best epoch, by parameter name."""
    last: Mapping[str, Any]
    """Tensors, optimizer, counters and random state of the last epoch."""

    def save(self, folder: Path) -> None:
        """Write the three files into an existing folder."""
        (folder / CONFIG).write_text(json.dumps(self.description, indent=2) + "\n")
        save_file(dict(self.best), folder / BEST)
        torch.save(dict(self.last), folder / LAST)


def load(folder: Path, description: Mapping[str, Any]) -> Checkpoint:
    """Read the checkpoint of a training described by `description`.

    Raises:
        CheckpointError: files are missing, or the checkpoint is another training's (the message
            names every value that differs).
    """
    missing = [name for name in (BEST, CONFIG, LAST) if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{folder} is no checkpoint: it lacks {', '.join(missing)}. "
            "Give a folder that a training wrote."
        )
    found = json.loads((folder / CONFIG).read_text())
    wanted = json.loads(json.dumps(description))
    if differences := list(_differences(found, wanted)):
        raise CheckpointError(
            f"the checkpoint in {folder} belongs to another training:\n  "
            + "\n  ".join(differences)
            + "\nGive its own configuration, or start without a checkpoint."
        )
    last = torch.load(folder / LAST, map_location="cpu", weights_only=True)  # noqa: TID251
    return Checkpoint(description, load_file(folder / BEST), last)


def trained_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Copies of the tensors that training changes, on the CPU, by name."""
    tensors = {n: p for n, p in model.named_parameters() if p.requires_grad}
    return {n: p.detach().to("cpu", copy=True).contiguous() for n, p in tensors.items()}


def restore_tensors(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put trained tensors back.

    Raises:
        CheckpointError: a name or shape does not fit (all are named).
    """
    own = {n: p for n, p in model.named_parameters() if p.requires_grad}
    faults = [f"{n} is missing" for n in own.keys() - tensors.keys()]
    faults += [f"{n} is not a trained tensor of this model" for n in tensors.keys() - own.keys()]
    faults += [
        f"{n} has shape {tuple(tensors[n].shape)}, the model's has {tuple(own[n].shape)}"
        for n in own.keys() & tensors.keys()
        if own[n].shape != tensors[n].shape
    ]
    if faults:
        raise CheckpointError("the checkpoint does not fit:\n  " + "\n  ".join(sorted(faults)))
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(tensors[name])


def _differences(found: Any, wanted: Any, path: str = "") -> list[str]:
    if isinstance(found, dict) and isinstance(wanted, dict):
        return [
            line
            for key in sorted(found.keys() | wanted.keys())
            for line in _differences(found.get(key), wanted.get(key), f"{path}.{key}".strip("."))
        ]
    return [] if found == wanted else [f"{path}: it has {found!r}, here is {wanted!r}"]
