"""Hooks that release gradients during the backward pass, and what a `GradScaler` finds there."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from srft_galore.entries import Entry
from srft_galore.gradients import check_gradient

from .previous import RefreshFromPrevious


class Attachment:
    """Hooks on the projected weights of a model: each releases its gradient once that is whole."""

    def __init__(
        self,
        parameters: Sequence[Tensor],
        entry: Callable[[Tensor], Entry],
        strategy: RefreshFromPrevious,
        attached: dict[Tensor, "Attachment"],
        scaler: torch.amp.GradScaler | None,
    ) -> None:
        """Register the hooks.

        Args:
            parameters: The projected weights of the model.
            entry: Gives a parameter as the optimizer sees it now.
            strategy: Releases the gradients.
            attached: The optimizer's attached parameters, to which these are added.
            scaler: Of the loss, where there is one.

        Raises:
            ValueError: There are no parameters, or one is attached already.
        """
        if not parameters:
            raise ValueError(
                "The model has none of the projected parameters of this optimizer: attach the "
                "one whose parameters it was built from."
            )
        if not attached.keys().isdisjoint(parameters):
            raise ValueError(
                "The model is attached already; call remove() of what attach returned first."
            )
        self._entry, self._strategy, self._scaler = entry, strategy, scaler
        self._handles = [p.register_post_accumulate_grad_hook(self._release) for p in parameters]
        self._parameters, self._attached = parameters, attached
        attached.update(dict.fromkeys(parameters, self))

    def remove(self) -> None:
        """Take the hooks off: gradients stay until the step again. A second call does nothing."""
        for handle in self._handles:
            handle.remove()
        for parameter in self._parameters:
            if self._attached.get(parameter) is self:
                del self._attached[parameter]

    def kept(self, parameter: Tensor) -> list[Tensor]:
        """What is kept of a gradient that was freed, as `GaLoreAdamW.reduce` sums it; nothing of
        the gradient of a parameter that is not attached."""
        freed = parameter in self._attached and parameter in self._strategy
        return self._strategy.kept(self._entry(parameter)) if freed else []

    def mark(self, entry: Entry) -> None:
        """Show the scaler, where there is one, whether what is kept of a gradient overflowed.

        `GradScaler` looks for NaN and Inf in `grad` and knows sparse gradients. So `grad` becomes
        a sparse tensor of one stored element, zero or NaN. Added to the gradient of the next
        microbatch it carries the NaN on.
        """
        if self._scaler is None:
            return
        parameter = entry.parameter
        sums = [tensor.sum() * 0 for tensor in self._strategy.kept(entry)]
        value = torch.stack(sums).sum().reshape(1).to(parameter)
        place = torch.zeros(parameter.dim(), 1, dtype=torch.int64, device=parameter.device)
        parameter.grad = torch.sparse_coo_tensor(
            place, value, parameter.shape, check_invariants=False
        )

    @torch.no_grad()
    def _release(self, parameter: Tensor) -> None:
        entry = self._entry(parameter)
        check_gradient(parameter, entry.position)
        scale = None
        if self._scaler is not None:
            scale = self._scaler.scale(torch.ones((), device=parameter.device))
        self._strategy.release(entry, scale)
        self._strategy.of_this_rank_alone = True
        self.mark(entry)


def is_overflow_mark(gradient: Tensor | None) -> bool:
    """Whether the gradient of a parameter that was released is what `Attachment.mark` left."""
    return gradient is not None and gradient.layout == torch.sparse_coo
