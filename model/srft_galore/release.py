"""Gradients that are projected, sketched and freed, long before the step that uses them.

Everything that is kept is linear in the gradient: parts from microbatches and ranks add up. The
price: the basis of a step comes from the gradient of the step before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .entries import Entry, alike, check_gradient, extremes, stack, unstack
from .moments import adam_step_count, change_basis
from .orthonormal import orthonormalise
from .projection import derive_seed
from .range_finder import range_finder, range_of_sketch, sketch
from .sketch import times


@dataclass
class Pending:
    """What is left of a gradient."""

    projected: Tensor | None = None
    """Sum of the projections; None before the first basis."""
    sketch: Tensor | None = None
    """Sum of the sketches, where the next step is to have a new basis."""
    next_basis: Tensor | None = None
    """Computed from the sketch, to be taken up after the update."""
    spoiled: bool = False
    """Whether the sketch held NaN or Inf."""


class Released:
    """The gradients of a step that were freed."""

    def __init__(self) -> None:
        self._pending: dict[Tensor, Pending] = {}
        self.hooked: set[Tensor] = set()
        """Parameters that an `Attachment` releases."""
        self.marks = False
        """Whether a `GradScaler` looks for overflow."""

    def __contains__(self, parameter: Tensor) -> bool:
        return parameter in self._pending

    def clear(self) -> None:
        """Forget them."""
        self._pending.clear()

    def take(self, entry: Entry, scale: Tensor | None = None) -> None:
        """Project the gradient of a parameter, add it to what is pending, and free it.

        Args:
            entry: With a gradient.
            scale: What the gradient is to be divided by.
        """
        assert entry.projection is not None
        G_MN = entry.gradient()
        if entry.group["projector"] == "identity" and not entry.has_basis:
            basis = range_finder(entry.projection.facing(G_MN), 1, projector="identity")
            change_basis(entry.state, basis, entry.projection, entry.group)
        pending = self._pending.setdefault(entry.parameter, Pending())
        if entry.has_basis:
            part = entry.projection.project(G_MN, entry.state["basis"])
            pending.projected = _sum(pending.projected, part, scale)
        if entry.group["projector"] != "identity" and entry.is_due(ahead=1):
            pending.sketch = _sum(pending.sketch, _sketch(entry, G_MN), scale)
        entry.parameter.grad = None

    def projected(self, entry: Entry) -> Tensor | None:
        """The projected gradient; None where there is none or no basis yet."""
        pending = self._pending.get(entry.parameter)
        return None if pending is None else pending.projected

    def mark(self, entry: Entry) -> None:
        """Leave a gradient of one stored element: zero, or NaN where what is pending overflowed.

        `GradScaler` looks for overflow in `grad`, and knows sparse ones. Added to the gradient of
        the next microbatch it carries the NaN on.
        """
        parameter, pending = entry.parameter, self._pending[entry.parameter]
        sums = [t.sum() * 0 for t in (pending.projected, pending.sketch) if t is not None]
        value = torch.stack(sums).sum().reshape(1).to(parameter)
        place = torch.zeros(parameter.dim(), 1, dtype=torch.int64, device=parameter.device)
        parameter.grad = torch.sparse_coo_tensor(
            place, value, parameter.shape, check_invariants=False
        )

    def is_spoiled(self, entry: Entry) -> bool:
        """Whether a gradient held NaN or Inf that no projected gradient tells of."""
        pending = self._pending.get(entry.parameter)
        return pending is not None and pending.projected is None and pending.spoiled

    def refresh(self, entries: Sequence[Entry]) -> None:
        """Compute the next bases of these parameters from their sketches.

        A sketch of zeros says nothing and one with NaN or Inf is useless: the old basis then
        stays, and a new one is due.
        """
        self._compute(self._usable(entries))

    def _usable(self, entries: Sequence[Entry]) -> list[Entry]:
        """Those with a sketch that gives a basis; the other sketches are dropped."""
        waiting = [(e, p) for e in entries if (p := self._pending.get(e.parameter))]
        found = [(e, p, p.sketch) for e, p in waiting if p.sketch is not None]
        checks = extremes([sketch for _, _, sketch in found])
        for (_, pending, _), check in zip(found, checks, strict=True):
            if not check.usable:
                pending.sketch, pending.spoiled = None, not check.finite
        return [e for (e, _, _), check in zip(found, checks, strict=True) if check.usable]

    def _compute(self, entries: Sequence[Entry]) -> None:
        for batch in alike(entries, [None] * len(entries)):
            waiting = [self._pending[e.parameter] for e in batch]
            Y_SL = stack([p.sketch for p in waiting if p.sketch is not None])
            bases = unstack(range_of_sketch(Y_SL, batch[0].group["rank"]), len(batch))
            for pending, basis_SR in zip(waiting, bases, strict=True):
                pending.sketch, pending.next_basis = None, basis_SR

    def take_up(self, entry: Entry) -> None:
        """Change to the next basis, if one was computed."""
        assert entry.projection is not None
        basis_SR = self._pending[entry.parameter].next_basis
        if basis_SR is not None:
            change_basis(entry.state, basis_SR, entry.projection, entry.group)

    def sums(self, entries: Sequence[Entry]) -> list[Tensor]:
        """All that is to be summed over data-parallel ranks."""
        waiting = [self._pending[e.parameter] for e in entries if e.released]
        return [t for p in waiting for t in (p.projected, p.sketch) if t is not None]

    def share_bases(
        self,
        entries: Sequence[Entry],
        all_reduce: Callable[[list[Tensor]], None],
        *,
        rank: int,
        world: int,
    ) -> None:
        """Compute each next basis on one rank and give it to all: they hold the same bits.

        Args:
            entries: The released parameters, their sketches summed over the ranks.
            all_reduce: Sums over all ranks in place.
            rank: Of this process.
            world: Number of processes.
        """
        usable = self._usable(entries)
        self._compute(usable[rank::world])
        shares = []
        for entry in usable:
            pending = self._pending[entry.parameter]
            pending.sketch = None
            if pending.next_basis is None:
                pending.next_basis = torch.zeros_like(entry.state["basis"])
            shares.append(pending.next_basis)
        all_reduce(shares)


class Attachment:
    """Hooks that release the gradients of projected weights during the backward pass."""

    def __init__(
        self,
        parameters: Sequence[Tensor],
        entry: Callable[[Tensor], Entry],
        released: Released,
        scaler: torch.amp.GradScaler | None,
    ) -> None:
        if not parameters:
            raise ValueError(
                "The model has none of the projected parameters of this optimizer: attach the "
                "one whose parameters it was built from."
            )
        if not released.hooked.isdisjoint(parameters):
            raise ValueError(
                "The model is attached already; call remove() of what attach returned first."
            )
        self._entry, self._released, self._scaler = entry, released, scaler
        self._handles = [p.register_post_accumulate_grad_hook(self._release) for p in parameters]
        self._parameters = parameters
        released.hooked.update(parameters)
        released.marks = scaler is not None

    def remove(self) -> None:
        """Take the hooks off: gradients stay until the step again."""
        for handle in self._handles:
            handle.remove()
        self._released.hooked.difference_update(self._parameters)
        self._released.marks = False

    @torch.no_grad()
    def _release(self, parameter: Tensor) -> None:
        entry = self._entry(parameter)
        check_gradient(parameter, entry.position)
        if self._scaler is None:
            self._released.take(entry)
            return
        self._released.take(entry, self._scaler.scale(torch.ones((), device=parameter.device)))
        self._released.mark(entry)


def is_overflow_mark(parameter: Tensor, released: Released) -> bool:
    """Whether the gradient of a parameter only stands in for one that was freed."""
    gradient = parameter.grad
    sparse = gradient is not None and gradient.layout == torch.sparse_coo
    return sparse and parameter in released


def _sketch(entry: Entry, G_MN: Tensor) -> Tensor:
    """G Omega of the facing gradient, Omega the same for all parts of one step.

    Columns of norm 1: random ones and, of a warm start, the range of the first moment, which
    holds the gradients seen through the old basis: G m^T is a power iteration on that basis.
    """
    assert entry.projection is not None
    group, projection, state = entry.group, entry.projection, entry.state
    faced = projection.facing(G_MN)
    size = min(projection.rank + group["oversample"], *faced.shape[-2:])
    warm = group["start"] == "warm" and adam_step_count(state, group) > 0
    fresh = size - projection.rank if warm else size
    seed = derive_seed(group["seed"], int(state["refreshes"]))
    parts = []
    if warm:
        mean = state["exp_avg"]
        parts.append(times(faced, orthonormalise(mean if projection.right else mean.mT)))
    if fresh:
        drawn = sketch(faced, fresh, projector=group["projector"], seed=seed)
        parts.append(drawn * (fresh / faced.shape[-1]) ** 0.5)
    return torch.cat(parts, dim=-1)


def _sum(total: Tensor | None, part: Tensor, scale: Tensor | None) -> Tensor:
    part = part if scale is None else part / scale.to(part)
    return part if total is None else total.add_(part)
