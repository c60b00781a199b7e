"""A step without waiting for the device and with few operators: parameters in banks."""

from collections.abc import Callable, Iterable, Sequence

import torch

from srft_galore.batches import takes_batches
from srft_galore.entries import Entry
from srft_galore.refresh.strategies import Strategies
from srft_galore.state import moment_dtype
from srft_galore.step_counts import StepCounts

from .bank import Bank


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

    def update(self, entries: Sequence[Entry], strategies: Strategies) -> list[Entry]:
        """Update parameters from the gradients that are there; bases were refreshed.

        The host waits only where new bases are put into the states after the update.

        Args:
            entries: Parameters that take part in a step.
            strategies: Of the optimizer.

        Returns:
            Those that are in no bank, and were left alone.

        Raises:
            ValueError: A learning rate that the host has is no finite number.
        """
        rest: list[Entry] = []
        by_kind: dict[tuple[torch.device, torch.dtype], list[Entry]] = {}
        for entry in entries:
            if not is_banked(entry):
                rest.append(entry)
                continue
            kind = (entry.parameter.device, moment_dtype(entry.parameter))
            by_kind.setdefault(kind, []).append(entry)
        for kind, some in by_kind.items():
            moved = self._update(self._bank(kind, some), some, strategies)
            strategies.finish(moved)
        return rest

    def _update(self, bank: Bank, entries: Sequence[Entry], strategies: Strategies) -> list[Entry]:
        """Update members of a bank; all but those that are known to have skipped the step."""
        spoiled = [entry for entry in entries if strategies.of(entry).is_spoiled(entry)]
        for entry in spoiled:
            entry.state["skipped"] += 1
        skipped = {entry.position for entry in spoiled}
        ready = [(e, g) for e in entries if (g := strategies.of(e).unprojected(e)) is not None]
        if ready:
            moved_n = bank.update(ready)
            self._counts.advance([entry.state["step"] for entry, _ in ready])
            if any(strategies.previous.has_new_basis(entry) for entry, _ in ready):
                moved = dict(zip(bank.members, moved_n.cpu().tolist(), strict=True))
                skipped |= {entry.position for entry, _ in ready if not moved[entry.parameter]}
        return [entry for entry in entries if entry.position not in skipped]

    def _bank(self, kind: tuple[torch.device, torch.dtype], entries: Sequence[Entry]) -> Bank:
        """The bank of these parameters, made anew where it lacks one or a state was replaced."""
        bank = self._banks.get(kind)
        if bank is None or not all(bank.holds(entry) for entry in entries):
            wanted = {entry.parameter for entry in entries}
            if bank is not None:
                wanted.update(bank.members)
            everyone = [e for e in self._peers() if e.parameter in wanted and is_banked(e)]
            bound = {e.parameter: self._counts.bound(e.state["step"]) for e in everyone}
            bank = Bank(everyone)
            others = [one for key, one in self._banks.items() if key != kind]
            known = [(one, [self._counts.bound(c) for c in one.counts]) for one in others]
            self._counts.clear()
            for one, bounds in (*known, (bank, [bound[p] for p in bank.members])):
                self._counts.follow(one.counts, one.steps_n, bounds)
            self._banks[kind] = bank
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
