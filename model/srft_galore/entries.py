"""The parameters that a step works on, and whether their gradients can be used."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .groups import plan
from .projection import Projection


class Entry(NamedTuple):
    """A parameter that has a gradient."""

    position: int
    """In the optimizer, over all groups."""
    group: dict[str, Any]
    lr: float
    parameter: Tensor
    gradient: Tensor
    projection: Projection | None


def with_gradients(groups: Sequence[dict[str, Any]]) -> Iterator[Entry]:
    """Parameters that have a gradient.

    Raises:
        ValueError: A gradient is sparse or complex.
    """
    position = -1
    for group in groups:
        lr = float(group["lr"])  # once per group: it may be a tensor on the GPU
        for parameter in group["params"]:
            position += 1
            gradient = parameter.grad
            if gradient is None or gradient.numel() == 0:
                continue
            if gradient.layout != torch.strided or not gradient.is_floating_point():
                raise ValueError(
                    f"The gradient of parameter {position} has layout {gradient.layout} and "
                    f"{gradient.dtype}; GaLoreAdamW takes dense real ones. Make it dense "
                    f"(nn.Embedding(sparse=False)) and real (torch.view_as_real)."
                )
            yield Entry(position, group, lr, parameter, gradient, plan(parameter, group))


def magnitudes(entries: Sequence[Entry]) -> list[float]:
    """Largest magnitude in each gradient, NaN and Inf where there are any.

    One transfer to the host for all gradients of one device and dtype.
    """
    places = defaultdict(list)
    for number, entry in enumerate(entries):
        places[entry.gradient.device, entry.gradient.dtype].append(number)
    found = [0.0] * len(entries)
    for numbers in places.values():
        norms = [torch.linalg.vector_norm(entries[i].gradient, float("inf")) for i in numbers]
        for i, norm in zip(numbers, torch.stack(norms).tolist(), strict=True):
            found[i] = norm
    return found
