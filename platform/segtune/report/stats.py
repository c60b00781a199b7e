"""Intervals and tests: Student's t over seeds, Holm, and a bootstrap over patients."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

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
    values_IC: NDArray[np.float64], patients: Sequence[str], *, draws: int = DRAWS, seed: int = 0
) -> PatientInterval | None:
    """Mean over classes of the mean over images, and its interval over patients.

    Images of one patient are not independent, so whole patients are drawn.

    Args:
        values_IC: one value per image (I) and class (C); NaN where not defined.
        patients: the patient of each image.
        draws: bootstrap samples.
        seed: of the draws, so that the same tables give the same interval.

    Returns:
        None for fewer than two patients.
    """
    kept = np.isfinite(values_IC).any(axis=1)
    values_IC, owners = values_IC[kept], np.asarray(patients)[kept]
    names, owner_I = np.unique(owners, return_inverse=True)
    if names.size < 2:
        return None
    there_IC = np.isfinite(values_IC)
    sum_PC = np.zeros((names.size, values_IC.shape[1]))
    count_PC = np.zeros_like(sum_PC)
    np.add.at(sum_PC, owner_I, np.where(there_IC, values_IC, 0.0))
    np.add.at(count_PC, owner_I, there_IC)
    times_DP = np.random.default_rng(seed).multinomial(
        names.size, np.full(names.size, 1 / names.size), size=draws
    )
    mean_D = _mean_over_classes(times_DP @ sum_PC, times_DP @ count_PC)
    low, high = np.nanpercentile(mean_D, [100 * (1 - LEVEL) / 2, 100 * (1 + LEVEL) / 2])
    mean = _mean_over_classes(sum_PC.sum(0, keepdims=True), count_PC.sum(0, keepdims=True))[0]
    return PatientInterval(float(mean), float(low), float(high), int(names.size), int(kept.sum()))


def _mean_over_classes(
    sum_XC: NDArray[np.float64], count_XC: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean over those classes that a row has an image of; every row has one at least."""
    there_XC = count_XC > 0
    mean_XC = np.divide(sum_XC, count_XC, out=np.zeros_like(sum_XC), where=there_XC)
    classes_X = there_XC.sum(axis=1)
    return np.asarray(mean_XC.sum(axis=1) / np.maximum(classes_X, 1), dtype=np.float64)
