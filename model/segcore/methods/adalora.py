"""`adalora`: adapters whose rank is shared out by importance (Zhang et al., arXiv 2303.10512).

Layers and importance scores are peft's. Its bookkeeping is kept in the optimizer's state, so that
an interrupted training goes on with it.
"""

import math
from typing import Annotated, Any, ClassVar

import torch
from peft import AdaLoraConfig
from peft.tuners.adalora import RankAllocator, SVDLinear
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.optim import Optimizer

from segcore.methods.adapters import PeftAdapters
from segcore.methods.method import LARGEST_RANK
from segcore.registry import STRICT
from segcore.systems.system import System

ADAPTER = "default"
"""peft's name of the one adapter of a layer."""
_Allocator: Any = RankAllocator  # untyped


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AdaLora(PeftAdapters):
    """W + (alpha / initial rank) B diag(E) A with W frozen. Every target starts with `init_rank`;
    the least important entries of E, over all targets, are set to zero until `rank` remain on
    average. Tensors keep their size, so that parameters and state are those of `init_rank`."""

    name: ClassVar[str] = "adalora"
    averages: ClassVar[bool] = False
    """Ranks that it sets to zero would come back in a mean."""
    init_rank: Annotated[int, Field(ge=2, le=LARGEST_RANK)] | None = None
    """Rank at the start; None takes one and a half times `rank`, the paper's budget."""
    orthogonality: Annotated[float, Field(ge=0)] = 0.5
    """Weight of the loss that keeps B's columns and A's rows orthonormal."""
    beta1: Annotated[float, Field(gt=0, lt=1)] = 0.85
    """Memory of a parameter's sensitivity |w dL/dw|."""
    beta2: Annotated[float, Field(gt=0, lt=1)] = 0.85
    """Memory of how much the sensitivity varies."""
    interval: Annotated[int, Field(ge=1)] = 10
    """Steps between two allocations."""
    start: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the training before the budget begins to fall."""
    end: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Share of the training at which it has fallen to `rank`; the allocation then stays."""

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise ValueError(f"start={self.start} must be less than end={self.end}")
        if self.initial <= self.rank:
            raise ValueError(f"init_rank={self.initial} must be more than rank={self.rank}")

    @property
    def initial(self) -> int:
        """Rank of every target at the start."""
        return math.ceil(1.5 * self.rank) if self.init_rank is None else self.init_rank

    def peft_config(self, names: list[str], *, last: int = 2) -> AdaLoraConfig:
        """initial rank * (inputs + outputs + 1) parameters per target.

        Args:
            names: of the targets.
            last: step of the last allocation.
        """
        return AdaLoraConfig(
            init_r=self.initial,
            target_r=self.rank,
            lora_alpha=2 * self.initial if self.alpha is None else self.alpha,
            target_modules=names,
            beta1=self.beta1,
            beta2=self.beta2,
            deltaT=self.interval,
            tinit=min(int(self.start / self.end * last), last - 1),
            total_step=last,
        )

    def extra_loss(self, system: System) -> Tensor:
        """Mean distance ||A A^T - 1|| or ||B^T B - 1|| (Frobenius), weighted, as peft adds it."""
        distances = []
        for layer in svd_layers(system).values():
            rows: Tensor
            for rows in (layer.lora_A[ADAPTER], layer.lora_B[ADAPTER].mT):
                one = torch.eye(len(rows), dtype=rows.dtype, device=rows.device)
                distances.append(torch.linalg.norm(rows @ rows.mT - one))
        return self.orthogonality * torch.stack(distances).mean()

    def after_step(self, system: System, optimizer: Optimizer, step: int, total_steps: int) -> None:
        """Score every entry, and set to zero those beyond the budget of this step."""
        last = max(2, round(self.end * total_steps))
        layers = svd_layers(system)
        entries = {f"{name}.lora_E.{ADAPTER}": m.lora_E[ADAPTER] for name, m in layers.items()}
        if step <= last:
            allocator = _Allocator(system, self.peft_config(list(layers), last=last), ADAPTER)
            _recall(allocator, system, optimizer)
            _, kept = allocator.update_and_allocate(system, step, force_mask=step == last)
            _remember(allocator, system, optimizer)
            for name, mask in (kept or {}).items():
                optimizer.state[entries[name]]["kept"] = torch.tensor(mask).to(entries[name])[
                    :, None
                ]
        else:
            with torch.no_grad():
                for entry in entries.values():
                    entry.mul_(optimizer.state[entry]["kept"])


def svd_layers(system: System) -> dict[str, Any]:
    """The adapted layers by path."""
    return {name: m for name, m in system.named_modules() if isinstance(m, SVDLinear)}


def _recall(allocator: Any, system: System, optimizer: Optimizer) -> None:
    """Give the allocator the averages that the optimizer keeps."""
    for name, parameter in _scored(system).items():
        state = optimizer.state[parameter]
        if "sensitivity" in state:
            allocator.ipt[name] = allocator.exp_avg_ipt[name] = state["sensitivity"]
            allocator.exp_avg_unc[name] = state["uncertainty"]


def _remember(allocator: Any, system: System, optimizer: Optimizer) -> None:
    for name, parameter in _scored(system).items():
        state = optimizer.state[parameter]
        state["sensitivity"] = allocator.exp_avg_ipt[name]
        state["uncertainty"] = allocator.exp_avg_unc[name]


def _scored(system: System) -> dict[str, nn.Parameter]:
    """The parameters that have a score, under the names by which the allocator knows them."""
    return {n: p for n, p in system.named_parameters() if "lora_" in n and p.requires_grad}
