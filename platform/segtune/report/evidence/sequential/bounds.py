"""What looking several times costs: the level at which each look may be called significant.

Who tests at 5 % after 3, 5, 8, 12 and 20 seeds and stops at the first success is wrong in some 15 %
of studies. So each look has a smaller level, such that all looks together are wrong in 5 %: a
group-sequential test. The error is spent as seeds come in, evenly in kind (Pocock's spending
function), since what stops early saves most.

The levels are those of a mean whose looks are correlated as those of a mean over seeds are. Where
patients vary too, a mean over the same patients is correlated more, and the test errs towards
"cannot tell".

Sources: spending functions: Lan and DeMets, Biometrika 70 (1983), 659-663; the integration:
Armitage, McPherson and Rowe, Journal of the Royal Statistical Society A 132 (1969), 235-244; levels
applied to p values of t tests: Jennison and Turnbull, Group Sequential Methods (2000), 3.8.

Shape suffix: G points of the grid.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from segtune.report.evidence.stats import ALPHA, Values

_POINTS = 401
_FARTHEST = 12.0
"""Beyond which no sum is, in standard deviations of the last look's."""


@functools.lru_cache(maxsize=256)
def levels(looks: tuple[int, ...], alpha: float = ALPHA) -> tuple[float, ...]:
    """Two-sided level of each look, such that any of them is passed in a share `alpha` of studies
    without a difference.

    Args:
        looks: seeds at each look, rising.
        alpha: of all looks together.
    """
    information = [seeds / looks[-1] for seeds in looks]
    spent = [alpha * math.log1p((math.e - 1) * t) for t in information]
    found: list[float] = []
    going, before, wrong = _Going(np.zeros(1), np.ones(1)), 0.0, 0.0
    for now, total in zip(information, spent, strict=True):
        step = math.sqrt(now - before)
        end = going.end(step, total - wrong)
        found.append(2 * float(stats.norm.sf(end / math.sqrt(now))))
        going, before, wrong = going.after(step, end), now, total
    return tuple(found)


def price(looks: tuple[int, ...], seeds: int, arms: int) -> float:
    """By what a p value is multiplied at a look, so that it can be held against the level of a
    single one.

    Args:
        looks: seeds at each look, rising.
        seeds: that are there. Between two looks the next one's counts.
        arms: that are compared at once: at the smaller level that each of them has, looking
            several times costs more.
    """
    each = ALPHA / max(arms, 1)
    at = next((i for i, look in enumerate(looks) if look >= seeds), len(looks) - 1)
    return each / levels(looks, each)[at]


@dataclass(frozen=True)
class _Going:
    """Studies without a difference that have not stopped: the sum of their seeds' differences."""

    points_G: Values
    density_G: Values

    def end(self, step: float, share: float) -> float:
        """The sum beyond which, to either side, a share of all studies is after the next step."""

        def excess(end: float) -> float:
            above_G = stats.norm.sf((end - self.points_G) / step)
            below_G = stats.norm.cdf((-end - self.points_G) / step)
            return float(self._integral((above_G + below_G) * self.density_G)) - share

        return float(optimize.brentq(excess, 0.0, _FARTHEST))

    def after(self, step: float, end: float) -> "_Going":
        """Those that go on after the next step: their sum is not beyond `end`."""
        ahead_G = np.linspace(-end, end, _POINTS)
        moved_GG = stats.norm.pdf((ahead_G[:, None] - self.points_G) / step) / step
        return _Going(ahead_G, self._integral(moved_GG * self.density_G))

    def _integral(self, values_G: Values) -> Values:
        """By the trapezoidal rule over the last axis; of a single point its value."""
        if self.points_G.size == 1:
            return values_G[..., 0]
        return np.asarray(np.trapezoid(values_G, self.points_G, axis=-1))
