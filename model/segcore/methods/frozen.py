"""`frozen`: only the head trains."""

from typing import ClassVar

from pydantic.dataclasses import dataclass
from torch.optim import AdamW

from segcore.methods.method import Method, adamw, freeze_pretrained, head_groups
from segcore.registry import STRICT
from segcore.systems.system import System
from segcore.training.schedule import OptimConfig


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Frozen(Method):
    """The pretrained encoders as they came; the lower bound of every comparison."""

    name: ClassVar[str] = "frozen"
    adapts: ClassVar[bool] = False

    def adapt(self, system: System) -> None:
        """Freeze the pretrained encoders."""
        freeze_pretrained(system)

    def optimizer(self, system: System, optim: OptimConfig) -> AdamW:
        """AdamW on the head."""
        return adamw(head_groups(system, optim), optim)
