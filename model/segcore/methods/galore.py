"""`galore` and `srft_galore`: one optimizer; they differ in the projector and nothing else.

GaLore: Zhao et al., arXiv 2403.03507. SRFT-GaLore: arXiv 2511.03163.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from segcore.methods.method import Method, freeze_pretrained, head_group
from segcore.registry import STRICT
from segcore.schedule import OptimConfig
from segcore.systems.system import System, Targets
from srft_galore import GaLoreAdamW


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LowRankGradient(Method):
    """What both share: the targets' weights move along `rank` directions of their gradients."""

    projector: ClassVar[str]
    rank: Annotated[int, Field(ge=1)] = 8
    update_proj_gap: Annotated[int, Field(ge=1)] = 50
    """Optimizer steps between two refreshes of the basis."""
    scale: Annotated[float, Field(gt=0)] = 1.0
    """Factor of the back-projected update."""
    side: Literal["short", "left", "right"] = "short"
    """Which side of the gradient is projected; `short` is GaLore's rule."""
    targets: Targets = "attention"
    lr: Annotated[float, Field(gt=0, le=1)] = 3e-3
    """Peak learning rate of the projected weights."""

    def _sketch(self) -> dict[str, int]:
        """Options of the projector's own."""
        return {}

    def adapt(self, system: System) -> None:
        """Let the targets' weights move; their biases stay, as in the published code."""
        freeze_pretrained(system)
        for module in system.adaptable(self.targets).values():
            module.weight.requires_grad_(True)

    def optimizer(self, system: System, optim: OptimConfig) -> GaLoreAdamW:
        """Plain AdamW on the head, projected AdamW on the targets."""
        projected: dict[str, Any] = {
            "params": [m.weight for m in system.adaptable(self.targets).values()],
            "lr": self.lr,
            "rank": self.rank,
            "update_proj_gap": self.update_proj_gap,
            "scale": self.scale,
            "projector": self.projector,
            "side": self.side,
            **self._sketch(),
        }
        groups = [head_group(system, optim), projected]
        return GaLoreAdamW(groups, eps=optim.eps, weight_decay=optim.weight_decay)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Galore(LowRankGradient):
    """The basis is the exact leading singular vectors of the current gradient."""

    name: ClassVar[str] = "galore"
    projector: ClassVar[str] = "svd"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SrftGalore(LowRankGradient):
    """The basis is the range of a subsampled randomized Fourier sketch of the gradient."""

    name: ClassVar[str] = "srft_galore"
    projector: ClassVar[str] = "srft"
    oversample: Annotated[int, Field(ge=0)] = 0
    """Sketch columns beyond `rank`, truncated after the sketch."""
    power_iterations: Annotated[int, Field(ge=0)] = 0
    """Multiplications of the sketch by G G^T before it is orthonormalised."""

    def _sketch(self) -> dict[str, int]:
        return {"oversample": self.oversample, "power_iterations": self.power_iterations}
