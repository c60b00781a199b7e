"""Moments, bases and counters of many parameters in few tensors, and one step of them all.

The arithmetic is that of `adamw`, with one operator where that has one per parameter, and nothing
that the host waits for: whether a gradient can be used is found and applied on the device.

Shapes: n parameters, E rows of K numbers (see `layout`), U units of a section, bases S x R, folded
weights M x N.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from srft_galore.batches import copy_all
from srft_galore.entries import Entry
from srft_galore.gradients import largest_projected
from srft_galore.sending import send
from srft_galore.state import moment_dtype

from .layout import WIDTH, Slot, consecutive, owners, portions
from .rates import Rates, RateTable
from .residual import SIGN_SHARE, Whole, add_signs
from .sections import PLAIN, Section, in_units, kind_of, moment_units, sections_of, weight_units

_AT_ONCE = 2**25
"""Weights of which copies are there at the same time."""


class Bank:
    """The states of parameters of one device and one dtype of moments, and their steps."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        """Take over the states: their tensors become views of what the bank holds."""
        by_kind: dict[object, list[Entry]] = {PLAIN: []}  # plain ones come first
        for entry in entries:
            by_kind.setdefault(kind_of(entry), []).append(entry)
        members = [entry for alike in by_kind.values() for entry in alike]
        device, dtype = members[0].parameter.device, moment_dtype(members[0].parameter)
        self._kinds = {e.parameter: kind_of(e) for e in members}
        self._numbers = {e.parameter: number for number, e in enumerate(members)}
        self._weights = consecutive([weight_units(e) for e in members])
        self._moments = consecutive([moment_units(e) for e in members])
        self._weight_owners = owners(self._weights, device)
        self._moment_owners = owners(self._moments, device)
        self._limits_E, self._rows_n = _limits(members, self._moments, dtype, device)
        self._portions = portions(self._weights, _AT_ONCE)
        shape = (self._moments[-1].end, WIDTH)
        self._mean_EK = torch.zeros(shape, dtype=dtype, device=device)
        self._squares_EK = torch.zeros(shape, dtype=dtype, device=device)
        self._plain = len(by_kind[PLAIN])
        self._sections = sections_of(members[self._plain :], self._plain)
        self.steps_n = _gathered([e.state["step"] for e in members], device)
        """Updates of each parameter, int64."""
        self._skipped_n = _gathered([e.state["skipped"] for e in members], device)
        self._rates = RateTable(len(members), device)
        self._part: list[int] = []
        self._part_n = torch.zeros(len(members), dtype=torch.bool, device=device)
        self._states = self._take_over(members)

    @property
    def members(self) -> list[Tensor]:
        """Its parameters."""
        return list(self._numbers)

    @property
    def counts(self) -> list[Tensor]:
        """The step counts of the members, as their states hold them: views of `steps_n`."""
        return [state["step"] for state in self._states]

    def holds(self, entry: Entry) -> bool:
        """Whether a parameter is a member and its state is still what the bank made of it."""
        number = self._numbers.get(entry.parameter)
        if number is None or self._kinds[entry.parameter] != kind_of(entry):
            return False
        return all(entry.state[key] is view for key, view in self._states[number].items())

    @torch.no_grad()
    def update(self, ready: Sequence[tuple[Entry, Tensor]]) -> Tensor:
        """One AdamW step of members.

        Args:
            ready: Members with their gradients: whole where the bank projects them, else of the
                shape of their moments.

        Returns:
            Which of all members moved, bool (n,): those with a gradient that can be used.

        Raises:
            ValueError: A learning rate is no finite number; nothing was moved.
            RuntimeError: See `RateTable`.
        """
        numbers = [self._numbers[entry.parameter] for entry, _ in ready]
        rates = self._rates.of([entry for entry, _ in ready], numbers)
        given = {n: g for n, (_, g) in zip(numbers, ready, strict=True)}
        g_EK = self._projected(given)
        ok_n = self._usable(g_EK)
        if len(ready) < len(self._states):
            self._say_who_takes_part(numbers)
            self._skipped_n += self._part_n & ~ok_n
            ok_n &= self._part_n
        else:
            self._skipped_n += ~ok_n
        uses_residual = any(section.residual == "sign" for section in self._sections)
        R_EK = g_EK.clone() if uses_residual else g_EK
        kept_n = self._adam(g_EK, ok_n, rates)
        self.steps_n += ok_n
        moved = {number: entry.parameter for number, (entry, _) in zip(numbers, ready, strict=True)}
        whole = Whole(given, R_EK, ok_n, rates)
        for begin, end in self._portions:
            self._add_back(moved, begin, end, g_EK, kept_n, whole)
        return ok_n

    def _say_who_takes_part(self, numbers: Sequence[int]) -> None:
        if numbers != self._part:
            there = set(numbers)
            flags = torch.tensor([n in there for n in range(len(self._states))], device="cpu")
            send(flags, self._part_n)
            self._part = list(numbers)

    def _projected(self, given: Mapping[int, Tensor]) -> Tensor:
        """The gradients in the rows of the moments, (E, K); zeros where there is none."""
        g_EK = torch.zeros_like(self._mean_EK)
        whole = {n for s in self._sections if s.is_whole for n in range(s.begin, s.end)}
        direct = [n for n in given if n not in whole]
        copy_all([self._moments[n].single(g_EK) for n in direct], [given[n] for n in direct])
        for begin, end in self._portions:
            inside = [n for n in given if n in whole and begin <= n < end]
            if not inside:
                continue
            base = self._weights[begin].first
            G_EK = g_EK.new_empty(self._weights[end - 1].end - base, WIDTH)
            views = [self._weights[n].single(G_EK, base=base) for n in inside]
            copy_all(views, [in_units(given[n], self._weights[n]) for n in inside])
            for section, first, last in self._within(begin, end):
                if section.is_whole:
                    G_UMN = self._stack(section, first, last, G_EK, base)
                    P_USR, R_U = self._subspace(section, first, last, g_EK)
                    pair = (G_UMN, P_USR) if section.projection.right else (P_USR.mT, G_UMN)
                    torch.bmm(*pair, out=R_U)
        return g_EK

    def _usable(self, g_EK: Tensor) -> Tensor:
        """Whether a member's gradient has no NaN and no Inf and is not too large to be projected,
        bool (n,)."""
        largest_E = torch.linalg.vector_norm(g_EK, torch.inf, dim=1)
        good_E = torch.le(largest_E, self._limits_E, out=torch.empty_like(largest_E))
        good_n = good_E.new_zeros(len(self._states))
        ok_n: Tensor = good_n.index_add_(0, self._moment_owners, good_E) == self._rows_n
        return ok_n

    def _adam(self, g_EK: Tensor, ok_n: Tensor, rates: Rates) -> Tensor:
        """Average the moments; g becomes the change of the weights, in the subspace.

        Returns:
            What is kept of each weight by decay, (n,).
        """
        times_n = self.steps_n - rates.restarted_at + 1
        corrections_2n = 1 - rates.betas**times_n
        root_n = corrections_2n[1].sqrt()
        first_n, second_n = rates.weights * ok_n
        columns = (
            first_n,
            second_n,
            1 - second_n,
            rates.eps * root_n,
            rates.change * root_n / corrections_2n[0],
        )
        by_row = torch.stack(columns, dim=1).to(g_EK.dtype).index_select(0, self._moment_owners)
        first, second, keep, eps, change = by_row[..., None].unbind(1)  # (E, 1) each
        idle = first == 0
        g_EK.masked_fill_(idle, 0)
        self._mean_EK.lerp_(g_EK, first)
        self._squares_EK.mul_(keep).addcmul_(g_EK, g_EK * second)
        torch.sqrt(self._squares_EK, out=g_EK)
        torch.div(self._mean_EK, g_EK.add_(eps), out=g_EK)
        g_EK.mul_(change).masked_fill_(idle, 0)
        return (1 - rates.decay * ok_n).to(g_EK.dtype)

    def _add_back(
        self,
        parameters: Mapping[int, Tensor],
        begin: int,
        end: int,
        change_EK: Tensor,
        kept_n: Tensor,
        whole: Whole,
    ) -> None:
        """W <- keep * W + back-projected change, of the members from `begin` to `end`."""
        base, stop = self._weights[begin].first, self._weights[end - 1].end
        W_EK = change_EK.new_empty(stop - base, WIDTH)
        there = [n for n in parameters if begin <= n < end]
        views = [self._weights[n].single(W_EK, base=base) for n in there]
        weights = [in_units(parameters[n], self._weights[n]) for n in there]
        copy_all(views, weights)
        W_EK *= kept_n.index_select(0, self._weight_owners[base:stop])[:, None]
        if begin < self._plain:  # whose rows are those of their moments
            rows = slice(base, self._weights[min(end, self._plain) - 1].end)
            W_EK[: rows.stop - base] += change_EK[rows]
        for section, first, last in self._within(begin, end):
            W_UMN = self._stack(section, first, last, W_EK, base)
            P_USR, change_U = self._subspace(section, first, last, change_EK)
            if section.residual == "sign":
                self._use_residual(section, first, last, W_UMN, whole)
            pair = (change_U, P_USR.mT) if section.projection.right else (P_USR, change_U)
            W_UMN.baddbmm_(*pair)
        copy_all(weights, views)

    def _use_residual(
        self,
        section: Section,
        first: int,
        last: int,
        W_UMN: Tensor,
        whole: Whole,
    ) -> None:
        """Move weights along the signs outside of the subspace; members that skip stay."""
        right, blocks = section.projection.right, section.projection.blocks

        def by_unit(values_n: Tensor) -> Tensor:
            return values_n[first:last, None].expand(-1, blocks).reshape(-1, 1, 1)

        base, end = self._weights[first].first, self._weights[last - 1].end
        G_EK = W_UMN.new_empty(end - base, WIDTH)
        there = [n for n in whole.gradients if first <= n < last]
        views = [self._weights[n].single(G_EK, base=base) for n in there]
        copy_all(views, [in_units(whole.gradients[n], self._weights[n]) for n in there])
        idle_U = by_unit(~whole.moved_n)
        G_UMN = self._stack(section, first, last, G_EK, base).masked_fill_(idle_U, 0)
        P_USR, R_U = self._subspace(section, first, last, whole.projected_EK)
        R_U = R_U.masked_fill(idle_U, 0)
        size_U = by_unit(SIGN_SHARE * whole.rates.change).to(W_UMN.dtype)
        add_signs(W_UMN, G_UMN, R_U, P_USR, size_U, right=right)

    def _within(self, begin: int, end: int) -> list[tuple[Section, int, int]]:
        """The sections among the members from `begin` to `end`, each with its part of them."""
        parts = [(s, max(begin, s.begin), min(end, s.end)) for s in self._sections]
        return [part for part in parts if part[1] < part[2]]

    def _stack(
        self, section: Section, first: int, last: int, buffer_EK: Tensor, base: int
    ) -> Tensor:
        """Folded weights or gradients of members of a section, (U, M, N)."""
        projection = section.projection
        units, shape = (last - first) * projection.blocks, (projection.rows, projection.cols)
        return Slot(self._weights[first].first, units, shape).stack(buffer_EK, base=base)

    def _subspace(
        self, section: Section, first: int, last: int, buffer_EK: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Bases of members of a section and their part of a buffer laid out as the moments."""
        blocks, slot = section.projection.blocks, self._moments[first]
        stack = slot._replace(units=(last - first) * blocks).stack(buffer_EK)
        return section.bases[(first - section.begin) * blocks :][: len(stack)], stack

    def _take_over(self, members: Sequence[Entry]) -> list[dict[str, Tensor]]:
        states: list[dict[str, Tensor]] = []
        for number, slot in enumerate(self._moments):
            states.append(
                {
                    "step": self.steps_n[number],
                    "skipped": self._skipped_n[number],
                    "exp_avg": slot.single(self._mean_EK),
                    "exp_avg_sq": slot.single(self._squares_EK),
                }
            )
        for section in self._sections:
            parts = section.bases.unflatten(0, (-1, section.projection.blocks)).unbind()
            for number, part in enumerate(parts, start=section.begin):
                states[number]["basis"] = part if len(part) > 1 else part[0]
        for key in ("exp_avg", "exp_avg_sq", "basis"):
            pairs = [
                (s[key], e.state[key]) for s, e in zip(states, members, strict=True) if key in s
            ]
            copy_all([new for new, _ in pairs], [old for _, old in pairs])
        for state, entry in zip(states, members, strict=True):
            entry.state.update(state)
        return states


def _limits(
    members: Sequence[Entry], slots: Sequence[Slot], dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """The largest magnitude that each row may hold, (E,), and the rows of each member, (n,)."""
    projected, plain = largest_projected(dtype), torch.finfo(dtype).max
    limits_n = [plain if entry.projection is None else projected for entry in members]
    rows_n = torch.tensor([slot.end - slot.first for slot in slots], device="cpu")
    limits_E = torch.tensor(limits_n, dtype=dtype, device="cpu").repeat_interleave(rows_n)
    return limits_E.to(device), rows_n.to(device, dtype)


def _gathered(counters: Sequence[Tensor], device: torch.device) -> Tensor:
    """Counters, wherever they are, as one tensor on a device."""
    if all(counter.device.type == "cpu" for counter in counters):
        return torch.stack(list(counters)).to(device)
    return torch.stack([counter.to(device) for counter in counters])
