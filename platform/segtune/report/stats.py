"""Intervals and tests: Student's t over seeds, Holm, and a bootstrap over patients.

Shape suffixes: I images, C classes, P patients, D draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Values = NDArray[np.float64]
LEVEL = 0.95
DRAWS = 2000


@dataclass(frozen=True)
class Estimate:
    """A mean with its two-sided 95 % interval."""

    mean: float
    low: float | None
    """None where one value alone was there: no interval can be given."""
    high: float | None
    n: int
    """Values that the mean is over."""

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval is there and lies on one side of 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class PatientInterval:
    """A percentile interval over patients drawn with replacement."""

    mean: float
    low: float
    high: float
    patients: int
    images: int


def t_interval(values: Sequence[float]) -> Estimate | None:
    """Mean and Student's t interval of the finite ones among `values`; None where none is."""
    finite = np.asarray([v for v in values if np.isfinite(v)], dtype=float)
    if finite.size == 0:
        return None
    mean = float(finite.mean())
    if finite.size == 1:
        return Estimate(mean, None, None, 1)
    half = t_factor(finite.size) * float(finite.std(ddof=1)) / np.sqrt(finite.size)
    return Estimate(mean, mean - float(half), mean + float(half), int(finite.size))


def t_factor(n: int) -> float:
    """Standard errors on each side of the mean of n values in a 95 % t interval."""
    return float(stats.t.ppf((1 + LEVEL) / 2, n - 1))


def paired_p(differences: Sequence[float]) -> float | None:
    """Two-sided p of a paired t test.

    Returns:
        None for fewer than two differences, and where they do not vary: the test is not defined.
    """
    values = np.asarray(differences, dtype=float)
    if values.size < 2 or np.ptp(values) == 0:
        return None
    return float(stats.ttest_1samp(values, 0.0).pvalue)


def holm(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Holm's step-down correction across those p values that are there.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979), 65-70.
    """
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, i) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        adjusted[i] = largest
    return tuple(adjusted)


def patient_bootstrap(
    pairs: Sequence[tuple[Values, Values]],
    patients: Sequence[str],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> PatientInterval | None:
    """Difference of two macro means, averaged over pairs, and its interval over patients.

    Images of one patient are not independent, so whole patients are drawn, the same for both
    sides of a pair.

    Args:
        pairs: per seed the values of both arms, (images I, classes C), NaN where not defined.
        patients: the patient of each image.
        draws: bootstrap samples.
        seed: of the draws, so that the same tables give the same interval.

    Returns:
        None for fewer than two patients with a value.
    """
    scored_I = np.any([np.isfinite(v_IC).any(axis=1) for pair in pairs for v_IC in pair], axis=0)
    names, owner_I = np.unique(np.asarray(patients)[scored_I], return_inverse=True)
    if names.size < 2:
        return None
    sums = [[_by_patient(v_IC[scored_I], owner_I) for v_IC in pair] for pair in pairs]

    def difference(times_DP: Values) -> Values:
        gaps = [_macro(times_DP, *a) - _macro(times_DP, *b) for a, b in sums]
        return np.asarray(np.mean(gaps, axis=0), dtype=np.float64)

    even_P = np.full(names.size, 1 / names.size)
    times_DP = np.random.default_rng(seed).multinomial(names.size, even_P, size=draws)
    drawn_D = difference(times_DP.astype(np.float64))
    # A draw of patients that lack a class altogether on every side says nothing.
    low, high = np.nanpercentile(drawn_D, [100 * (1 - LEVEL) / 2, 100 * (1 + LEVEL) / 2])
    mean = float(difference(np.ones((1, names.size)))[0])
    return PatientInterval(mean, float(low), float(high), int(names.size), int(scored_I.sum()))


def _by_patient(values_IC: Values, owner_I: NDArray[np.intp]) -> tuple[Values, Values]:
    """Sums and numbers of the defined values, (patients P, classes C)."""
    there_IC = np.isfinite(values_IC)
    sum_PC = np.zeros((int(owner_I.max()) + 1, values_IC.shape[1]))
    count_PC = np.zeros_like(sum_PC)
    np.add.at(sum_PC, owner_I, np.where(there_IC, values_IC, 0.0))
    np.add.at(count_PC, owner_I, there_IC)
    return sum_PC, count_PC


def _macro(times_DP: Values, sum_PC: Values, count_PC: Values) -> Values:
    """Per draw the mean over classes of the mean over images; over classes that an image has."""
    sum_DC, count_DC = times_DP @ sum_PC, times_DP @ count_PC
    there_DC = count_DC > 0
    mean_DC = np.divide(sum_DC, count_DC, out=np.zeros_like(sum_DC), where=there_DC)
    classes_D = there_DC.sum(axis=1)
    nan_D = np.full(len(mean_DC), np.nan)
    return np.asarray(np.divide(mean_DC.sum(axis=1), classes_D, out=nan_D, where=classes_D > 0))
