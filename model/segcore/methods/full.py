"""`full`: every pretrained weight moves."""

from typing import Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass
from torch.optim import AdamW

from segcore.methods.method import Method, adamw, groups_by_rate, head_groups
from segcore.registry import STRICT
from segcore.systems.system import System
from segcore.training.schedule import OptimConfig


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Full(Method):
    """Plain AdamW on both encoders and the head; the cost that the others want to save."""

    name: ClassVar[str] = "full"
    lr: Annotated[float, Field(gt=0, le=1)] = 2e-3
    """Peak learning rate of the pretrained weights."""

    def adapt(self, system: System) -> None:
        """Let every pretrained parameter move.

        Raises:
            ValueError: the system has none.
        """
        pretrained = system.pretrained()
        if not any(True for encoder in pretrained.values() for _ in encoder.parameters()):
            raise ValueError(
                "full: the system has no pretrained weights to move; use frozen, which trains all "
                "the rest"
            )
        for encoder in pretrained.values():
            encoder.requires_grad_(True)

    def optimizer(self, system: System, optim: OptimConfig) -> AdamW:
        """AdamW on head and encoders, at their own rates."""
        pretrained = [p for e in system.pretrained().values() for p in e.parameters()]
        moved = groups_by_rate(system, pretrained, self.lr)
        return adamw([*head_groups(system, optim), *moved], optim)
