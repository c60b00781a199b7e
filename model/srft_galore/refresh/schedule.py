"""When the basis of a parameter is due."""

import heapq
from collections.abc import Sequence


def is_due(step: int, refreshed_at: int, *, gap: int, phase: int = 0) -> bool:
    """Whether a basis is to be computed for the update after `step` updates.

    At `phase`, `phase + gap`, ...; whole intervals are counted, so that a refresh put off does not
    move the later ones. Without a basis (`refreshed_at` below zero) always.
    """
    return refreshed_at < 0 or (step - phase) // gap > (refreshed_at - phase) // gap


def staggered_phases(costs: tuple[int, ...], gap: int) -> Sequence[int]:
    """A phase in [0, gap) for each parameter, so that the steps' costs are as even as they get.

    Largest first, each to the phase with the least cost so far (Graham's longest processing time
    rule); of equal ones the first. It depends on costs and order alone: the same on every rank.
    """
    slots = [(0, phase) for phase in range(min(gap, len(costs)))]
    phases = [0] * len(costs)
    for number in sorted(range(len(costs)), key=lambda i: -costs[i]):
        cost, phase = heapq.heappop(slots)
        phases[number] = phase
        heapq.heappush(slots, (cost + costs[number], phase))
    return phases
