"""Hooks that release gradients during the backward pass, and what a `GradScaler` finds there."""

import gc
import threading
import weakref
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from srft_galore.entries import Entry
from srft_galore.gradients import check_gradient

if TYPE_CHECKING:
    from .strategies import Strategies


class Attachment:
    """Hooks on the projected weights of a model: each releases its gradient once that is whole.

    The hooks live as long as the optimizer: without it they are taken off, or do nothing.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        strategies: "Strategies",
        scaler: torch.amp.GradScaler | None,
    ) -> None:
        """Register the hooks.

        Args:
            parameters: The projected weights of the model.
            strategies: Of the optimizer; release the gradients.
            scaler: Of the loss, where there is one.

        Raises:
            ValueError: There are no parameters, or one is attached already.
        """
        if not parameters:
            raise ValueError(
                "The model has none of the projected parameters of this optimizer, or they are "
                "frozen: attach the one that it was built from, and unfreeze them first."
            )
        _refuse_attached(parameters, strategies)
        self._strategies, self._scaler = weakref.ref(strategies), scaler
        self._parameters = parameters
        release = _calls_weakly(self._release)
        handles = [p.register_post_accumulate_grad_hook(release) for p in parameters]
        self._take_off = weakref.finalize(self, _remove_all, handles)
        self._take_off.atexit = False
        strategies.attached.update(dict.fromkeys(parameters, self))
        with _LOCK:
            _ATTACHMENTS.add(self)

    @property
    def strategies(self) -> "Strategies | None":
        """Of the optimizer; None where that is gone."""
        return self._strategies()

    def remove(self) -> None:
        """Take the hooks off: gradients stay until the step again. A second call does nothing."""
        self._take_off()
        with _LOCK:
            _ATTACHMENTS.discard(self)
        strategies = self.strategies
        if strategies is not None:
            for parameter in self._parameters:
                if strategies.attached.get(parameter) is self:
                    del strategies.attached[parameter]

    def kept(self, parameter: Tensor) -> list[Tensor]:
        """What is kept of a gradient that was freed, as `GaLoreAdamW.reduce` sums it; nothing of
        the gradient of a parameter that is not attached."""
        strategies = self.strategies
        if strategies is None or parameter not in strategies.attached:
            return []
        freed = parameter in strategies.previous
        return strategies.previous.kept(strategies.entry(parameter)) if freed else []

    def mark(self, entry: Entry) -> None:
        """Show the scaler, where there is one, whether what is kept of a gradient overflowed.

        `GradScaler` looks for NaN and Inf in `grad` and knows sparse gradients. So `grad` becomes
        a sparse tensor of one stored element, zero or NaN. Added to the gradient of the next
        microbatch it carries the NaN on.
        """
        strategies = self.strategies
        if self._scaler is None or strategies is None:
            return
        parameter = entry.parameter
        sums = [tensor.sum() * 0 for tensor in strategies.previous.kept(entry)]
        value = torch.stack(sums).sum().reshape(1).to(parameter)
        place = torch.zeros(parameter.dim(), 1, dtype=torch.int64, device=parameter.device)
        parameter.grad = torch.sparse_coo_tensor(
            place, value, parameter.shape, check_invariants=False
        )

    @torch.no_grad()
    def _release(self, parameter: Tensor) -> None:
        strategies = self.strategies
        if strategies is None:
            return
        entry = strategies.entry(parameter)
        check_gradient(parameter, entry.position)
        scale = None
        if self._scaler is not None:
            scale = self._scaler.scale(torch.ones((), device=parameter.device))
        strategies.previous.release(entry, scale)
        strategies.previous.of_this_rank_alone = True
        self.mark(entry)


_ATTACHMENTS: weakref.WeakSet[Attachment] = weakref.WeakSet()
"""All whose hooks are in place, of every optimizer."""
_LOCK = threading.Lock()
"""Of that set."""


def is_overflow_mark(gradient: Tensor | None) -> bool:
    """Whether the gradient of a parameter that was released is what `Attachment.mark` left."""
    return gradient is not None and gradient.layout == torch.sparse_coo


def check_not_freed_elsewhere(parameters: Collection[Tensor], strategies: "Strategies") -> None:
    """Refuse a step without gradients that hooks of another optimizer have freed.

    Args:
        parameters: Projected ones without a gradient.
        strategies: Of the optimizer that makes the step.

    Raises:
        RuntimeError: Another optimizer frees the gradient of one.
    """
    for other in _others(strategies):
        taken = sum(p in other.previous or p in other.attached for p in parameters)
        if taken:
            raise RuntimeError(
                f"The gradients of {taken} projected parameters were freed for another optimizer "
                f"that is attached to the model, so that they could not move here. {_CALL_REMOVE}"
            )


def _refuse_attached(parameters: Collection[Tensor], strategies: "Strategies") -> None:
    ours = sum(parameter in strategies.attached for parameter in parameters)
    if ours:
        raise ValueError(
            f"Of {len(parameters)} projected parameters of the model {ours} are attached already. "
            f"{_CALL_REMOVE}"
        )

    def theirs() -> int:
        attached = {p for other in _others(strategies) for p in other.attached}
        return sum(parameter in attached for parameter in parameters)

    if theirs():
        gc.collect()  # a scheduler and its optimizer hold each other
    if count := theirs():
        raise ValueError(
            f"Of {len(parameters)} projected parameters of the model {count} are attached to "
            f"another optimizer. {_CALL_REMOVE}"
        )


_CALL_REMOVE = "Call remove() of what attach returned there first."


def _others(strategies: "Strategies") -> list["Strategies"]:
    """Of the other optimizers that are attached to something."""
    with _LOCK:
        attachments = list(_ATTACHMENTS)
    found = {id(one): one for a in attachments if (one := a.strategies) not in (None, strategies)}
    return list(found.values())


def _calls_weakly(method: Callable[[Tensor], None]) -> Callable[[Tensor], None]:
    """Calls the method of an object, which it does not keep alive, as long as there is one."""
    reference = weakref.WeakMethod(method)

    def call(parameter: Tensor) -> None:
        alive = reference()
        if alive is not None:
            alive(parameter)

    return call


def _remove_all(handles: Sequence[torch.utils.hooks.RemovableHandle]) -> None:
    for handle in handles:
        handle.remove()
