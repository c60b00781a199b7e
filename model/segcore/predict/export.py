"""A trained network's SAM2 as plain weights, for programs without segtune."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from segcore.systems.sam2_encoder import Sam2Encoder, read_everything
from segcore.training.restore import Restored

SUFFIXES = (".safetensors", ".pt")
ENCODER = "image_encoder."


def export(restored: Restored, path: Path) -> int:
    """Write SAM2's trunk and neck under the names of Meta's checkpoints (`image_encoder.*`).

    Adapters are folded in: the encoder's tensors have the names and shapes of those that the
    training began with. What SAM2 has besides (prompts, memory, mask decoder) was never trained.
    Where training began from Meta's file it is taken from there, and the sam2 package's
    `build_sam2(config, path)` reads a `.pt`. Else the file has the encoder alone: after
    `build_sam2` with Meta's file, `model.load_state_dict(tensors, strict=False)`.

    Args:
        restored: as `segcore.training.restore.restore` gives it.
        path: `.safetensors`, or `.pt` in Meta's form, `{"model": tensors}`, which
            `torch.load(path, weights_only=True)` reads.

    Returns:
        The number of tensors.

    Raises:
        ValueError: the network has no SAM2, its adapters can't be folded in, the weights that it
            began from cannot be read any more, or the file's suffix or folder is not one to write.
    """
    faults = []
    encoder = restored.system.pretrained().get("sam2")
    if not isinstance(encoder, Sam2Encoder):
        faults.append(f"{restored.config.name} has no SAM2 image encoder: nothing to export")
    if not restored.method.mergeable:
        faults.append(
            f"the adapters of {restored.method.name} depend on what the network sees: they are no "
            "plain weights. Predict with the checkpoint itself"
        )
    if path.suffix not in SUFFIXES:
        faults.append(f"{path} is neither {' nor '.join(SUFFIXES)}: give one of these suffixes")
    if not path.absolute().parent.is_dir():
        faults.append(f"{path.parent} is not a folder: make it first")
    if path.is_dir():
        faults.append(f"{path} is a folder: give a file")
    if faults or not isinstance(encoder, Sam2Encoder):
        raise ValueError("\n".join(faults))
    tensors = _besides(restored) | encoder.state_dict()
    tensors = {name: x.detach().cpu().contiguous() for name, x in tensors.items()}
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
    height, width = restored.config.input_size
    size = f"RGB in [0, 1] at {height} x {width}"
    standardised = "ImageNet's mean and standard deviation taken out"
    return f"{size}, {standardised}" if config.sam2.standardise else f"{size}, as it is"


def _besides(restored: Restored) -> dict[str, Tensor]:
    """What Meta's file has besides the encoder; nothing where training began from another."""
    config: Any = restored.config
    if config.sam2.checkpoint is None:
        return {}
    tensors = read_everything(Path(config.sam2.checkpoint))
    of_meta = any(name.startswith(ENCODER) for name in tensors)
    return {n: x for n, x in tensors.items() if of_meta and not n.startswith(ENCODER)}


def _metadata(restored: Restored) -> dict[str, str]:
    return {"format": "pt", "input": expects(restored), "method": restored.method.name}
