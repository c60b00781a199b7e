"""The pretrained model within a trained network as plain weights, for programs without segtune."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel

from segcore.files import whole
from segcore.systems.rgb_encoders.sam2 import Sam2Encoder, read_everything
from segcore.systems.system import Published
from segcore.training.restore import Restored

ENCODER = "image_encoder."


def export(restored: Restored, path: Path) -> int:
    """Write what a system has published: SAM2's image encoder, a SAM, SAM3 or DINOv3, or another
    encoder.

    Adapters are folded in: tensors have the names and shapes of those that the training began with.

    SAM2: trunk and neck under the names of Meta's checkpoints (`image_encoder.*`), as
    `.safetensors`, or as `.pt` in Meta's form, `{"model": tensors}`, which
    `torch.load(path, weights_only=True)` reads. What SAM2 has besides (prompts, memory, mask
    decoder) was never trained. Where training began from Meta's file it is taken from there, and
    the sam2 package's `build_sam2(config, path)` reads a `.pt`. Else the file has the encoder
    alone: after `build_sam2` with Meta's file, `model.load_state_dict(tensors, strict=False)`.

    A model of transformers' (SamModel or SamVisionModel, Sam3VisionModel, DINOv3ViTModel): a folder
    that its `from_pretrained` reads, built for inputs of the size that it saw.

    Any other: its tensors, as `.safetensors`; timm's under its own names, positions of the size
    that it saw (`timm.create_model(NAME, img_size=SIDE, num_classes=0)`).

    Args:
        restored: as `segcore.training.restore.restore` gives it.
        path: the file, or the folder, to write.

    Returns:
        The number of tensors.

    Raises:
        ValueError: the network has nothing that other programs load, its adapters can't be folded
            in, the weights that it began from cannot be read any more, or the path is none to
            write; all of it.
    """
    published = restored.system.published()
    faults = [*_faults(restored, published, path)]
    if faults or published is None:
        raise ValueError("\n".join(faults))
    with whole(path) as place:
        return _write(restored, published, place)


def expects(restored: Restored) -> str:
    """What the exported model wants to see, in words."""
    published = restored.system.published()
    assert published is not None, "export has refused"
    height, width = published.size or restored.config.input_size
    return f"RGB in [0, 1] at {height} x {width}, {published.pixels}"


def _faults(restored: Restored, published: Published | None, path: Path) -> Iterator[str]:
    if published is None:
        yield (
            f"{restored.config.name} has no pretrained model that other programs load: nothing to "
            "export"
        )
    if not restored.method.mergeable:
        yield (
            f"the adapters of {restored.method.name} can't be folded into plain weights: predict "
            "with the checkpoint itself"
        )
    suffixes: tuple[str, ...] = (".safetensors", ".pt")
    if published is not None and isinstance(published.model, PreTrainedModel):
        suffixes = ("",)
    elif published is not None and not isinstance(published.model, Sam2Encoder):
        suffixes = (".safetensors",)
    if published is not None and path.suffix not in suffixes:
        wanted = "a folder, without a suffix" if suffixes == ("",) else " or ".join(suffixes)
        yield f"{path}: {published.name} is written as {wanted}"
    if not path.absolute().parent.is_dir():
        yield f"{path.parent} is not a folder: make it first"
    if path.is_dir():
        yield f"{path} is a folder that is there already: give another name"


def _write(restored: Restored, published: Published, path: Path) -> int:
    model = published.model
    if isinstance(model, PreTrainedModel):
        model.save_pretrained(path)
        return len(model.state_dict())
    tensors = model.state_dict()
    if isinstance(model, Sam2Encoder):
        tensors = _besides(restored) | tensors
    tensors = {name: x.detach().cpu().contiguous() for name, x in tensors.items()}
    if path.suffix == ".pt":
        torch.save({"model": tensors}, path)
    else:
        about = {"format": "pt", "input": expects(restored), "method": restored.method.name}
        save_file(tensors, path, about)
    return len(tensors)


def _besides(restored: Restored) -> dict[str, Tensor]:
    """What Meta's file has besides the encoder; nothing where training began from another."""
    config: Any = restored.config
    if config.rgb.checkpoint is None:
        return {}
    tensors = read_everything(Path(config.rgb.checkpoint))
    of_meta = any(name.startswith(ENCODER) for name in tensors)
    return {n: x for n, x in tensors.items() if of_meta and not n.startswith(ENCODER)}
