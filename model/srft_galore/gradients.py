"""Whether a gradient can be used, and norms."""

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


def largest_projected(dtype: torch.dtype) -> float:
    """The largest element that a projected gradient may have, by the dtype of the parameter.

    Adam's second moment holds its square, which a refresh of the basis sums over a row and divides
    by a bias correction: a thousandth of what can be squared leaves room for both. Beyond it
    moments would become infinite, and NaN where they are rotated.
    """
    return math.sqrt(torch.finfo(torch.promote_types(dtype, torch.float32)).max) / 1000


class Size(NamedTuple):
    """How large the elements of a tensor are."""

    largest: float
    """The largest magnitude; NaN or infinite where an element is."""
    limit: float
    """What the arithmetic of a projected gradient takes (`largest_projected`)."""

    @property
    def finite(self) -> bool:
        """Whether no element is NaN or infinite."""
        return math.isfinite(self.largest)

    @property
    def in_range(self) -> bool:
        """Whether a step can be made from such a projected gradient."""
        return self.largest <= self.limit

    @property
    def gives_basis(self) -> bool:
        """Whether a basis can be computed from such a gradient or sketch."""
        return 0 < self.largest <= self.limit


def sizes(tensors: Sequence[Tensor]) -> list[Size]:
    """How large the elements of each tensor are; one transfer to the host per device and dtype."""
    found = [Size(0.0, 0.0)] * len(tensors)
    for numbers in _by_kind(tensors):
        some = [tensors[i] for i in numbers]
        if takes_batches(some[0].device):
            norms = torch._foreach_norm(some, math.inf)
            read = torch.stack(list(norms)).cpu().tolist()  # a NaN or Inf in a tensor is its norm
        else:
            pairs = torch.stack([torch.stack(torch.aminmax(tensor)) for tensor in some])
            read = [max(-least, largest) for least, largest in pairs.tolist()]
        limit = largest_projected(some[0].dtype)
        for i, largest in zip(numbers, read, strict=True):
            found[i] = Size(largest, limit)
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
