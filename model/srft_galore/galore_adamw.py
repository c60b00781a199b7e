"""AdamW on projected gradients: GaLore (arXiv 2403.03507) with an exchangeable projector.

Shapes: a weight W and its gradient G are folded to M x N, P is the basis S x R of the projected
side S, m and v are Adam's moments of the projected gradient.

A step of a projected weight, for a right basis (P^T G and P N for a left one):

    R = G P;  m, v <- Adam's averages of R and R * R
    N = (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
    W <- (1 - lr weight_decay) W - lr scale N P^T
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from .adamw import update
from .entries import Entry, alike, check_gradient, extremes, stack, unstack
from .groups import complete_group
from .moments import change_basis
from .projection import derive_seed
from .range_finder import range_finder
from .release import Attachment, Released, is_overflow_mark
from .schedule import staggered_phases
from .sketch import forget_operator
from .state import check_loadable, new_state, plan


class GaLoreAdamW(Optimizer):
    """AdamW that projects the gradients of every parameter group with a "rank".

    A group without "rank" is plain AdamW, as `torch.optim.AdamW` computes it. A group with "rank"
    takes these keys (GaLore's own words where it has them):

    - "rank": columns of the basis, clamped to the smaller dimension, where the projection only
      rotates.
    - "update_proj_gap": steps between refreshes of the basis (200). The bases are due at steps 0,
      gap, 2 gap, ...
    - "scale": factor of the update (1.0).
    - "projector": "srft", "svd", "gaussian", "identity" or "srft_published" ("srft"); see
      `range_finder`.
    - "side": "short", "left", "right" or "input" ("short", which is the right one where M >= N).
    - "blocks": equal blocks of rows that have a basis each (1); 3 for a fused qkv weight.
    - "oversample", "power_iterations", "seed": of `range_finder` (0, 0, 0). Each refresh has a
      seed of its own, derived from the group's seed and the number of refreshes before: equal on
      all ranks, and untouched by torch's global random state.
    - "start": "cold" or "warm" ("cold"): whether a refresh starts from the old basis, with
      "oversample" random columns beside it.
    - "stagger": whether the parameters of the group take turns (False), so that the cost of the
      refreshes is spread evenly over the interval. At step 0 all have their first.
    - "moments": "keep", "rotate" or "reset" ("keep", GaLore's way); see `moments.change_basis`.
    - "refresh_from": "current" or "previous" ("current", GaLore's way): which step's gradient the
      basis of a step comes from. With "previous" a gradient is looked at once: it is projected,
      and sketched where the next step is to have a new basis, and freed (`grad` is then None).
      Both are linear in the gradient, so microbatches (`attach`) and ranks (`reduce`) add up. The
      first step then has no basis: it moves the plain parameters and looks for the first bases.

    Weights with more than two dimensions are folded to (first, all others). Scalars, vectors and
    weights with a folded dimension of one take plain AdamW in a projected group too.

    A parameter whose gradient holds NaN or Inf skips the step, refresh and decay included, and
    counts it in state["skipped"]. A gradient of zeros says nothing of its range: the basis then
    stays (zeros before the first refresh, hence no update) and remains due.

    State and arithmetic are float32 (float64 for float64 parameters), also for bfloat16 ones,
    whose weights are rounded once per step: to nearest, or, in a group of either kind with
    "rounding": "stochastic", at random and right in the mean. All state is plain tensors. Bytes:

        projected: B b (S R + 2 R T) + 32     plain: 2 b M N + 16

    with B blocks, b = 4 (8 for float64), T the other side than S, and 8 per counter.

    Args:
        params: Parameters, or groups of them.
        lr: Learning rate, a number or a tensor of one; read again at every step. A tensor on the
            GPU costs a synchronisation per parameter group and step.
        betas: Decay rates of the two moments.
        eps: Added to the root of the second moment.
        weight_decay: Decoupled (arXiv 1711.05101), applied before the update as torch does.

    Raises:
        ValueError: A group has an unknown key or a value that is not allowed.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        self._start_anew()
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what torch copies of an optimizer; pending gradients are not among it."""
        super().__setstate__(state)
        if "_released" in self.__dict__:  # torch loads a state through here, hooks in place
            self._released.clear()
        else:
            self._start_anew()

    def _start_anew(self) -> None:
        self._released = Released()
        self.reduced_bytes = 0
        """Bytes of the tensors that `reduce` had summed so far, on this rank."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group after checking it and filling in its defaults.

        Raises:
            ValueError: A key is unknown or has no effect, or a value is not allowed.
        """
        complete = complete_group(param_group, self.defaults)
        for parameter in complete["params"]:  # named ones come in pairs
            plan(parameter[1] if isinstance(parameter, tuple) else parameter, complete)
        super().add_param_group(complete)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients, those that were projected and freed among them."""
        super().zero_grad(set_to_none)
        self._released.clear()

    @property
    def releases_gradients(self) -> bool:
        """Whether there are projected groups and all have refresh_from="previous"."""
        modes = [group["refresh_from"] for group in self.param_groups if "rank" in group]
        return bool(modes) and all(mode == "previous" for mode in modes)

    @torch.no_grad()
    def refresh(self) -> None:
        """Compute the bases that are due, from the gradients of now.

        `step` does this itself; a training loop calls it before to time it apart, once the
        gradients are whole. A second call changes nothing.

        Raises:
            ValueError: A gradient is sparse or complex, or a group was edited into something that
                does not fit its state.
        """
        self._refresh(self._taking_part())

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
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            entries = self._taking_part()
            self._refresh(entries)
            ready = self._gradients(entries)
            found = extremes([gradient for _, gradient in ready])
            skipped = [e for (e, _), f in zip(ready, found, strict=True) if not f.finite]
            skipped += [entry for entry in entries if self._released.is_spoiled(entry)]
            update([pair for pair, f in zip(ready, found, strict=True) if f.finite])
            for entry in skipped:
                entry.state["skipped"] += 1
            places = {entry.position for entry in skipped}
            for entry in entries:
                if entry.released and entry.position not in places:
                    self._released.take_up(entry)
            self._released.clear()
        return loss

    @torch.no_grad()
    def clip_grad_norm_(self, max_norm: float) -> Tensor:
        """Scale the gradients down so that their projected norm is at most `max_norm`.

        The norm over all parameters, of the projected gradient where there is one: after
        projection that of the whole cannot be had. With "identity" it is the one of
        `torch.nn.utils.clip_grad_norm_`, whose place this takes. It computes the bases that are
        due first. As there, one gradient with NaN spoils all of them: no parameter then moves.

        Returns:
            The norm before clipping.
        """
        entries = self._taking_part()
        self._refresh(entries)
        norms = [torch.linalg.vector_norm(gradient) for _, gradient in self._gradients(entries)]
        if not norms:
            return torch.zeros(())
        total: Tensor = torch.linalg.vector_norm(torch.stack([norm.to(norms[0]) for norm in norms]))
        factor = (max_norm / (total + 1e-6)).clamp(max=1.0)
        for entry in entries:
            kept = self._released.projected(entry) if entry.released else entry.parameter.grad
            if kept is not None:
                kept.mul_(factor.to(kept))
        return total

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
        self._check_released()
        ours = {parameter for parameter in model.parameters() if parameter.requires_grad}
        places = {
            entry.parameter: (entry.position, number)
            for number, entry in self._entries(lambda parameter: parameter in ours)
            if entry.released
        }
        costs = [_costs(group) for group in self.param_groups]
        indices = {p: i for group in self.param_groups for i, p in enumerate(group["params"])}

        def entry(parameter: Tensor) -> Entry:
            position, number = places[parameter]
            phase = _phase(self.param_groups[number], costs[number], indices[parameter])
            return self._entry(parameter, position, number, phase)

        return Attachment(list(places), entry, self._released, scaler)

    @torch.no_grad()
    def reduce(
        self, all_reduce: Callable[[list[Tensor]], object], *, rank: int, world: int
    ) -> None:
        """Sum the gradients over data-parallel ranks without sending those of projected weights.

        To be called on every rank between the backward pass and `step`, in place of
        `DistributedDataParallel`. What is sent: projected gradients, sketches where a basis is
        due, plain gradients; then each new basis from the one rank that computed it, so that all
        ranks hold the same bits. A parameter without a gradient on this rank counts as zero, on
        all of them too. Every projected group needs refresh_from="previous". A `GradScaler` sees
        overflow in projected gradients only where it was given to `attach`.

        Args:
            all_reduce: Sums tensors over all ranks in place, such as `AllReduce()`. Divide the
                loss by `world` for a mean.
            rank: Of this process.
            world: Number of processes.

        Raises:
            ValueError: A projected group has refresh_from="current".
        """
        self._check_released()
        for group in self.param_groups:
            for parameter in group["params"]:
                missing = parameter.grad is None and parameter not in self._released
                if missing and parameter.requires_grad:
                    parameter.grad = torch.zeros_like(parameter)
        entries = self._taking_part()

        def counted(tensors: list[Tensor]) -> None:
            if tensors and world > 1:
                self.reduced_bytes += sum(t.numel() * t.element_size() for t in tensors)
                all_reduce(tensors)

        plain = [e.parameter.grad for e in entries if not e.released]
        counted([*self._released.sums(entries), *(g for g in plain if g is not None)])
        released = [e for e in entries if e.released]
        if self._released.marks:
            for entry in released:
                self._released.mark(entry)
        self._released.share_bases(released, counted, rank=rank, world=world)

    @torch.no_grad()
    def share_state(self, broadcast: Callable[[list[Tensor]], object]) -> None:
        """Give every data-parallel rank the state of one, as where ranks join after a restart.

        To be called on every rank. Ranks that made no step yet get an empty state first.

        Args:
            broadcast: Overwrites tensors with those of one rank, such as `Broadcast()`.
        """
        tensors, sent = [], []
        for _, entry in self._entries(lambda parameter: parameter.requires_grad):
            for _, tensor in sorted(entry.state.items()):
                tensors.append(tensor)
                sent.append(tensor.to(entry.parameter.device))  # NCCL sends no CPU tensor
        broadcast(sent)
        for tensor, received in zip(tensors, sent, strict=True):
            tensor.copy_(received)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a saved state and the options of its groups, lr included.

        The tensors are copied: nothing is shared with `state_dict`. They keep this optimizer's
        dtypes and devices, so that the basis of a bfloat16 weight stays float32.

        Raises:
            ValueError: The state was saved with another rank, side or projector, or for other
                shapes; nothing was changed.
        """
        check_loadable(self.param_groups, state_dict)
        super().load_state_dict(state_dict)
        # torch has now cast the tensors to the dtypes of the parameters, or shares them.
        for group, saved in zip(self.param_groups, state_dict["param_groups"], strict=True):
            for parameter, index in zip(group["params"], saved["params"], strict=True):
                if index in state_dict["state"]:
                    own = new_state(parameter, plan(parameter, group))
                    for key, tensor in own.items():
                        tensor.copy_(state_dict["state"][index][key])
                    self.state[parameter] = own

    def state_bytes(self) -> int:
        """Bytes of storage that the state's tensors hold now, on all devices together."""
        tensors = (tensor for state in self.state.values() for tensor in state.values())
        return sum(tensor.untyped_storage().nbytes() for tensor in tensors)

    def _entry(self, parameter: Tensor, position: int, number: int, phase: int) -> Entry:
        """A parameter of group `number`, with a state."""
        group = self.param_groups[number]
        projection, state = plan(parameter, group), self.state[parameter]
        if not state:
            state.update(new_state(parameter, projection))
        held = tuple(state["basis"].shape) if "basis" in state else None
        asked = projection and projection.basis_shape
        if held != asked:
            raise ValueError(
                f"The basis of parameter {position} has shape {held}, its group now asks for "
                f"{asked}: rank, side and blocks cannot change after the first step, nor can a "
                f"projector become the identity. Build a new optimizer."
            )
        return Entry(position, group, parameter, projection, phase, state)

    def _entries(self, wanted: Callable[[Tensor], bool]) -> list[tuple[int, Entry]]:
        """The wanted parameters, each after the number of its group."""
        found, position = [], 0
        for number, group in enumerate(self.param_groups):
            costs = _costs(group)
            for index, parameter in enumerate(group["params"]):
                if wanted(parameter):
                    phase = _phase(group, costs, index)
                    found.append((number, self._entry(parameter, position, number, phase)))
                position += 1
        return found

    def _taking_part(self) -> list[Entry]:
        """Parameters with a gradient; those that are to be released are."""
        for position, parameter in enumerate(
            parameter for group in self.param_groups for parameter in group["params"]
        ):
            if is_overflow_mark(parameter, self._released):
                parameter.grad = None
            check_gradient(parameter, position)

        def has_gradient(parameter: Tensor) -> bool:
            gradient = parameter.grad
            return (gradient is not None and gradient.numel() > 0) or parameter in self._released

        entries = [entry for _, entry in self._entries(has_gradient)]
        for entry in entries:
            if entry.released and entry.parameter.grad is not None:
                self._released.take(entry)
        return entries

    def _gradients(self, entries: Sequence[Entry]) -> list[tuple[Entry, Tensor]]:
        """The gradients as AdamW takes them: projected where there is a basis to use."""
        found = []
        for entry in entries:
            if entry.released:
                gradient = self._released.projected(entry)
            elif entry.projection is None:
                gradient = entry.gradient()
            else:
                gradient = entry.projection.project(entry.gradient(), entry.state["basis"])
            if gradient is not None:
                found.append((entry, gradient))
        return found

    def _refresh(self, entries: Sequence[Entry]) -> None:
        """Compute the bases that are due: now, or from sketches for the next step."""
        self._released.refresh([entry for entry in entries if entry.released])
        due = [entry for entry in entries if not entry.released and entry.is_due()]
        gradients = {entry.position: entry.gradient() for entry in due}
        usable = [e.usable for e in extremes(list(gradients.values()))]
        due = [entry for entry, fit in zip(due, usable, strict=True) if fit]
        for batch in alike(due, [int(entry.state["refreshes"]) for entry in due]):
            group, projection = batch[0].group, batch[0].projection
            assert projection is not None
            warm = group["start"] == "warm" and batch[0].has_basis
            bases_SR = range_finder(
                projection.facing(stack([gradients[entry.position] for entry in batch])),
                group["rank"],
                projector=group["projector"],
                oversample=group["oversample"],
                power_iterations=group["power_iterations"],
                start=stack([entry.state["basis"] for entry in batch]) if warm else None,
                seed=derive_seed(group["seed"], int(batch[0].state["refreshes"])),
            )
            for entry, basis_SR in zip(batch, unstack(bases_SR, len(batch)), strict=True):
                change_basis(entry.state, basis_SR, projection, group)
        forget_operator()

    def _check_released(self) -> None:
        for number, group in enumerate(self.param_groups):
            if "rank" in group and group["refresh_from"] != "previous":
                raise ValueError(
                    f"Group {number} has refresh_from={group['refresh_from']!r}: its bases come "
                    f"from whole gradients, which are gone once they are projected. "
                    f"Set refresh_from='previous'."
                )


def _costs(group: Mapping[str, Any]) -> tuple[int, ...]:
    """What a refresh of each parameter costs, in elements; 0 where it has no basis."""
    plans = (plan(parameter, group) for parameter in group["params"])
    return tuple(0 if p is None else p.blocks * p.rows * p.cols for p in plans)


def _phase(group: Mapping[str, Any], costs: tuple[int, ...], index: int) -> int:
    """The phase of a parameter's refreshes: all the same unless they are staggered."""
    if not group.get("stagger"):
        return 0
    return staggered_phases(costs, group["update_proj_gap"])[index]
