"""AdamW on projected gradients: GaLore (arXiv 2403.03507) with an exchangeable projector."""

from collections.abc import Callable
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.optim.optimizer import ParamsT

from .entries import Entry
from .groups.checks import check_edited, check_released, complete_group
from .groups.options import PROJECTION_DEFAULTS
from .groups.torch_options import check_arguments
from .parallel.collectives import check_alone
from .refresh.attachment import Attachment
from .state import plan
from .stateful_optimizer import StatefulOptimizer
from .update.one_by_one import update_one_by_one


class GaLoreAdamW(StatefulOptimizer):
    """AdamW that projects the gradients of every parameter group with a "rank".

    A group without "rank" is plain AdamW, as `torch.optim.AdamW` computes it. What a group with
    "rank" may say beside it, such as "projector" and "update_proj_gap", is in `groups`.

    Weights with more than two dimensions are folded to (first, all others). Scalars, vectors and
    weights with a folded dimension of one take plain AdamW in a projected group too.

    A parameter whose gradient holds NaN or Inf skips the step, refresh and decay included, and
    counts it in state["skipped"]; so does one whose projected gradient is too large to be squared
    (`gradients.largest_projected`). A gradient of zeros, or too large, says nothing of its range:
    the basis then stays (zeros before the first refresh, hence no update) and remains due.

    State and arithmetic are float32 (float64 for float64 parameters), also for bfloat16 ones,
    whose weights are rounded once per step. All state is plain tensors (sizes: `state.new_state`).
    On a GPU all parameters are updated together, without a wait (`update`).

    Args:
        params: Parameters, or groups of them.
        lr: Learning rate, a number or a tensor of one; read at every step. A GPU's stays there.
        betas: Decay rates of the two moments.
        eps: Added to the root of the second moment.
        weight_decay: Decoupled (arXiv 1711.05101), applied before the update as torch does.
        torch_options: Those of torch's AdamW that are not there (`amsgrad`, `fused`, ...), at the
            values at which they change nothing.

    Raises:
        ValueError: A group has a key that looks like a slip, or a value that is not allowed.
        TypeError: An option is unknown, or one of groups.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        **torch_options: Any,
    ) -> None:
        check_arguments(torch_options, ("rank", "rounding", *PROJECTION_DEFAULTS))
        self._start_anew()
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group after checking it and filling in its defaults.

        Raises:
            ValueError: A key looks like a slip or has no effect, or a value is not allowed.
            TypeError: It is no group.
        """
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise TypeError(f"A group is a dict with params, not {type(param_group).__name__}.")
        complete = complete_group(param_group, self.defaults)
        for named_or_not in complete["params"]:  # named ones come in pairs
            parameter = named_or_not[1] if isinstance(named_or_not, tuple) else named_or_not
            if isinstance(parameter, Tensor):  # torch refuses what is none
                plan(parameter, complete)
        super().add_param_group(complete)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients, those that were projected and freed among them."""
        super().zero_grad(set_to_none)
        self._strategies.previous.clear()

    @property
    def releases_gradients(self) -> bool:
        """Whether there are projected groups and all have refresh_from="previous"."""
        return {g.get("refresh_from") for g in self.param_groups if "rank" in g} == {"previous"}

    @torch.no_grad()
    def refresh(self) -> None:
        """Compute the bases that are due, from the gradients of now.

        `step` does this itself; a training loop calls it before to time it apart, once the
        gradients are whole. A second call changes nothing.

        Raises:
            ValueError: A gradient is sparse or complex, or a group was edited into something that
                does not fit its state.
        """
        self._strategies.refresh(self._receive())

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Refresh the bases that are due and update every parameter that has a gradient.

        Args:
            closure: Evaluates the model again and returns the loss.

        Returns:
            The closure's loss, or None without one.

        Raises:
            ValueError: As `refresh`.
            RuntimeError: There are several ranks, and gradients that `attach` freed were not
                summed by `reduce`; or they were freed for another optimizer.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            if self._strategies.previous.of_this_rank_alone:
                check_alone()
            entries = self._receive()
            self._strategies.refresh(entries)
            rest = self._banks.update(entries, self._strategies)
            update_one_by_one(rest, self._strategies)
            self._strategies.previous.clear()
            self._places.doubt()
        return loss

    @torch.no_grad()
    def clip_grad_norm_(self, max_norm: float) -> Tensor:
        """Scale the gradients down so that their projected norm is at most `max_norm`.

        It takes the place of `torch.nn.utils.clip_grad_norm_`. The norm is over all parameters,
        of the projected gradient where there is one: after projection that of the whole gradient
        cannot be computed. With projector="identity" the two functions agree. The bases that are
        due are computed first. As there, one gradient with NaN spoils all of them: no parameter
        then moves.

        Returns:
            The norm before clipping, a scalar.
        """
        entries = self._receive()
        self._strategies.refresh(entries)
        return self._strategies.clip(entries, max_norm)

    def attach(self, model: nn.Module, scaler: torch.amp.GradScaler | None = None) -> Attachment:
        """Free the gradients of projected weights during the backward pass.

        As soon as the gradient of a weight is whole it is projected, added to what earlier
        microbatches left, and freed. `step`, `zero_grad`, schedulers, `clip_grad_norm_` and
        `reduce` work as before; the model's own `zero_grad` does not know what was freed. Every
        projected group needs refresh_from="previous".

        Args:
            model: The module whose parameters this optimizer moves. Weights that are frozen now and
                trained later keep their gradients until the step, unless it is attached anew (after
                `remove()`).
            scaler: Of the loss, where there is one: gradients are divided by its scale at once,
                and it learns of their overflow.

        Returns:
            A handle; its `remove()` detaches, and so does the end of the optimizer.

        Raises:
            ValueError: A projected group has refresh_from="current", the model has none of the
                projected parameters, or some are attached already.
        """
        check_released(self.param_groups)
        trained = {p for p in model.parameters() if p.requires_grad}
        places = self._places.of(self.param_groups).items()
        projected = [p for p, place in places if place.projection is not None and p in trained]
        return Attachment(projected, self._strategies, scaler)

    @torch.no_grad()
    def reduce(
        self,
        all_reduce: Callable[[list[Tensor]], object],
        broadcast: Callable[[list[Tensor], int], object],
        *,
        rank: int,
        world: int,
    ) -> None:
        """Sum the gradients over data-parallel ranks without sending those of projected weights.

        To be called on every rank between the backward pass and `step`, in place of
        `DistributedDataParallel`. What is sent: projected gradients, sketches where a basis is
        due, plain gradients; then each new basis from the one rank that computed it, so that all
        ranks hold the same bits. A parameter without a gradient on this rank counts as zero, on
        all of them too. Every projected group needs refresh_from="previous". A `GradScaler` sees
        overflow in projected gradients only where it was given to `attach`.

        Args:
            all_reduce: Sums tensors over all ranks in place, such as `AllReduce()`, or with a
                head start `Reducer.finish`. Divide the loss by `world` for a mean.
            broadcast: Overwrites tensors with those of a rank, such as `Broadcast()`.
            rank: Of this process.
            world: Number of processes.

        Raises:
            ValueError: A projected group has refresh_from="current".
        """
        check_released(self.param_groups)
        self._strategies.give_zeros(self._places.of(self.param_groups))
        self.reduced_bytes += self._strategies.sum_over_ranks(
            self._receive(), all_reduce, broadcast, rank=rank, world=world
        )

    def _receive(self) -> list[Entry]:
        """Take in the gradients that are there, once the groups are found to be in order.

        Returns:
            The parameters that take part in a step.
        """
        for group in self.param_groups:
            check_edited(group)
        self._counts.begin()
        return self._strategies.receive(self._places.of(self.param_groups), self._entry)
