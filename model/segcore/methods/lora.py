"""`lora`: low-rank adapters beside frozen weights (Hu et al., arXiv 2106.09685), by peft."""

from typing import Annotated, ClassVar

from peft import LoraConfig, inject_adapter_in_model
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch.optim import AdamW

from segcore.methods.method import Method, freeze_pretrained, head_group
from segcore.registry import STRICT
from segcore.schedule import OptimConfig
from segcore.systems.system import System, Targets


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Lora(Method):
    """W + (alpha / rank) B A with W frozen, on the targets of the RGB encoder."""

    name: ClassVar[str] = "lora"
    rank: Annotated[int, Field(ge=1)] = 8
    alpha: Annotated[int, Field(ge=1)] | None = None
    """Numerator of the scaling; None takes 2 * rank, so that the scaling stays 2."""
    targets: Targets = "attention"
    lr: Annotated[float, Field(gt=0, le=1)] = 1e-2
    """Peak learning rate of A and B."""

    def adapt(self, system: System) -> None:
        """Freeze the encoders and put A (random) and B (zero) beside each target."""
        freeze_pretrained(system)
        names = list(system.adaptable(self.targets))
        config = LoraConfig(
            r=self.rank,
            lora_alpha=2 * self.rank if self.alpha is None else self.alpha,
            target_modules=names,
        )
        moved = [(p, p.requires_grad) for p in system.parameters()]
        inject_adapter_in_model(config, system)
        for parameter, requires_grad in moved:  # peft freezes all that is not its own
            parameter.requires_grad_(requires_grad)

    def optimizer(self, system: System, optim: OptimConfig) -> AdamW:
        """AdamW on head and adapters, at their own rates."""
        adapters = [
            p for e in system.pretrained().values() for p in e.parameters() if p.requires_grad
        ]
        groups = [head_group(system, optim), {"params": adapters, "lr": self.lr}]
        return AdamW(groups, weight_decay=optim.weight_decay)
