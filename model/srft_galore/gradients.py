"""Whether a gradient can be used."""

import math
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .batches import takes_batches
from .state import moment_dtype


def check_gradient(parameter: Tensor, position: int) -> None:
    """Refuse a gradient that a step cannot handle.

    Args:
        parameter: With or without a gradient.
        position: Of the parameter in the optimizer, for the message.

    Raises:
        ValueError: The gradient is sparse or complex, or the parameter is a DTensor.
    """
    gradient = parameter.grad
    if gradient is None:
        return
    if gradient.layout != torch.strided or not gradient.is_floating_point():
        raise ValueError(
            f"The gradient of parameter {position} has layout {gradient.layout} and "
            f"{gradient.dtype}; GaLoreAdamW takes dense real ones. Make it dense "
            f"(nn.Embedding(sparse=False)) and real (torch.view_as_real)."
        )
    distributed = sys.modules.get("torch.distributed.tensor")  # no DTensor without it
    if distributed is not None and isinstance(parameter, distributed.DTensor):
        raise ValueError(
            f"Parameter {position} is a DTensor (FSDP2, tensor parallel): a shard has another "
            f"subspace than its weight. Leave the weight whole (ignored_params of fully_shard) "
            f"and let GaLoreAdamW.reduce sum the projected gradients."
        )


class Extremes(NamedTuple):
    """What the least and the largest element of a tensor say about all of them."""

    finite: bool
    """Whether no element is NaN or infinite."""
    zero: bool
    """Whether every element is zero."""

    @property
    def usable(self) -> bool:
        """Whether a basis can be computed from such a gradient or sketch."""
        return self.finite and not self.zero


def extremes(tensors: Sequence[Tensor]) -> list[Extremes]:
    """Whether each tensor is finite, or zero throughout; one transfer to the host per kind."""
    found = [Extremes(True, True)] * len(tensors)
    for numbers in _by_kind(tensors):
        if takes_batches(tensors[numbers[0]].device):
            norms = torch._foreach_norm([tensors[i] for i in numbers], math.inf)
            read = torch.stack(list(norms)).cpu().tolist()  # a NaN or Inf in a tensor is its norm
            for i, norm in zip(numbers, read, strict=True):
                found[i] = Extremes(math.isfinite(norm), norm == 0)
            continue
        pairs = [torch.stack(torch.aminmax(tensors[i])) for i in numbers]
        for i, (least, largest) in zip(numbers, torch.stack(pairs).tolist(), strict=True):
            finite = math.isfinite(least) and math.isfinite(largest)
            found[i] = Extremes(finite, least == largest == 0)
    return found


def norms_of(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The Euclidean norm of each tensor, a scalar in the dtype of the arithmetic."""
    norms = [torch.zeros((), device="cpu")] * len(tensors)
    for numbers in _by_kind(tensors):
        some = [tensors[i] for i in numbers]
        dtype = moment_dtype(some[0])
        if takes_batches(some[0].device):
            found = list(torch._foreach_norm(some, 2, dtype))
        else:
            found = [torch.linalg.vector_norm(tensor, dtype=dtype) for tensor in some]
        for i, norm in zip(numbers, found, strict=True):
            norms[i] = norm
    return norms


def scale_all(tensors: Sequence[Tensor], factor: Tensor) -> None:
    """Multiply tensors by a scalar in place."""
    for numbers in _by_kind(tensors):
        some = [tensors[i] for i in numbers]
        if takes_batches(some[0].device):
            torch._foreach_mul_(some, factor.to(some[0]))
            continue
        for tensor in some:
            tensor.mul_(factor.to(tensor))


def _by_kind(tensors: Sequence[Tensor]) -> Iterable[list[int]]:
    """Numbers of the tensors of each device and dtype."""
    numbers_by_kind = defaultdict(list)
    for number, tensor in enumerate(tensors):
        numbers_by_kind[tensor.device, tensor.dtype].append(number)
    return numbers_by_kind.values()
