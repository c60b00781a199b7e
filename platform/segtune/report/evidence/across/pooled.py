"""Differences of several data sets as one, with how much they vary from set to set.

A data set's difference is its own truth plus the error that its seeds and patients leave; the
truths vary about a mean, which is what is asked for: a random-effects meta-analysis. Few data sets
know their own variation badly, so the interval is a t interval whose error is estimated from how
far the differences lie apart (Hartung, Knapp, Sidik, Jonkman), and never smaller than by the sets'
own errors.

Sources: variance between sets: Paule and Mandel, Journal of Research of the National Bureau of
Standards 87 (1982), 377-385; interval: Hartung and Knapp, Statistics in Medicine 20 (2001),
3875-3889, with the guard of Röver, Knapp and Friede, BMC Medical Research Methodology 15 (2015),
99; where another data set's truth lies: Higgins, Thompson and Spiegelhalter, Journal of the Royal
Statistical Society A 172 (2009), 137-159.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from segtune.report.evidence.estimate import Estimate
from segtune.report.evidence.stats import ALPHA

MIN_SETS = 2


@dataclass(frozen=True)
class Pooled:
    """The mean difference over data sets like these: any interval, and any one-sided test."""

    mean: float
    error: float
    """Its standard error."""
    sets: int
    between: float
    """Standard deviation of the truths from set to set, in the unit of the score."""

    def interval(self, alpha: float = ALPHA) -> Estimate:
        """The two-sided interval of the mean over data sets."""
        reach = float(stats.t.ppf(1 - alpha / 2, self.sets - 1)) * self.error
        return Estimate(self.mean, self.mean - reach, self.mean + reach, self.sets)

    @property
    def another(self) -> Estimate | None:
        """Where the truth of another data set lies, with 95 %; None for fewer than 3 sets."""
        if self.sets < 3:
            return None
        sd = math.hypot(self.error, self.between)
        reach = float(stats.t.ppf(1 - ALPHA / 2, self.sets - 2)) * sd
        return Estimate(self.mean, self.mean - reach, self.mean + reach, self.sets)

    @property
    def p(self) -> float:
        """Two-sided p of no difference."""
        return 2 * min(self.p_above(0.0), self.p_below(0.0))

    def p_above(self, limit: float) -> float:
        """One-sided p against a mean of `limit` or less."""
        return self._p(self.mean - limit)

    def p_below(self, limit: float) -> float:
        """One-sided p against a mean of `limit` or more."""
        return self._p(limit - self.mean)

    def _p(self, beyond: float) -> float:
        return float(stats.t.sf(beyond / self.error, self.sets - 1))


def pool(means: Sequence[float], errors: Sequence[float]) -> Pooled | None:
    """Put the differences of several data sets together.

    Args:
        means: the difference on each data set.
        errors: its standard error there, above 0.

    Returns:
        None for fewer than `MIN_SETS` data sets.
    """
    if len(means) < MIN_SETS:
        return None
    mean_K, square_K = np.asarray(means, dtype=float), np.square(np.asarray(errors, dtype=float))

    def weights(between: float) -> np.ndarray:
        return np.asarray(1 / (square_K + between))

    def excess(between: float) -> float:
        weight_K = weights(between)
        center = (weight_K @ mean_K) / weight_K.sum()
        return float(weight_K @ (mean_K - center) ** 2) - (mean_K.size - 1)

    most = float(np.ptp(mean_K) ** 2 + square_K.max())
    between = 0.0 if excess(0.0) <= 0 else float(optimize.brentq(excess, 0.0, most * mean_K.size))
    weight_K = weights(between)
    mean = float(weight_K @ mean_K / weight_K.sum())
    spread = float(weight_K @ (mean_K - mean) ** 2) / (mean_K.size - 1)
    error = math.sqrt(max(spread, 1.0) / weight_K.sum())
    return Pooled(mean, error, mean_K.size, math.sqrt(between))
