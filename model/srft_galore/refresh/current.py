"""refresh_from="current": the basis of a step comes from the gradient of that step.

Gradients stay whole until the step.
"""

from collections.abc import Sequence

from torch import Tensor

from srft_galore.basis.range_finder import range_finder
from srft_galore.batches import alike, stack
from srft_galore.entries import Entry
from srft_galore.gradients import sizes
from srft_galore.state import moment_dtype

from .moments import change_basis
from .strategy import RefreshStrategy


class RefreshFromCurrent(RefreshStrategy):
    """Serves plain parameters too: they have no basis, and their gradients stay as well."""

    def __init__(self) -> None:
        self._too_large: set[Tensor] = set()
        """Parameters whose first gradient is too large: without a basis, nothing that is projected
        would show it, as it does NaN and Inf."""

    def is_spoiled(self, entry: Entry) -> bool:
        """Whether there is no basis yet, and the gradient is too large for one."""
        return entry.parameter in self._too_large

    def refresh(self, entries: Sequence[Entry]) -> None:
        """Put new bases into the states, at once.

        A gradient of zeros, or one that is not finite or too large (`largest_projected`), gives no
        basis: the old one stays, and a new one is due.
        """
        waiting = [e for e in entries if e.is_due()]
        self._too_large.clear()
        found = sizes([entry.stored_gradient for entry in waiting])
        due = [entry for entry, size in zip(waiting, found, strict=True) if size.gives_basis]
        for entry, size in zip(waiting, found, strict=True):
            if not entry.has_basis and size.finite and not size.in_range:
                self._too_large.add(entry.parameter)
        for batch in alike(due, [(entry.seed, entry.step, entry.restarted_at) for entry in due]):
            group, projection = batch[0].group, batch[0].projection
            assert projection is not None
            warm = group["start"] == "warm" and batch[0].has_basis
            gradients = stack([projection.fold(entry.stored_gradient) for entry in batch])
            bases_SR = range_finder(
                projection.facing(gradients.to(moment_dtype(gradients))),
                group["rank"],
                projector=group["projector"],
                oversample=group["oversample"],
                power_iterations=group["power_iterations"],
                start=stack([entry.state["basis"] for entry in batch]) if warm else None,
                seed=batch[0].seed,
            )
            change_basis(batch, bases_SR)

    def unprojected(self, entry: Entry) -> Tensor | None:
        """The gradient itself."""
        return None if self.is_spoiled(entry) else entry.parameter.grad

    def gradient(self, entry: Entry) -> Tensor | None:
        """The gradient: as it is stored, or projected where the parameter is."""
        if self.is_spoiled(entry):
            return None
        if entry.projection is None:
            return entry.stored_gradient
        return entry.projection.project(entry.gradient(), entry.state["basis"])
