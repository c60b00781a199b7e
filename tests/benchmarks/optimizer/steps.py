"""Whole optimizer steps over all attention weights, refreshes included, and the state they keep."""

from collections.abc import Sequence
from functools import partial
from statistics import fmean, median
from typing import Any

import torch
from torch import Tensor, nn

from srft_galore import GaLoreAdamW

from .gradients import Captured, with_spectrum
from .optimizers import COMMON, FUSED, build_all, formula_bytes, held_bytes
from .timing import Clock, Machine

Rows = list[dict[str, Any]]


def gradient_sets(
    shapes: Sequence[tuple[int, int]],
    captured: Sequence[Captured],
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[str, list[list[Tensor]]]:
    """Two gradients of every weight, to be had in turn, and where they come from."""
    for training in captured:
        steps = [*training.earlier()[:1], training.last]
        loaded = [list(training.load(step).values()) for step in steps]
        if len(steps) == 2 and sorted(tuple(G.shape) for G in loaded[0]) == sorted(shapes):
            name = f"{training.name} steps {steps[0]} and {steps[1]}"
            return name, [[G.to(device, dtype) for G in part] for part in loaded]
    made = {(*shape, i): with_spectrum(*shape, 1.0, seed=i) for shape in shapes for i in (0, 1)}
    # Copies: weights of one shape would else share a gradient that stays in the cache.
    sets = [[made[(*shape, i)].to(device, dtype, copy=True) for shape in shapes] for i in (0, 1)]
    return "spectrum j^-1", sets


def time_steps(
    gradients: Sequence[Sequence[Tensor]],
    machine: Machine,
    clock: Clock,
    *,
    rank: int,
    gap: int,
    cycles: int,
    only: Sequence[str],
) -> tuple[Rows, Rows]:
    """Milliseconds of a step and bytes of state, for every optimizer.

    All optimizers move the same weights and take their steps in turn. Of each place in the
    interval the least of the `cycles` times counts; what is amortised is the mean over the places.

    Returns:
        A table of times and one of bytes.
    """
    shapes = [(G.shape[0], G.shape[1]) for G in gradients[0]]
    params = [nn.Parameter(torch.randn_like(G) / G.shape[1] ** 0.5) for G in gradients[0]]
    optimizers, missing = build_all(params, rank, gap, only)
    times: dict[str, list[float]] = {name: [] for name in optimizers}
    for step in range(1 + gap * cycles):
        for name, optimizer in optimizers.items():
            for p, G in zip(params, gradients[step % 2], strict=True):
                p.grad = G  # an optimizer may have freed it
            times[name].append(clock.seconds(optimizer.step))
    by_place = {
        name: [min(took[1 + place :: gap]) for place in range(gap)] for name, took in times.items()
    }
    amortised = {name: fmean(places) for name, places in by_place.items()}
    itemsize = gradients[0][0].element_size()
    bound = machine.step_bound(shapes, rank, itemsize)
    speed: Rows = []
    for name, places in by_place.items():
        row: dict[str, Any] = {"optimizer": name, "rank": rank, "ms": 1e3 * amortised[name]}
        row["x " + FUSED] = amortised[name] / amortised[FUSED] if FUSED in amortised else None
        row["median ms"] = 1e3 * median(places)
        row["slowest / median"] = max(places) / median(places)
        row["first ms"] = 1e3 * times[name][0]
        # Other methods move other amounts: a bound of two products says nothing about them.
        if not name.startswith("AdamW"):
            row["x bound"] = amortised[name] / bound
        speed.append(row)
    speed += [{"optimizer": name, "rank": rank, "note": why} for name, why in missing.items()]
    speed.append({"optimizer": "bound of project + back-project", "rank": rank, "ms": 1e3 * bound})
    state: Rows = []
    for name, optimizer in optimizers.items():
        held, formula = held_bytes(optimizer), formula_bytes(name, params, rank, itemsize)
        row = {"optimizer": name, "rank": rank, "MB": held / 1e6, "formula MB": formula / 1e6}
        state.append(row | {"held / formula": held / formula})
    return speed, state


def time_refreshes(
    gradients: Sequence[Sequence[Tensor]], clock: Clock, *, rank: int, repeats: int
) -> Rows:
    """Milliseconds of a new basis for every weight at once, least of the repeats."""
    refreshes: dict[str, dict[str, Any]] = {
        "srft": {},
        "srft +8 +1 power": {"oversample": 8, "power_iterations": 1},
        "warm +8": {"start": "warm", "oversample": 8},
    }
    rows: Rows = []
    for name, options in refreshes.items():
        params = [nn.Parameter(torch.zeros_like(G)) for G in gradients[0]]
        group = {"params": params, "rank": rank, "update_proj_gap": 1, **options}
        optimizer = GaLoreAdamW([group], **COMMON)
        times = []
        for step in range(1 + repeats):
            for p, G in zip(params, gradients[step % 2], strict=True):
                p.grad = G
            times.append(clock.seconds(optimizer.refresh))
            optimizer.step()
        rows.append({"method": name, "rank": rank, "ms": 1e3 * min(times[1:])})
    exact = [partial(torch.linalg.svd, G.float(), full_matrices=False) for G in gradients[0]]
    took = clock.seconds(lambda: [svd() for svd in exact])
    return [*rows, {"method": "torch.linalg.svd", "rank": rank, "ms": 1e3 * took}]
