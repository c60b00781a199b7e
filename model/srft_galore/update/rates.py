"""The rates of a step, for many parameters at once, where the parameters are."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from srft_galore.entries import Entry
from srft_galore.groups.checks import check_rate
from srft_galore.sending import is_captured, send


class Rates(NamedTuple):
    """One number per parameter each, float64."""

    change: Tensor
    """Minus the learning rate, times the scale of a projected update."""
    decay: Tensor
    """Learning rate times weight decay."""
    weights: Tensor
    """1 - beta of both moments, (2, n)."""
    betas: Tensor
    """Of both moments, (2, n)."""
    eps: Tensor
    restarted_at: Tensor
    """The step at which the moments were set to zero for the last time."""


_Row = tuple[float, ...]
_ABSENT: _Row = (0, 0, 0.5, 0.5, 0.5, 0.5, 1, 0, 0)
"""Of parameters that took part in no step yet: what comes out is not used, and is finite."""


class RateTable:
    """Holds the rates on a device and sends them anew only where one has changed.

    A learning rate that is a tensor of the device is read there, so that a CUDA graph follows it.
    """

    def __init__(self, members: int, device: torch.device) -> None:
        self._device = device
        self._rows: list[_Row] = [_ABSENT] * members
        self._sent: list[_Row] = []
        self._table = torch.zeros(len(_ABSENT), members, dtype=torch.float64, device=device)

    def of(self, entries: Sequence[Entry], numbers: Sequence[int]) -> Rates:
        """The rates of now.

        Args:
            entries: Those that take part in the step.
            numbers: Of each, among the members.

        Raises:
            ValueError: A learning rate that the host has is no finite number of at least 0.
            RuntimeError: A CUDA graph is being captured, and rates have changed or moments are
                reset at a refresh.
        """
        if is_captured(self._device) and any(e.group.get("moments") == "reset" for e in entries):
            raise RuntimeError(
                "A CUDA graph is being captured, and moments='reset' starts bias correction anew "
                "at a refresh, which a replay would not know of: choose 'keep' or 'rotate'."
            )
        on_device: list[Tensor] = []
        rows: dict[int, _Row] = {}
        for entry in entries:
            if id(entry.group) not in rows:
                rows[id(entry.group)] = self._row(entry, on_device)
        for entry, number in zip(entries, numbers, strict=True):
            change, *others = rows[id(entry.group)]
            scale = 1.0 if entry.projection is None else entry.group["scale"]
            self._rows[number] = (change * scale, *others, entry.restarted_at)
        if self._rows != self._sent:
            self._send()
        change_n, decay_n, *_, which_n, restarted_n = self._table
        if on_device:
            one = torch.ones((), dtype=torch.float64, device=self._device)
            choices = torch.stack([one, *(lr.double().reshape(()) for lr in on_device)])
            factors_n = choices.index_select(0, which_n.long())
            change_n, decay_n = change_n * factors_n, decay_n * factors_n
        table = self._table
        return Rates(change_n, decay_n, table[2:4], table[4:6], table[6], restarted_n)

    def _row(self, entry: Entry, on_device: list[Tensor]) -> _Row:
        """All but the last number; a rate of the device is appended to `on_device`."""
        group, lr, which = entry.group, entry.group["lr"], 0
        if isinstance(lr, Tensor) and lr.device.type != "cpu":
            on_device.append(lr)
            lr, which = 1.0, len(on_device)
        lr = float(lr)
        check_rate(lr)
        first, second = group["betas"]
        decay = lr * group["weight_decay"]
        return (-lr, decay, 1 - first, 1 - second, first, second, group["eps"], which)

    def _send(self) -> None:
        rows = torch.tensor(self._rows, dtype=torch.float64, device="cpu").T.contiguous()
        send(rows, self._table)
        self._sent = list(self._rows)
