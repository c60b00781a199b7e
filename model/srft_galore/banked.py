"""A step without waiting for the device and with few operators: parameters in banks."""

from collections.abc import Callable, Iterable, Sequence

import torch

from .bank import Bank
from .batches import takes_batches
from .entries import Entry
from .state import moment_dtype
from .step_counts import StepCounts
from .strategies import Strategies


class Banks:
    """All parameters of an optimizer that are updated together, one bank per device and dtype."""

    def __init__(self, peers: Callable[[], Iterable[Entry]], counts: StepCounts) -> None:
        """
        Args:
            peers: Gives the optimizer's parameters that have a state.
            counts: Of the optimizer; follows those of the banks.
        """
        self._peers, self._counts = peers, counts
        self._banks: dict[tuple[torch.device, torch.dtype], Bank] = {}

    def update(self, entries: Sequence[Entry], strategies: Strategies) -> None:
        """Update parameters from the gradients that are there; bases were refreshed.

        The host waits only where new bases are put into the states after the update.

        Args:
            entries: Those that `is_banked`.
            strategies: Of the optimizer.

        Raises:
            ValueError: A learning rate that the host has is no finite number.
        """
        by_kind: dict[tuple[torch.device, torch.dtype], list[Entry]] = {}
        for entry in entries:
            kind = (entry.parameter.device, moment_dtype(entry.parameter))
            by_kind.setdefault(kind, []).append(entry)
        unmoved: list[Entry] = []
        for kind, some in by_kind.items():
            bank = self._bank(kind, some)
            ready = [(e, g) for e in some if (g := strategies.of(e).unprojected(e)) is not None]
            if not ready:
                continue
            moved_n = bank.update(ready)
            self._counts.advance([entry.state["step"] for entry, _ in ready])
            if any(strategies.of(entry).has_new_basis(entry) for entry, _ in ready):
                moved = dict(zip(bank.members, moved_n.cpu().tolist(), strict=True))
                unmoved += [entry for entry, _ in ready if not moved[entry.parameter]]
        for entry in entries:
            if strategies.of(entry).is_spoiled(entry):
                entry.state["skipped"] += 1
                unmoved.append(entry)
        skipped = {entry.position for entry in unmoved}
        strategies.finish([entry for entry in entries if entry.position not in skipped])

    def _bank(self, kind: tuple[torch.device, torch.dtype], entries: Sequence[Entry]) -> Bank:
        """The bank of these parameters, made anew where it lacks one or a state was replaced."""
        bank = self._banks.get(kind)
        if bank is None or not all(bank.holds(entry) for entry in entries):
            wanted = {entry.parameter for entry in entries}
            if bank is not None:
                wanted.update(bank.members)
            everyone = [e for e in self._peers() if e.parameter in wanted and is_banked(e)]
            bank = self._banks[kind] = Bank(everyone)
            self._counts.clear()
            for one in self._banks.values():
                self._counts.follow(one.counts, one.steps_n)
        return bank


def is_banked(entry: Entry) -> bool:
    """Whether a parameter is updated in a bank.

    Random rounding needs a generator for each weight, and the blocks of a weight that is not stored
    row by row are not views of it.
    """
    parameter, projection = entry.parameter, entry.projection
    if not takes_batches(parameter.device) or entry.group["rounding"] != "nearest":
        return False
    return projection is None or projection.blocks == 1 or parameter.is_contiguous()
