"""Both refresh strategies side by side: each parameter goes to the one its group asks for."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from srft_galore.basis.sketch import forget_operators
from srft_galore.entries import Entry, Place
from srft_galore.gradients import check_gradient, norms_of, scale_all

from .attachment import Attachment, check_not_freed_elsewhere, is_overflow_mark
from .current import RefreshFromCurrent
from .previous import RefreshFromPrevious
from .strategy import RefreshStrategy


class Strategies:
    """What an optimizer holds of gradients between the backward pass and the end of a step."""

    def __init__(
        self, peers: Callable[[], Iterable[Entry]], entry: Callable[[Tensor], Entry]
    ) -> None:
        """
        Args:
            peers: Gives the optimizer's parameters that have a state.
            entry: Gives a parameter as the optimizer sees it now.
        """
        self.previous = RefreshFromPrevious(peers)
        self.entry = entry
        self._by_name: dict[str, RefreshStrategy] = {
            "current": RefreshFromCurrent(),
            "previous": self.previous,
        }
        self.attached: dict[Tensor, Attachment] = {}
        """The parameters whose gradients are released during the backward pass."""

    def of(self, entry: Entry) -> RefreshStrategy:
        """The strategy of a parameter."""
        return self._by_name[entry.refresh_from]

    def receive(
        self, places: Mapping[Tensor, Place], entry: Callable[[Place], Entry]
    ) -> list[Entry]:
        """Take in the gradients that are there; the parameters that take part in a step.

        These have a gradient, or something is kept of one that was freed. Each strategy looks at
        its own, and may free their gradients now.

        Args:
            places: Of the optimizer's parameters.
            entry: Gives a parameter by its place, with a new state where it has none.

        Raises:
            ValueError: A gradient is sparse or complex, or a group was edited into something that
                does not fit its state.
            RuntimeError: Hooks of another optimizer have freed a gradient.
        """
        chosen, without = [], []
        for parameter, place in places.items():
            released = parameter in self.previous
            if released and is_overflow_mark(parameter.grad):
                parameter.grad = None
            check_gradient(parameter, place.position)
            if released or (parameter.grad is not None and parameter.grad.numel() > 0):
                chosen.append(place)
            elif parameter.grad is None and place.projection is not None:
                without.append(parameter)
        check_not_freed_elsewhere(without, self)
        entries = [entry(place) for place in chosen]
        for one in entries:
            if one.parameter in self.previous and one.refresh_from != "previous":
                raise ValueError(
                    f"The gradient of parameter {one.position} was freed, as refresh_from="
                    f'"previous" asked for; its group now says {one.refresh_from!r}. Call remove() '
                    f"of what attach returned and zero_grad() before such an edit."
                )
        for one in entries:
            self.of(one).receive(one)
        return entries

    def refresh(self, entries: Sequence[Entry]) -> None:
        """Compute the bases that are due."""
        for name, strategy in self._by_name.items():
            strategy.refresh([entry for entry in entries if entry.refresh_from == name])
        forget_operators()

    def finish(self, entries: Sequence[Entry]) -> None:
        """End a step of the parameters that did not skip it."""
        self.previous.finish([entry for entry in entries if self.previous.has_new_basis(entry)])

    def gradients(self, entries: Sequence[Entry]) -> Iterator[tuple[Entry, Tensor]]:
        """The gradients that AdamW takes, without those of parameters that stay as they are.

        Plain ones have the dtype of their parameter, projected ones that of the arithmetic.
        """
        for entry in entries:
            gradient = self.of(entry).gradient(entry)
            if gradient is not None:
                yield entry, gradient

    def clip(self, entries: Sequence[Entry], max_norm: float) -> Tensor:
        """Scale the gradients down to a global norm of `max_norm`; the norm before, a scalar."""
        norms = norms_of([gradient for _, gradient in self.gradients(entries)])
        if not norms:
            return torch.zeros((), device="cpu")
        total: Tensor = torch.linalg.vector_norm(torch.stack([norm.to(norms[0]) for norm in norms]))
        factor = (max_norm / (total + 1e-6)).clamp(max=1.0)
        kept = [g for entry in entries if (g := self.of(entry).unprojected(entry)) is not None]
        scale_all(kept, factor)
        return total

    def give_zeros(self, parameters: Iterable[Tensor]) -> None:
        """A gradient of zeros for each parameter that is trained and has none."""
        for parameter in parameters:
            missing = parameter.grad is None and parameter not in self.previous
            if missing and parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)

    def sum_over_ranks(
        self,
        entries: Sequence[Entry],
        all_reduce: Callable[[list[Tensor]], object],
        broadcast: Callable[[list[Tensor], int], object],
        *,
        rank: int,
        world: int,
    ) -> int:
        """Sum what is kept of each gradient over the ranks and share the next bases.

        Args:
            entries: The same parameters on all ranks.
            all_reduce: Sums over all ranks in place.
            broadcast: Overwrites tensors with those of a rank.
            rank: Of this process.
            world: Number of processes.

        Returns:
            Bytes that were handed over; alone a rank hands over nothing.
        """
        released = [e for e in entries if e.refresh_from == "previous"]
        plain = [e.parameter.grad for e in entries if e.refresh_from == "current"]
        kept = [tensor for entry in released for tensor in self.previous.kept(entry)]
        kept += [gradient for gradient in plain if gradient is not None]
        if kept and world > 1:
            all_reduce(kept)
        for entry in released:
            if entry.parameter in self.attached:
                self.attached[entry.parameter].mark(entry)
        bases = self.previous.next_bases(released, rank, world)
        if world == 1:
            return 0
        for source in range(world):
            if share := bases[source::world]:
                broadcast(share, source)
        return sum(tensor.nbytes for tensor in (*kept, *bases))
