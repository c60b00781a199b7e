"""refresh_from="previous": the basis of a step comes from the gradient of the step before.

A gradient is looked at once. Its projection is kept and, where the next step is to have a new
basis, its sketch; the gradient itself is freed. Both are linear in the gradient, so that what
microbatches and data-parallel ranks contribute adds up.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from srft_galore.basis.orthonormal import orthonormalise
from srft_galore.basis.range_finder import range_finder, range_of_sketch, sketch
from srft_galore.basis.sketch import times
from srft_galore.batches import alike, stack, unstack
from srft_galore.entries import Entry
from srft_galore.gradients import sizes

from .moments import change_basis
from .strategy import RefreshStrategy


@dataclass
class Pending:
    """What is kept of the gradients of one parameter, from their release to the end of the step."""

    projected: Tensor | None = None
    """Sum of the projections; None before the first basis."""
    sketch: Tensor | None = None
    """Sum of the sketches, where the next step is to have a new basis."""
    next_basis: Tensor | None = None
    """Computed from the sketch; the state gets it after the update."""
    spoiled: bool = False
    """Whether the sketch held NaN or Inf, or was too large (`largest_projected`)."""


class RefreshFromPrevious(RefreshStrategy):
    """Holds what is pending of the parameters whose gradients were freed."""

    def __init__(self, peers: Callable[[], Iterable[Entry]]) -> None:
        """
        Args:
            peers: Gives the optimizer's parameters that have a state.
        """
        self._peers = peers
        self._pending: dict[Tensor, Pending] = {}
        self._ranges: dict[Tensor, Tensor] = {}
        """Of first moments, orthonormal, by parameter."""
        self.of_this_rank_alone = False
        """Whether a hook has freed gradients that were not summed over ranks since."""

    def __contains__(self, parameter: Tensor) -> bool:
        return parameter in self._pending

    def clear(self) -> None:
        """Forget everything that is pending."""
        self._pending.clear()
        self._ranges.clear()
        self.of_this_rank_alone = False

    def receive(self, entry: Entry) -> None:
        """Release the gradient if there still is one."""
        if entry.parameter.grad is not None:
            self.release(entry)

    def release(self, entry: Entry, scale: Tensor | None = None) -> None:
        """Project the gradient of a parameter, add it to what is pending, and free it.

        Args:
            entry: With a gradient.
            scale: What the gradient is to be divided by.
        """
        assert entry.projection is not None
        G_MN = entry.gradient()
        if entry.group["projector"] == "identity" and not entry.has_basis:
            basis = range_finder(entry.projection.facing(G_MN), 1, projector="identity")
            change_basis([entry], basis)
        pending = self._pending.setdefault(entry.parameter, Pending())
        if entry.has_basis:
            part = entry.projection.project(G_MN, entry.state["basis"])
            pending.projected = _sum(pending.projected, part, scale)
        if entry.group["projector"] != "identity" and entry.is_due(ahead=1):
            pending.sketch = _sum(pending.sketch, self._sketch(entry, G_MN), scale)
        entry.parameter.grad = None

    def refresh(self, entries: Sequence[Entry]) -> None:
        """Compute the next bases of these parameters from their sketches.

        A sketch of zeros, or one with NaN or Inf, gives no basis: the old one stays, and a new one
        is due.
        """
        self._compute(self._usable(entries))

    def unprojected(self, entry: Entry) -> Tensor | None:
        """The projected gradient."""
        return self.gradient(entry)

    def gradient(self, entry: Entry) -> Tensor | None:
        """The projected gradient; None where there is none or no basis yet."""
        pending = self._pending.get(entry.parameter)
        return None if pending is None else pending.projected

    def is_spoiled(self, entry: Entry) -> bool:
        """Whether a sketch was spoiled, and there is no projected gradient to show it."""
        pending = self._pending.get(entry.parameter)
        return pending is not None and pending.projected is None and pending.spoiled

    def has_new_basis(self, entry: Entry) -> bool:
        """Whether the next basis was computed."""
        pending = self._pending.get(entry.parameter)
        return pending is not None and pending.next_basis is not None

    def finish(self, entries: Sequence[Entry]) -> None:
        """Put the next bases into the states of parameters that have one and did not skip."""
        for batch in alike(entries, [(e.has_basis, e.step, e.restarted_at) for e in entries]):
            waiting = [self._pending[entry.parameter].next_basis for entry in batch]
            change_basis(batch, stack([basis for basis in waiting if basis is not None]))

    def kept(self, entry: Entry) -> list[Tensor]:
        """The tensors that are pending, to be summed over data-parallel ranks in place."""
        pending = self._pending[entry.parameter]
        return [t for t in (pending.projected, pending.sketch) if t is not None]

    def next_bases(self, entries: Sequence[Entry], rank: int, world: int) -> list[Tensor]:
        """Compute each next basis on one rank, for all to have the same bits of it.

        Args:
            entries: Parameters, their sketches summed over the ranks.
            rank: Of this process.
            world: Number of processes.

        Returns:
            All bases. The ranks take turns: this one has computed every `world`th, from its own
            number on, and the others are to be overwritten with what their ranks have.
        """
        self.of_this_rank_alone = False
        usable = self._usable(entries)
        self._compute(usable[rank::world])
        bases = []
        for entry in usable:
            pending = self._pending[entry.parameter]
            pending.sketch = None
            # Stored alike on all ranks, for products with it to have the same bits on all of them.
            basis_SR = torch.empty_like(entry.state["basis"])
            if pending.next_basis is not None:
                basis_SR.copy_(pending.next_basis)
            pending.next_basis = basis_SR
            bases.append(basis_SR)
        return bases

    def _usable(self, entries: Sequence[Entry]) -> list[Entry]:
        """The entries whose sketch gives a basis; the other sketches are dropped."""
        waiting = [(e, p) for e in entries if (p := self._pending.get(e.parameter))]
        found = [(e, p, p.sketch) for e, p in waiting if p.sketch is not None]
        how_large = sizes([sketch for _, _, sketch in found])
        for (_, pending, _), size in zip(found, how_large, strict=True):
            if not size.gives_basis:
                pending.sketch, pending.spoiled = None, not size.in_range
        return [e for (e, _, _), size in zip(found, how_large, strict=True) if size.gives_basis]

    def _compute(self, entries: Sequence[Entry]) -> None:
        """Replace the sketch of each entry by the basis of its range."""
        for batch in alike(entries, [None] * len(entries)):
            waiting = [self._pending[e.parameter] for e in batch]
            Y_SL = stack([p.sketch for p in waiting if p.sketch is not None])
            bases = unstack(range_of_sketch(Y_SL, batch[0].group["rank"]), len(batch))
            for pending, basis_SR in zip(waiting, bases, strict=True):
                pending.sketch, pending.next_basis = None, basis_SR

    def _sketch(self, entry: Entry, G_MN: Tensor) -> Tensor:
        """G Omega, with G turned so that the projected side is its rows.

        Omega is the same for all parts of one step. Its columns have norm 1. They are random; after
        a warm start some span the range of the first moment m instead. m averages gradients that
        were projected onto the old basis, so that G m^T is a power iteration on that basis.
        """
        assert entry.projection is not None
        group, projection = entry.group, entry.projection
        faced = projection.facing(G_MN)
        size = min(projection.rank + group["oversample"], *faced.shape[-2:])
        warm = _starts_warm(entry)
        fresh = size - projection.rank if warm else size
        parts = []
        if warm:
            parts.append(times(faced, self._range_of_mean(entry)))
        if fresh:
            drawn = sketch(faced, fresh, projector=group["projector"], seed=entry.seed)
            parts.append(drawn * (fresh / faced.shape[-1]) ** 0.5)
        return torch.cat(parts, dim=-1)

    def _range_of_mean(self, entry: Entry) -> Tensor:
        """Of the first moment, which is the same for all microbatches of a step; computed together
        with those of all other parameters that are due."""
        if entry.parameter not in self._ranges:
            due = [e for e in self._peers() if e.is_due(ahead=1) and _starts_warm(e)]
            for batch in alike(due, [None] * len(due)):
                assert batch[0].projection is not None
                means = stack([e.state["exp_avg"] for e in batch])
                ranges = orthonormalise(means if batch[0].projection.right else means.mT)
                parts = unstack(ranges, len(batch))
                self._ranges.update(zip((e.parameter for e in batch), parts, strict=True))
        return self._ranges[entry.parameter]


def _starts_warm(entry: Entry) -> bool:
    """Whether the sketch of a parameter has the range of its first moment."""
    released = entry.refresh_from == "previous" and entry.group["start"] == "warm"
    return released and entry.adam_step > 0


def _sum(total: Tensor | None, part: Tensor, scale: Tensor | None) -> Tensor:
    part = part if scale is None else part / scale.to(part)
    return part if total is None else total.add_(part)
