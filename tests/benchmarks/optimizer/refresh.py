"""What a refresh of one basis costs and catches, next to torch's exact and randomised SVD."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from srft_galore import range_finder

from .gradients import Captured, disturbed, with_spectrum
from .timing import Clock

Rows = list[dict[str, Any]]
Finder = Callable[[Tensor, int, Mapping[str, Tensor], int], Tensor]
"""From a gradient, a rank, old bases by name and a seed to a basis of the right side (N, R)."""


def extra(rank: int) -> int:
    """Columns of a sketch beyond the rank where a method takes any."""
    return max(8, rank // 4)


def _ours(
    G: Tensor, rank: int, old: Mapping[str, Tensor], seed: int, *, start: str = "", **options: Any
) -> Tensor:
    if options.pop("more", False):
        options["oversample"] = min(extra(rank), *(d - rank for d in G.shape))
    if start:
        options["start"] = old[start]
    return range_finder(G.mT, rank, seed=seed, **options)


def _exact(G: Tensor, rank: int, old: Mapping[str, Tensor], seed: int) -> Tensor:
    V: Tensor = torch.linalg.svd(G, full_matrices=False).Vh[:rank].mT
    return V


def _exact_turned(G: Tensor, rank: int, old: Mapping[str, Tensor], seed: int) -> Tensor:
    U: Tensor = torch.linalg.svd(G.mT, full_matrices=False).U[:, :rank]
    return U


def _svd_lowrank(G: Tensor, rank: int, old: Mapping[str, Tensor], seed: int) -> Tensor:
    return torch.svd_lowrank(G, q=rank, niter=2)[2]


TALL, WIDE = "torch.linalg.svd", "torch.linalg.svd of the transpose"
"""LAPACK's time depends on which way round a matrix is handed to it."""
METHODS: dict[str, Finder] = {
    TALL: _exact,
    WIDE: _exact_turned,
    "torch.svd_lowrank, niter=2": _svd_lowrank,
    "svd": partial(_ours, projector="svd"),
    "gaussian": partial(_ours, projector="gaussian"),
    "srft": partial(_ours, projector="srft"),
    "srft_published": partial(_ours, projector="srft_published"),
    "srft +p": partial(_ours, projector="srft", more=True),
    "srft +1 power": partial(_ours, projector="srft", power_iterations=1),
    "srft +p +1 power": partial(_ours, projector="srft", more=True, power_iterations=1),
}
"""By name; +p takes `extra` columns. A warm row is added for each old basis there is."""
EXACT = (TALL, WIDE, "svd")
"""The methods that compute the whole SVD."""


@dataclass(frozen=True)
class Case:
    """A gradient (M, N), right side projected, and gradients to warm up on."""

    name: str
    gradient: Tensor
    earlier: dict[str, Tensor]

    def methods(self) -> dict[str, Finder]:
        """The cold ones, and two warm ones for each earlier gradient."""
        found = dict(METHODS)
        for name in self.earlier:
            found[f"warm from {name}"] = partial(_ours, start=name)
            found[f"warm +p from {name}"] = partial(_ours, start=name, more=True)
        return found

    def old_bases(self, rank: int) -> dict[str, Tensor]:
        """What a cold start would have found in the earlier gradients."""
        return {name: _ours(G, rank, {}, 1, power_iterations=1) for name, G in self.earlier.items()}


def one_matrix(
    shape: tuple[int, int], captured: list[Captured], device: torch.device
) -> list[Case]:
    """Made spectra in this shape, and the last real gradient of this shape of each training."""
    cases = []
    for power in (0.5, 1.0, 2.0):
        G = with_spectrum(*shape, power)
        earlier = {"G + 30 % noise": disturbed(G, 0.3).to(device)}
        cases.append(Case(f"j^-{power:g}", G.to(device), earlier))
    for training in captured:
        gradients = training.load(training.last)
        names = [name for name, G in gradients.items() if tuple(G.shape) == shape]
        if names:
            earlier = {
                f"{training.last - step} before": training.load(step)[names[-1]].to(device)
                for step in training.earlier()
            }
            name = f"{training.name} step {training.last}"
            cases.append(Case(name, gradients[names[-1]].to(device), earlier))
    return cases


def time_refresh(cases: list[Case], ranks: tuple[int, ...], clock: Clock, repeats: int) -> Rows:
    """Milliseconds (least of the repeats), times faster than the exact SVDs, energy.

    An exact SVD takes the same time at every rank and is timed once for all of them, in turn with
    the others.
    """
    rows: Rows = []
    for case in cases:
        G, methods = case.gradient, case.methods()
        spectrum = torch.linalg.svdvals(G.double()).square()
        old = {rank: case.old_bases(rank) for rank in ranks}
        runs = {
            f"{rank} {name}": partial(find, G, rank, old[rank], 0)
            for rank in ranks
            for name, find in methods.items()
            if rank == ranks[0] or name not in EXACT
        }
        times = {run: min(took) for run, took in clock.interleaved(runs, repeats).items()}
        for rank in ranks:
            best = spectrum[:rank].sum()
            for name, find in methods.items():
                took = times[f"{ranks[0] if name in EXACT else rank} {name}"]
                draws = range(1 if name in EXACT else 3)
                energy = fmean(captured(G, find(G, rank, old[rank], s), best) for s in draws)
                row: dict[str, Any] = {"gradient": case.name, "shape": "x".join(map(str, G.shape))}
                row |= {"rank": rank, "method": name, "ms": 1e3 * took}
                row["x SVD"] = times[f"{ranks[0]} {TALL}"] / took
                row["x SVD of the transpose"] = times[f"{ranks[0]} {WIDE}"] / took
                rows.append(row | {"energy": energy})
    return rows


def captured(G: Tensor, P: Tensor, best: Tensor) -> float:
    """Energy of G inside the span of P (N, R), as a share of the best possible."""
    return float((G.double() @ P.double()).square().sum() / best)


def energy_over_weights(training: Captured, ranks: tuple[int, ...], device: torch.device) -> Rows:
    """Energy over all weights of a training: mean, 5 % quantile and least."""
    gradients = training.load(training.last)
    earlier = {f"{training.last - s} before": training.load(s) for s in training.earlier()}
    found: dict[tuple[int, str], list[float]] = {}
    for name, gradient in gradients.items():
        G = gradient.to(device)
        spectrum = torch.linalg.svdvals(G.double()).square()
        case = Case(name, G, {k: old[name].to(device) for k, old in earlier.items()})
        for rank in ranks:
            if rank + extra(rank) > min(G.shape):
                continue
            best = spectrum[:rank].sum()
            found.setdefault((rank, "best of this rank / all"), []).append(
                float(best / spectrum.sum())
            )
            old = case.old_bases(rank)
            for label, P in old.items():
                found.setdefault((rank, f"basis {label}, kept"), []).append(captured(G, P, best))
            for method, find in case.methods().items():
                if method in EXACT:
                    continue
                value = captured(G, find(G, rank, old, 0), best)
                found.setdefault((rank, method), []).append(value)
    rows: Rows = []
    for (rank, method), values in found.items():
        values.sort()
        row = {"gradients": f"{training.name} step {training.last}", "rank": rank, "method": method}
        row |= {"weights": len(values), "mean": fmean(values)}
        rows.append(row | {"5 %": values[len(values) // 20], "least": values[0]})
    return rows
