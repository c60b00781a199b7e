"""`lora_qv`: LoRA on queries and values alone.

Hu et al. (arXiv 2106.09685, section 7.1) adapt W_q and W_v. SAM2's Hiera computes q, k and v with
one matrix, which peft can only adapt as a whole; SAM3 and DINOv3 have one for each.

Shape suffixes: I inputs, O outputs of q (also of k and of v), R rank.
"""

import math
from typing import ClassVar

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from segcore.methods.adapters import Adapters, replace_modules
from segcore.methods.method import freeze_pretrained
from segcore.registry import STRICT
from segcore.systems.system import System


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LoraQv(Adapters):
    """W_q + (alpha / rank) B_q A_q, and the same for v; k stays as it was pretrained."""

    name: ClassVar[str] = "lora_qv"
    gate: bool = False
    """Whether a linear map of the mean input of an image (of a window, where attention has windows)
    scales its adapters, as in I-MedSAM's code: a rest of a mixture of experts, which its paper does
    not mention. What depends on the input can't be merged. Queries and values that have a matrix of
    their own have a gate each."""

    @property
    def mergeable(self) -> bool:
        """Unless it has gates."""
        return not self.gate

    def adapt(self, system: System) -> None:
        """Freeze the encoders and adapt q and v of each block: rank * (inputs + outputs) parameters
        for each of the two.

        Raises:
            ValueError: the system has no projection to queries and values.
        """
        freeze_pretrained(system)
        fused, separate = system.fused_qkv(), system.separate_qv()
        if not (fused or separate):
            raise ValueError("lora_qv: the system has no queries and values to adapt; use lora")
        alpha = 2 * self.rank if self.alpha is None else self.alpha
        for kind, found in ((QvAdapter, fused), (LinearAdapter, separate)):
            for name, module in found.items():
                adapter = kind(module, self.rank, alpha / self.rank, gate=self.gate)
                system.set_submodule(name, adapter)

    def merge(self, system: System) -> None:
        """Add the products to the rows of q and v and put the plain layers back.

        Raises:
            ValueError: there are gates.
        """
        if self.gate:
            raise ValueError("method.gate: gated adapters depend on the input and can't be merged")
        replace_modules(
            system, ((name, m) for name, m in system.named_modules() if isinstance(m, _Adapted))
        )


class _Adapted(nn.Module):
    """What adapted layers share."""

    def __init__(self, base: nn.Linear, rank: int, scaling: float, *, gate: bool = False) -> None:
        super().__init__()
        self.base_layer = base
        self.scaling = scaling
        self._begin(base, rank)
        self.gate: nn.Linear | None = None
        if gate:
            self.gate = nn.Linear(base.in_features, 1, bias=False).to(base.weight)

    def _begin(self, base: nn.Linear, rank: int) -> None:
        """Add the small matrices."""
        raise NotImplementedError

    def _scale(self, x: Tensor) -> float | Tensor:
        """The factor of an adapter's output."""
        if self.gate is None:
            return self.scaling
        gated: Tensor = self.gate(x.mean(tuple(range(1, x.ndim - 1)), keepdim=True))
        return self.scaling * gated

    def get_base_layer(self) -> nn.Linear:
        """The layer that is adapted."""
        return self.base_layer


def _pair(base: nn.Linear, rank: int, outputs: int) -> tuple[nn.Parameter, nn.Parameter]:
    """A (rank, inputs), which begins as nn.Linear and LoRA's A do, and B (outputs, rank): zero."""

    def empty(*shape: int) -> nn.Parameter:
        return nn.Parameter(torch.zeros(shape, dtype=base.weight.dtype, device=base.weight.device))

    a_RI, b_OR = empty(rank, base.in_features), empty(outputs, rank)
    nn.init.kaiming_uniform_(a_RI, a=math.sqrt(5))
    return a_RI, b_OR


class LinearAdapter(_Adapted):
    """A linear map to q or v, with an adapter beside it."""

    def _begin(self, base: nn.Linear, rank: int) -> None:
        self.A_RI, self.B_OR = _pair(base, rank, base.out_features)

    def forward(self, x: Tensor) -> Tensor:
        """(..., O) from (..., I)."""
        added = F.linear(F.linear(x, self.A_RI), self.B_OR)
        out: Tensor = self.base_layer(x) + self._scale(x) * added
        return out

    @torch.no_grad()
    def merge(self) -> None:
        """Add the product to the weight."""
        self.base_layer.weight.add_(self.B_OR @ self.A_RI, alpha=self.scaling)


class QvAdapter(_Adapted):
    """A linear map to q, k and v in a row, with adapters beside q and v."""

    def _begin(self, base: nn.Linear, rank: int) -> None:
        outputs = base.out_features // 3
        self.q_A_RI, self.q_B_OR = _pair(base, rank, outputs)
        self.v_A_RI, self.v_B_OR = _pair(base, rank, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(..., 3 O) from (..., I)."""
        q, k, v = self.base_layer(x).chunk(3, dim=-1)
        scaling = self._scale(x)
        q = q + scaling * F.linear(F.linear(x, self.q_A_RI), self.q_B_OR)
        v = v + scaling * F.linear(F.linear(x, self.v_A_RI), self.v_B_OR)
        return torch.cat((q, k, v), dim=-1)

    @torch.no_grad()
    def merge(self) -> None:
        """Add the products to the weight."""
        q_OI, _, v_OI = self.base_layer.weight.chunk(3)
        q_OI.add_(self.q_B_OR @ self.q_A_RI, alpha=self.scaling)
        v_OI.add_(self.v_B_OR @ self.v_A_RI, alpha=self.scaling)
