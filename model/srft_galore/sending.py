"""Tensors of the host's, to a device without a wait; and CUDA graphs, which know no host."""

import torch
from torch import Tensor


def is_captured(device: torch.device) -> bool:
    """Whether what is launched on a device now goes into a CUDA graph."""
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


def moved(values: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host's on a device."""
    if device.type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


def send(values: Tensor, target: Tensor) -> None:
    """Overwrite a tensor of a device with one of the host.

    Raises:
        RuntimeError: A CUDA graph is being captured: its replays would read what the host's memory
            holds then.
    """
    if is_captured(target.device):
        raise RuntimeError(
            "A CUDA graph is being captured, and options of a group or the parameters that have a "
            "gradient are others than in the step before: make a step like it first. A learning "
            "rate that is to change between replays has to be a tensor on the GPU."
        )
    target.copy_(moved(values, target.device))
