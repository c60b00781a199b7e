"""What every method offers: which parameters move, and which optimizer moves them."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from segcore.methods import METHODS
from segcore.methods.layer_decay import layer_factors
from segcore.methods.updater import Updater
from segcore.registry import STRICT, Choice
from segcore.systems.system import System, Targets
from segcore.tables import Table
from segcore.training.schedule import OptimConfig

LARGEST_RANK = 4096
"""Of any method: no layer of the encoders is as narrow as that, and matrices of a rank that was
mistyped would not fit into memory."""


class Method(Choice):
    """Base of the methods: frozen pydantic dataclasses."""

    table: ClassVar[Table] = METHODS
    adapts: ClassVar[bool] = True
    """Whether it moves, or puts something that moves into, pretrained encoders."""
    averages: ClassVar[bool] = True
    """Whether a mean of its weights over the steps is as good a network as the weights are."""

    def adapt(self, system: System) -> None:
        """Set in place which pretrained parameters move, and put adapters in.

        Called once, before weights are restored. The head always trains.
        """
        raise NotImplementedError

    def optimizer(self, system: System, optim: OptimConfig) -> Optimizer:
        """The optimizer of an adapted system; each group's `lr` is its peak rate."""
        raise NotImplementedError

    def rate(self, optim: OptimConfig) -> float | None:
        """Peak learning rate of what it adapts; None: it adapts nothing, or does not say."""
        return None

    def updater(self, system: System, optim: OptimConfig) -> Updater:
        """The optimizer of an adapted system, with what a training asks of it beside the step."""
        return Updater(system, self.optimizer(system, optim))

    def extra_loss(self, system: System) -> Tensor | float:
        """What is added to the loss of every batch: a scalar of the parameters alone."""
        return 0.0

    def after_step(self, system: System, optimizer: Optimizer, step: int, total_steps: int) -> None:
        """Called after each optimizer step, its gradients still in place.

        What must survive an interruption goes into the optimizer's state: it is saved.

        Args:
            system: the adapted system.
            optimizer: what `optimizer` gave.
            step: number of the step, from 1.
            total_steps: of the whole training.
        """

    @property
    def mergeable(self) -> bool:
        """Whether all that it adds can be folded into plain weights."""
        return True

    def merge(self, system: System) -> None:
        """Fold adapters into the weights they stand beside and take them out, in place.

        The system then has the modules and names of an unadapted one, and predicts the same.

        Raises:
            ValueError: it is not `mergeable`.
        """


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AdaptingMethod(Method):
    """Base of the methods that move, or put something beside, pretrained weights."""

    of_head_rate: ClassVar[float]
    """The rate that this method wants, as a multiple of the head's: found on the nano presets."""

    lr: Annotated[float, Field(gt=0, le=1)] | None = None
    """Peak learning rate of what is adapted; None: `of_head_rate` times `optim.lr`, so that it
    follows the preset's."""

    def rate(self, optim: OptimConfig) -> float:
        """Peak learning rate of what is adapted."""
        return self.of_head_rate * optim.lr if self.lr is None else self.lr


def layers_to_adapt(system: System, targets: Targets) -> Mapping[str, nn.Linear]:
    """The pretrained projections that a low-rank method adapts, by module path.

    Raises:
        ValueError: the system has none.
    """
    found = system.adaptable(targets)
    if not found:
        raise ValueError(
            f"method.targets = {targets!r}: the system has no such layers to adapt; use frozen, "
            "which trains all the rest"
        )
    return found


def freeze_pretrained(system: System) -> None:
    """Stop every pretrained parameter from moving."""
    for encoder in system.pretrained().values():
        encoder.requires_grad_(False)


def head_parameters(system: System) -> list[nn.Parameter]:
    """The parameters that every method trains (of parts with the role `head` or `tuned`), in module
    order."""
    pretrained = {id(p) for encoder in system.pretrained().values() for p in encoder.parameters()}
    return [p for p in system.parameters() if id(p) not in pretrained]


def head_groups(system: System, optim: OptimConfig) -> list[dict[str, Any]]:
    """The parameter groups that every method has, at the rate of `optim`."""
    trained = [p for p in head_parameters(system) if p.requires_grad]
    return parameter_groups(system, trained, optim.lr, optim)


def parameter_groups(
    system: System, parameters: Iterable[Tensor], lr: float, optim: OptimConfig, **options: Any
) -> list[dict[str, Any]]:
    """Parameter groups, one for each rate and weight decay among the parameters: a system's parts
    have factors of the rate, and `optim` may spare vectors and slow down lower layers.

    Args:
        system: whose parts hold the parameters.
        parameters: in the order in which they are to stand.
        lr: peak rate of a part whose factor is 1.
        optim: the settings that all optimizers share.
        options: of every group.

    Raises:
        ValueError: `optim.layer_decay` without transformer blocks to tell layers by.
    """
    rates = {id(p): part.rate for part in system.parts().values() for p in part.module.parameters()}
    factors = {} if optim.layer_decay == 1 else layer_factors(system, optim.layer_decay)
    groups: dict[tuple[float, bool], list[Tensor]] = {}
    for parameter in parameters:
        rate = rates[id(parameter)] * factors.get(id(parameter), 1.0)
        decays = optim.decayed == "all" or parameter.ndim > 1
        groups.setdefault((rate, decays), []).append(parameter)
    return [
        {"params": same, "lr": lr * rate, **({} if decays else {"weight_decay": 0.0}), **options}
        for (rate, decays), same in groups.items()
    ]


def adamw(groups: list[dict[str, Any]], optim: OptimConfig) -> AdamW:
    """Plain AdamW on parameter groups that have their own peak rates.

    Fused, as `GaLoreAdamW` moves its plain groups: seconds then compare methods, not loops.
    """
    return AdamW(groups, eps=optim.eps, weight_decay=optim.weight_decay, fused=True)
