"""`full`: pretrained weights move, whole."""

from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.optim import AdamW

from segcore.methods.method import (
    AdaptingMethod,
    adamw,
    freeze_pretrained,
    head_groups,
    layers_to_adapt,
    parameter_groups,
)
from segcore.registry import STRICT
from segcore.systems.system import System
from segcore.training.schedule import OptimConfig


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Full(AdaptingMethod):
    """Plain AdamW on pretrained weights and the head; the cost that the others want to save."""

    name: ClassVar[str] = "full"
    of_head_rate: ClassVar[float] = 2 / 3
    targets: Literal["all", "encoder", "attention+mlp", "attention"] = "all"
    """Which pretrained weights move. `all`: every one. `encoder`: all of the encoder that other
    methods adapt, which of the dual encoder is SAM2. `attention`, `attention+mlp`: the weights that
    low-rank methods move, and no others, so that the rank alone tells them apart."""

    def adapt(self, system: System) -> None:
        """Let the targets move.

        Raises:
            ValueError: the system has none.
        """
        if not any(True for encoder in system.pretrained().values() for _ in encoder.parameters()):
            raise ValueError(
                "full: the system has no pretrained weights to move; use frozen, which trains all "
                "the rest"
            )
        freeze_pretrained(system)
        for parameter in self._targets(system):
            parameter.requires_grad_(True)

    def optimizer(self, system: System, optim: OptimConfig) -> AdamW:
        """AdamW on head and targets, at their own rates."""
        moved = parameter_groups(system, self._targets(system), self.rate(optim), optim)
        return adamw([*head_groups(system, optim), *moved], optim)

    def _targets(self, system: System) -> list[Tensor]:
        if self.targets == "attention" or self.targets == "attention+mlp":
            return [module.weight for module in layers_to_adapt(system, self.targets).values()]
        encoders = system.pretrained()
        if self.targets == "encoder":
            adapted = layers_to_adapt(system, "attention")
            encoders = {
                name: encoder
                for name, encoder in encoders.items()
                if any(path.startswith(f"{name}.") for path in adapted)
            }
        return [p for encoder in encoders.values() for p in encoder.parameters()]
