"""Tests of a mean over two crossed random effects, seeds and patients: the rule of the verdict, for
many studies at once.

A study's difference has a cell for each seed and patient: the truth, plus what the seed adds, plus
what the patient adds, plus what is left. `crossed` says what the rule is, where it comes from, and
where it fails.

Shape suffixes: N studies, T tests, P patients.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import special

from segtune.report.evidence.stats import ROUNDING, Values, effective


class Term(NamedTuple):
    """What a part of the variation adds to a mean's squared standard error, as it was measured."""

    square_N: Values
    freedom_N: Values
    """Degrees of freedom of the square; above 0."""


@dataclass(frozen=True, eq=False)
class TwoWay:
    """The t tests of N means. A mean differs from a limit where each test says so."""

    errors_TN: Values
    """Standard errors over seeds and patients, over seeds alone, and over patients alone; 0 where
    nothing varies, which is no test."""
    freedoms_TN: Values
    """Their degrees of freedom."""
    skew_N: Values
    """Skewness of the mean over patients, which the test over patients alone allows for."""

    def reach(self, alpha: float) -> tuple[Values, Values]:
        """How far the ends of the two-sided intervals lie below and above the means, (N,) each."""
        t_TN = np.asarray(special.stdtrit(self.freedoms_TN, 1 - alpha / 2), dtype=np.float64)
        return self._reach(t_TN, -self.skew_N), self._reach(t_TN, self.skew_N)

    def p_above(self, beyond_N: Values) -> Values:
        """One-sided p against the limit that means are so far above, or less, (N,)."""
        return self._p(beyond_N, -self.skew_N)

    def p_below(self, beyond_N: Values) -> Values:
        """One-sided p against the limit that means are so far below, or more, (N,)."""
        return self._p(beyond_N, self.skew_N)

    def _reach(self, t_TN: Values, skew_N: Values) -> Values:
        t_TN = t_TN.copy()
        t_TN[2] += np.maximum(skew_N, 0.0) * (t_TN[2] ** 2 / 3 + 1 / 6)
        return np.asarray((t_TN * self.errors_TN).max(axis=0), dtype=np.float64)

    def _p(self, beyond_N: Values, skew_N: Values) -> Values:
        there_TN = self.errors_TN > 0
        beyond_TN = np.broadcast_to(beyond_N, there_TN.shape)
        t_TN = np.divide(beyond_TN, self.errors_TN, out=np.full(there_TN.shape, np.inf),
                         where=there_TN)  # fmt: skip
        far_N = there_TN[2] & (t_TN[2] > 0)
        t_TN[2, far_N] = _without_skewness(t_TN[2, far_N], np.maximum(skew_N, 0.0)[far_N])
        return np.asarray(special.stdtr(self.freedoms_TN, -t_TN).max(axis=0), dtype=np.float64)


def two_way(seeds: Term, patients: Term, rest: Term, skew_N: Values) -> TwoWay:
    """The tests of the means of N studies.

    Args:
        seeds: the square over seeds, each seed's difference taken over all patients.
        patients: the square over patients, each patient's difference taken over all seeds.
        rest: what is left of seeds and patients beyond both, which either square contains.
        skew_N: skewness of the mean over patients.
    """
    seeds_vary_N = seeds.square_N > rest.square_N
    patients_vary_N = patients.square_N > rest.square_N
    pooled = _pooled(seeds, patients, rest)
    seeds_alone_N = seeds_vary_N & (seeds.square_N > _pooled(patients, rest).square_N)
    patients_alone_N = patients_vary_N & (patients.square_N > _pooled(seeds, rest).square_N)
    sum_N = seeds.square_N + patients.square_N - rest.square_N
    kinds = [seeds_vary_N & patients_vary_N, seeds_alone_N, patients_alone_N]
    square_N = np.select(kinds, [sum_N, seeds.square_N, patients.square_N], pooled.square_N)
    freedom_N = np.select(
        kinds,
        [_satterthwaite(sum_N, seeds, patients, rest), seeds.freedom_N, patients.freedom_N],
        pooled.freedom_N,
    )
    squares_TN = [square_N, seeds.square_N, patients.square_N]
    freedoms_TN = np.array(np.broadcast_arrays(freedom_N, seeds.freedom_N, patients.freedom_N))
    return TwoWay(np.sqrt(squares_TN), freedoms_TN, skew_N)


def over_patients(own_NP: Values, weights_P: Values) -> tuple[Term, Values]:
    """The square over patients of their weighted mean, and the skewness of that mean.

    Patients who weigh alike: the variance of their differences over their number. Else there are
    two ways to it, and the larger square is taken. One takes all patients to differ alike, however
    many images they have, and so knows by all of them how much; the other, the jackknife, does not,
    and its degrees of freedom are those of as many equal patients (`effective`).

    The skewness of few values is too small on average: that of 5, 8 and 20 exponential ones by
    factors of 2.5, 1.9 and 1.4 (simulated). So it is taken 1 + 8 / P times.

    Args:
        own_NP: each patient's own difference, at least 3 patients.
        weights_P: how much each weighs; their sum is 1.
    """
    patients = own_NP.shape[1]
    even_N = np.asarray((weights_P**2).sum() * own_NP.var(axis=1, ddof=1))
    moved_NP = weights_P / (1 - weights_P) * (own_NP - own_NP @ weights_P[:, None])
    jackknife_N = (patients - 1) ** 2 / patients * moved_NP.var(axis=1, ddof=1)
    # Where all weigh alike both are the same but for rounding.
    uneven_N = jackknife_N > even_N * (1 + ROUNDING)
    square_N = np.where(uneven_N, jackknife_N, even_N)
    freedom_N = np.where(uneven_N, effective(weights_P) - 1, patients - 1.0)
    third_N = ((own_NP - own_NP.mean(axis=1, keepdims=True)) ** 3).sum(axis=1)
    third_N *= patients / ((patients - 1) * (patients - 2)) * (weights_P**3).sum()
    there_N = square_N > 0
    skew_N = np.divide(third_N, square_N**1.5, out=np.zeros_like(third_N), where=there_N)
    return Term(square_N, freedom_N), (1 + 8 / patients) * skew_N


def _pooled(*terms: Term) -> Term:
    """One square from several that measure the same."""
    freedom_N = np.asarray(sum(t.freedom_N for t in terms), dtype=np.float64)
    squares_N = sum(t.freedom_N * t.square_N for t in terms)
    return Term(np.asarray(squares_N / freedom_N, dtype=np.float64), freedom_N)


def _satterthwaite(sum_N: Values, *terms: Term) -> Values:
    """Degrees of freedom of a sum of squares; what it is where all are 0 does not matter."""
    parts_N = sum(t.square_N**2 / t.freedom_N for t in terms)
    return np.asarray(sum_N**2 / np.maximum(parts_N, np.finfo(float).tiny), dtype=np.float64)


def _without_skewness(t_N: Values, skew_N: Values) -> Values:
    """What t above 0 would be but for the skewness: the t0 of t = t0 + skew (t0^2 / 3 + 1 / 6)."""
    beyond_N = np.maximum(t_N - skew_N / 6, 0.0)
    return np.asarray(2 * beyond_N / (1 + np.sqrt(1 + 4 / 3 * skew_N * beyond_N)))
