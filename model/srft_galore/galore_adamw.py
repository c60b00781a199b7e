"""AdamW on projected gradients: GaLore (arXiv 2403.03507) with an exchangeable projector.

Shapes: a weight W and its gradient G are folded to M x N, P is the basis S x R of the projected
side S, m and v are Adam's moments of the projected gradient.

A step of a projected weight, for a right basis (P^T G and P N for a left one):

    R = G P;  m, v <- Adam's averages of R and R * R
    N = (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
    W <- (1 - lr weight_decay) W - lr scale N P^T
"""

from collections.abc import Callable, Iterator
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from .entries import Entry, Place, places
from .groups import PROJECTION_DEFAULTS, check_edited, check_released, complete_group
from .parallel import check_alone, share
from .refresh.attachment import Attachment
from .refresh.strategies import Strategies
from .state import check_loadable, copied_states, held_bytes, own_storage, plan
from .step_counts import StepCounts
from .torch_options import check_arguments
from .update.banks import Banks
from .update.one_by_one import update_one_by_one


class GaLoreAdamW(Optimizer):
    """AdamW that projects the gradients of every parameter group with a "rank".

    A group without "rank" is plain AdamW, as `torch.optim.AdamW` computes it. What a group with
    "rank" may say beside it, such as "projector" and "update_proj_gap", is in `groups`.

    Weights with more than two dimensions are folded to (first, all others). Scalars, vectors and
    weights with a folded dimension of one take plain AdamW in a projected group too.

    A parameter whose gradient holds NaN or Inf skips the step, refresh and decay included, and
    counts it in state["skipped"]. A gradient of zeros says nothing of its range: the basis then
    stays (zeros before the first refresh, hence no update) and remains due.

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

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what torch copies of an optimizer; pending gradients are not among it."""
        super().__setstate__(state)
        if "_strategies" in self.__dict__:  # torch loads a state through here, hooks in place
            self._strategies.previous.clear()
            if self._loading is not None:
                # torch has cast the tensors to the dtypes of the parameters, or shares them.
                self.state.update(copied_states(self.param_groups, self._loading))
        else:
            self._start_anew()

    def _start_anew(self) -> None:
        self._counts = StepCounts()
        self._strategies = Strategies(self._with_state)
        self._banks = Banks(self._with_state, self._counts)
        self._loading: dict[str, Any] | None = None
        self.reduced_bytes = 0
        """Bytes that `reduce` had summed, or sent from one rank to all, so far."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group after checking it and filling in its defaults.

        Raises:
            ValueError: A key looks like a slip or has no effect, or a value is not allowed.
        """
        complete = complete_group(param_group, self.defaults)
        for parameter in complete["params"]:  # named ones come in pairs
            plan(parameter[1] if isinstance(parameter, tuple) else parameter, complete)
        super().add_param_group(complete)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients, those that were projected and freed among them."""
        super().zero_grad(set_to_none)
        self._strategies.previous.clear()

    @property
    def releases_gradients(self) -> bool:
        """Whether there are projected groups and all have refresh_from="previous"."""
        return {g["refresh_from"] for g in self.param_groups if "rank" in g} == {"previous"}

    @torch.no_grad()
    def refresh(self) -> None:
        """Compute the bases that are due, from the gradients of now.

        `step` does this itself; a training loop calls it before to time it apart, once the
        gradients are whole. A second call changes nothing.

        Raises:
            ValueError: A gradient is sparse or complex, or a group was edited into something that
                does not fit its state.
        """
        self._strategies.refresh(self._received())

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
                summed by `reduce`.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            if self._strategies.previous.of_this_rank_alone:
                check_alone()
            entries = self._received()
            self._strategies.refresh(entries)
            rest = self._banks.update(entries, self._strategies)
            update_one_by_one(rest, self._strategies)
            self._strategies.previous.clear()
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
        entries = self._received()
        self._strategies.refresh(entries)
        return self._strategies.clip(entries, max_norm)

    def attach(self, model: nn.Module, scaler: torch.amp.GradScaler | None = None) -> Attachment:
        """Free the gradients of projected weights during the backward pass.

        As soon as the gradient of a weight is whole it is projected, added to what earlier
        microbatches left, and freed. `step`, `zero_grad`, schedulers, `clip_grad_norm_` and
        `reduce` work as before; the model's own `zero_grad` does not know what was freed. Every
        projected group needs refresh_from="previous".

        Args:
            model: The module whose parameters this optimizer moves.
            scaler: Of the loss, where there is one: gradients are divided by its scale at once,
                and it learns of their overflow.

        Returns:
            A handle; its `remove()` detaches.

        Raises:
            ValueError: A projected group has refresh_from="current", or the model has none of the
                projected parameters.
        """
        check_released(self.param_groups)
        ours = {parameter for parameter in model.parameters() if parameter.requires_grad}
        found = {p: place for p, place in places(self.param_groups) if p in ours}
        projected = [p for p in found if self._entry(found[p]).refresh_from == "previous"]
        previous, attached = self._strategies.previous, self._strategies.attached
        return Attachment(projected, lambda p: self._entry(found[p]), previous, attached, scaler)

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
        self._strategies.give_zeros(parameter for parameter, _ in places(self.param_groups))
        self.reduced_bytes += self._strategies.sum_over_ranks(
            self._received(), all_reduce, broadcast, rank=rank, world=world
        )

    @torch.no_grad()
    def share_state(self, broadcast: Callable[[list[Tensor]], object]) -> None:
        """Give every data-parallel rank the state of one, as where ranks join after a restart.

        To be called on every rank. Ranks that made no step yet get an empty state first.

        Args:
            broadcast: Overwrites tensors with those of one rank, such as `Broadcast()`.
        """
        trained = [place for p, place in places(self.param_groups) if p.requires_grad]
        share(((e.state, e.parameter.device) for e in map(self._entry, trained)), broadcast)
        self._counts.doubt()

    def state_dict(self) -> dict[str, Any]:
        """The state and the options of the groups, as tensors with storage of their own."""
        saved = super().state_dict()
        states = saved["state"].items()
        return {**saved, "state": {key: own_storage(state, self._counts) for key, state in states}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a saved state and the options of its groups, lr included.

        The tensors are copied: nothing is shared with `state_dict`. They keep this optimizer's
        dtypes and devices, so that the basis of a bfloat16 weight stays float32.

        Raises:
            ValueError: The state was saved with another rank, side or projector, or for other
                shapes; nothing was changed.
        """

        def accept(optimizer: Optimizer, saved: dict[str, Any]) -> None:  # after the user's hooks
            check_loadable(self.param_groups, saved)
            self._loading = saved

        last_hook = self.register_load_state_dict_pre_hook(accept)
        try:
            super().load_state_dict(state_dict)
        finally:
            last_hook.remove()
            self._loading = None

    def state_bytes(self) -> int:
        """Bytes of storage that the state's tensors hold now, on all devices together."""
        return held_bytes(self.state.values())

    def _with_state(self) -> Iterator[Entry]:
        for parameter, place in places(self.param_groups):
            if parameter in self.state:
                yield self._entry(place)

    def _entry(self, place: Place) -> Entry:
        return place.entry(self.param_groups, self.state, self._counts)

    def _received(self) -> list[Entry]:
        for group in self.param_groups:
            check_edited(group)
        self._counts.begin()
        return self._strategies.receive(self.param_groups, self.state, self._counts)
