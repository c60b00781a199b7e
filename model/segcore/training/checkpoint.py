"""Checkpoints: `best.safetensors` + `config.json` to use, `last.pt` to go on from.

Only tensors that training changes are kept; the pretrained ones are named by their hash. Nothing
is ever unpickled: `last.pt` holds tensors and plain values and is read with `weights_only=True`.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from segcore.systems.weights import read_plain

BEST, CONFIG, LAST = "best.safetensors", "config.json", "last.pt"
STATE = ("tensors", "optimizer", "epoch", "step", "best_epoch", "best_value", "rng", "mean")
"""What `last.pt` holds."""


class CheckpointError(ValueError):
    """A checkpoint that does not belong to what it is loaded into."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training after an epoch."""

    description: Mapping[str, Any]
    """Configuration, classes and hashes of pretrained weights and data: what the tensors belong
    to."""
    best: Mapping[str, Tensor]
    """Tensors of the best epoch, by parameter name."""
    last: Mapping[str, Any]
    """Tensors, optimizer, counters and random state of the last epoch."""

    def save(self, folder: Path, *, best: bool = True) -> None:
        """Write the files into an existing folder.

        Args:
            folder: where.
            best: whether the best epoch's tensors are among them; False where they lie already.
        """
        (folder / CONFIG).write_text(json.dumps(self.description, indent=2) + "\n")
        if best:
            save_file(dict(self.best), folder / BEST)
        with (folder / LAST).open("wb") as file:  # given a path, torch hides a full disk
            torch.save(dict(self.last), file)


def load(folder: Path, description: Mapping[str, Any]) -> Checkpoint:
    """Read the checkpoint of a training described by `description`.

    Raises:
        CheckpointError: files are missing or damaged, or the checkpoint is another training's (the
            message names every value that differs).
    """
    _refuse_missing(folder, BEST, CONFIG, LAST)
    found = _read_description(folder)
    wanted = json.loads(json.dumps(description))
    if differences := list(_differences(found, wanted)):
        raise CheckpointError(
            f"the checkpoint in {folder} belongs to another training:\n  "
            + "\n  ".join(differences)
            + "\nGive its own configuration, or start without a checkpoint."
        )
    return Checkpoint(description, _read_best(folder), _read_last(folder))


def read_best(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a training found, without what it needs to go on: description and tensors.

    Raises:
        CheckpointError: files are missing or damaged.
    """
    _refuse_missing(folder, BEST, CONFIG)
    return _read_description(folder), _read_best(folder)


def best_hash(folder: Path) -> str:
    """SHA-256 of the best epoch's tensors as they lie in a checkpoint folder."""
    with (folder / BEST).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def trained_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Copies of the tensors that training changes, on the CPU, by name."""
    return {n: x.detach().to("cpu", copy=True).contiguous() for n, x in changing(model).items()}


def on_host(value: Any) -> Any:
    """A copy of dicts, lists and tuples with all tensors in them, these on the CPU."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: on_host(inner) for key, inner in value.items()}
    return type(value)(map(on_host, value)) if isinstance(value, list | tuple) else value


def restore_tensors(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put trained tensors back.

    Raises:
        CheckpointError: a name or shape does not fit (all are named).
    """
    own = changing(model)
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
        for name, tensor in own.items():
            tensor.copy_(tensors[name])


def changing(model: nn.Module) -> dict[str, Tensor]:
    """Parameters that move, and the buffers that a forward pass may change (BatchNorm's)."""
    tensors = model.state_dict(keep_vars=True)
    return {n: x for n, x in tensors.items() if x.requires_grad or not isinstance(x, nn.Parameter)}


def _refuse_missing(folder: Path, *names: str) -> None:
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{folder} is no checkpoint: it lacks {', '.join(missing)}. "
            "Give a folder that a training wrote."
        )


def _read_description(folder: Path) -> dict[str, Any]:
    try:
        description: dict[str, Any] = json.loads((folder / CONFIG).read_text())
    except ValueError as error:
        raise CheckpointError(f"{folder / CONFIG} is damaged: {error}") from error
    if not isinstance(description, dict):
        raise CheckpointError(f"{folder / CONFIG} is damaged: it is no JSON object")
    return description


def _read_best(folder: Path) -> dict[str, Tensor]:
    try:
        return load_file(folder / BEST)
    except SafetensorError as error:
        raise CheckpointError(f"{folder / BEST} is damaged: {error}") from error


def _read_last(folder: Path) -> dict[str, Any]:
    path = folder / LAST
    try:
        last = read_plain(path, "give the checkpoint of an earlier epoch, or start without one")
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    there = last.keys() if isinstance(last, dict) else ()
    if lacking := [name for name in STATE if name not in there]:
        raise CheckpointError(f"{path} does not say {', '.join(lacking)}: no training wrote it")
    return dict(last)


def _differences(found: Any, wanted: Any, path: str = "") -> list[str]:
    if isinstance(found, dict) and isinstance(wanted, dict):
        return [
            line
            for key in sorted(found.keys() | wanted.keys())
            for line in _differences(found.get(key), wanted.get(key), f"{path}.{key}".strip("."))
        ]
    return [] if found == wanted else [f"{path}: it has {found!r}, here is {wanted!r}"]
