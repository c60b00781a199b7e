"""What the methods with adapters share."""

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import nn
from torch.optim import AdamW

from segcore.methods.method import (
    LARGEST_RANK,
    AdaptingMethod,
    adamw,
    freeze_pretrained,
    head_groups,
    layers_to_adapt,
    parameter_groups,
)
from segcore.registry import STRICT
from segcore.systems.system import System, Targets
from segcore.training.schedule import OptimConfig


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Adapters(AdaptingMethod):
    """Frozen weights with small trained matrices beside them; A starts random, B zero."""

    of_head_rate: ClassVar[float] = 10 / 3
    rank: Annotated[int, Field(ge=1, le=LARGEST_RANK)] = 8
    alpha: Annotated[int, Field(ge=1)] | None = None
    """Numerator of the scaling alpha / rank; None takes twice the rank: a scaling of 2."""

    def optimizer(self, system: System, optim: OptimConfig) -> AdamW:
        """AdamW on head and adapters, at their own rates."""
        return of_head_and_adapters(system, optim, self.rate(optim))


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PeftAdapters(Adapters):
    """Adapters that peft puts in."""

    targets: Targets = "attention"

    def peft_config(self, names: list[str]) -> Any:
        """peft's configuration of adapters on the modules of these names."""
        raise NotImplementedError

    def adapt(self, system: System) -> None:
        """Freeze the encoders and put adapters beside each target.

        Raises:
            ValueError: the system has no such target.
        """
        from peft import inject_adapter_in_model  # a second, for those who adapt a network alone

        freeze_pretrained(system)
        names = list(layers_to_adapt(system, self.targets))
        moved = [(p, p.requires_grad) for p in system.parameters()]
        inject_adapter_in_model(self.peft_config(names), system)
        for parameter, requires_grad in moved:  # peft freezes all that is not its own
            parameter.requires_grad_(requires_grad)

    def merge(self, system: System) -> None:
        """Add each adapter's product to its weight and put the plain layer back."""
        from peft.tuners.tuners_utils import BaseTunerLayer

        replace_modules(
            system,
            ((name, m) for name, m in system.named_modules() if isinstance(m, BaseTunerLayer)),
        )


def of_head_and_adapters(system: System, optim: OptimConfig, lr: float) -> AdamW:
    """AdamW on the head, and on what moves within the frozen parts.

    Args:
        system: with its adapters.
        optim: the head's settings.
        lr: peak learning rate of the adapters.
    """
    adapters = [p for e in system.pretrained().values() for p in e.parameters() if p.requires_grad]
    moved = parameter_groups(system, adapters, lr, optim)
    return adamw([*head_groups(system, optim), *moved], optim)


def replace_modules(system: System, adapted: Iterable[tuple[str, Any]]) -> None:
    """Put merged plain layers in the place of adapted ones.

    Args:
        system: what they are in.
        adapted: path and module, which offers peft's `merge` and `get_base_layer`.
    """
    for name, module in list(adapted):
        module.merge()
        base: nn.Module = module.get_base_layer()
        system.set_submodule(name, base)
