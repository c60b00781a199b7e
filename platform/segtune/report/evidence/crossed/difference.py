"""A difference that should show again with other seeds and with other patients."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from segtune.report.evidence.crossed.two_way import Term, TwoWay, over_patients, two_way
from segtune.report.evidence.estimate import Estimate
from segtune.report.evidence.stats import (
    ALPHA,
    MIN_EFFECTIVE,
    MIN_PATIENTS,
    MIN_SEEDS,
    Values,
    effective,
    varies,
)


@dataclass(frozen=True)
class Crossed:
    """What is known of a difference over seeds and patients: any interval, and any one-sided test.

    Three t tests, of which the most careful counts. A quasi-F test over both: the squares of the
    standard errors over seeds and over patients are added, and what a seed does on a patient beyond
    both, which either of them contains, is taken off once; Satterthwaite's degrees of freedom.
    Where seeds or patients vary no more than what is left, they are taken not to vary, as
    restricted maximum likelihood does in balanced studies. Of few seeds that happen to agree this
    test alone would make too much, so the difference has to show over seeds and over patients too.
    The test over patients allows for skewed differences (most alike, a few far off): intervals may
    be longer to one side.

    It was chosen among fourteen by simulation (`tests/benchmarks/interval_rules.py`; 3 to 10 seeds,
    5 to 60 patients). Share of true nulls rejected at 5 %: 0 to 6 % whether seeds, patients or both
    together matter, with heavy tails, scores near 1, unequal images and exponential patients;
    lognormal patients 3 to 10 %. No test knows of a kind of patient or training that is not among
    those tested: where one patient in twelve, or one training in ten, loses far more than all else
    varies, it rejects in up to 19 and 55 % (`rare_failures` says where the data look like it).

    Sources: quasi-F for crossed random effects: Clark, Journal of Verbal Learning and Verbal
    Behavior 12 (1973), 335-359; variances: Searle, Casella, McCulloch: Variance Components (1992),
    chapter 4; degrees of freedom: Satterthwaite, Biometrics Bulletin 2 (1946), 110-114; skewness:
    Johnson, Journal of the American Statistical Association 73 (1978), 536-544.
    """

    mean: float
    n: int
    """The number of seeds or of patients, whichever is smaller."""
    errors: tuple[float, float, float]
    """Standard errors over seeds and patients, over seeds alone, and over patients alone; 0 where
    nothing varies."""
    freedoms: tuple[float, float, float]
    """Their degrees of freedom."""
    skew: float
    """Skewness of the mean over patients."""
    price: float = 1.0
    """Of looking several times: what p values are multiplied by, and `alpha` is divided by
    (`sequential.bounds.price`)."""

    def interval(self, alpha: float = ALPHA) -> Estimate:
        """The two-sided interval that misses the truth in a share `alpha` of studies; half of that
        beyond each end."""
        below, above = self._tests.reach(alpha / self.price)
        return Estimate(self.mean, self.mean - float(below[0]), self.mean + float(above[0]), self.n)

    @property
    def p(self) -> float:
        """Two-sided p of no difference: below `alpha` where `interval(alpha)` excludes 0."""
        return min(1.0, 2 * min(self.p_above(0.0), self.p_below(0.0)))

    def p_above(self, limit: float) -> float:
        """One-sided p against a difference of `limit` or less: below `alpha` where the lower end
        of `interval(2 * alpha)` is above it."""
        return self._paid(self._tests.p_above(np.array([self.mean - limit])))

    def p_below(self, limit: float) -> float:
        """One-sided p against a difference of `limit` or more."""
        return self._paid(self._tests.p_below(np.array([limit - self.mean])))

    def _paid(self, p: Values) -> float:
        return min(1.0, self.price * float(p[0]))

    @property
    def _tests(self) -> TwoWay:
        columns = np.array(self.errors)[:, None], np.array(self.freedoms)[:, None]
        return TwoWay(*columns, np.array([self.skew]))


def crossed(
    mean: float,
    per_seed: ArrayLike,
    cells: ArrayLike,
    weights: ArrayLike | None = None,
) -> Crossed | None:
    """What seeds and patients together say of a difference.

    Args:
        mean: the difference.
        per_seed: it for each seed, over all patients.
        cells: each patient's own difference with each seed, (seeds, patients)
            (`patients.own_differences`). One row is the patients' mean over all seeds: what a seed
            does on a patient beyond both is not known then, and counted twice.
        weights: how much each patient weighs in the mean, in any unit; None: all alike.

    Returns:
        None for fewer than `MIN_SEEDS` seeds, `MIN_PATIENTS` patients or `MIN_EFFECTIVE` effective
        ones, and where nothing varies.
    """
    seed_S, cells_SP = np.asarray(per_seed, dtype=float), np.atleast_2d(np.asarray(cells, float))
    patients = cells_SP.shape[1]
    weights_P = np.ones(patients) if weights is None else np.asarray(weights, dtype=float)
    if seed_S.size < MIN_SEEDS or patients < MIN_PATIENTS or effective(weights_P) < MIN_EFFECTIVE:
        return None
    weights_P = weights_P / weights_P.sum()
    square = seed_S.var(ddof=1) / seed_S.size if varies(seed_S) else 0.0
    over_seeds = Term(np.array([square]), np.array([seed_S.size - 1.0]))
    own_P = cells_SP.mean(axis=0)
    over_the_patients, skew_N = over_patients((own_P * varies(own_P))[None], weights_P)
    found = two_way(over_seeds, over_the_patients, _rest(cells_SP, weights_P), skew_N)
    errors, freedoms = found.errors_TN[:, 0].tolist(), found.freedoms_TN[:, 0].tolist()
    if not any(errors):
        return None
    n = min(seed_S.size, patients)
    return Crossed(mean, n, tuple(errors), tuple(freedoms), float(found.skew_N[0]))


def over_both(
    mean: float,
    per_seed: ArrayLike,
    cells: ArrayLike,
    weights: ArrayLike | None = None,
) -> tuple[Estimate, float] | None:
    """Mean, 95 % interval and two-sided p of `crossed`, for one difference alone."""
    found = crossed(mean, per_seed, cells, weights)
    return None if found is None else (found.interval(), found.p)


def _rest(cells_SP: Values, weights_P: Values) -> Term:
    """What is left of seeds and patients beyond both, of one study."""
    seeds, patients = cells_SP.shape
    left_SP = cells_SP - cells_SP.mean(axis=1, keepdims=True)
    left_SP -= left_SP.mean(axis=0)
    if seeds < 2 or not varies(left_SP):
        return Term(np.zeros(1), np.ones(1))
    freedom = (seeds - 1.0) * (patients - 1)
    square = (left_SP**2).sum() / freedom / seeds * (weights_P**2).sum()
    return Term(np.array([square]), np.array([freedom]))
