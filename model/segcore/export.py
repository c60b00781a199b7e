"""A trained network's SAM2 image encoder as plain SAM2 weights, for programs without segtune."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from segcore.restore import Restored
from segcore.systems.sam2_encoder import Sam2Encoder

SUFFIXES = (".safetensors", ".pt")


def export(restored: Restored, path: Path) -> int:
    """Write SAM2's trunk and neck under the names of Meta's checkpoints (`image_encoder.*`).

    Adapters are folded in: the file has the names, shapes and number of tensors of the encoder
    that the training began with. What SAM2 has besides (prompts, memory, mask decoder) was never
    trained and is not in it.

    Args:
        restored: as `segcore.restore.restore` gives it.
        path: `.safetensors`, or `.pt` in Meta's form, `{"model": tensors}`, which
            `torch.load(path, weights_only=True)` reads.

    Returns:
        The number of tensors.

    Raises:
        ValueError: the network has no SAM2, or the file's suffix or folder is not one to write.
    """
    faults = []
    encoder = restored.system.pretrained().get("sam2")
    if not isinstance(encoder, Sam2Encoder):
        faults.append(f"{restored.config.name} has no SAM2 image encoder: nothing to export")
    if path.suffix not in SUFFIXES:
        faults.append(f"{path} is neither {' nor '.join(SUFFIXES)}: give one of these suffixes")
    if not path.absolute().parent.is_dir():
        faults.append(f"{path.parent} is not a folder: make it first")
    if path.is_dir():
        faults.append(f"{path} is a folder: give a file")
    if faults or not isinstance(encoder, Sam2Encoder):
        raise ValueError("\n".join(faults))
    tensors = {name: x.detach().cpu().contiguous() for name, x in encoder.state_dict().items()}
    unfinished = path.with_name(f".{path.name}")
    try:
        if path.suffix == ".pt":
            torch.save({"model": tensors}, unfinished)
        else:
            save_file(tensors, unfinished, _metadata(restored))
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return len(tensors)


def expects(restored: Restored) -> str:
    """What the exported encoder wants to see, in words."""
    config: Any = restored.config
    size = f"RGB in [0, 1] at {config.image_size} x {config.image_size}"
    standardised = "ImageNet's mean and standard deviation taken out"
    return f"{size}, {standardised}" if config.sam2.standardise else f"{size}, as it is"


def _metadata(restored: Restored) -> dict[str, str]:
    return {"format": "pt", "input": expects(restored), "method": restored.method.name}
