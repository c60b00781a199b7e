"""Intervals and tests on one number per seed or per patient.

Two things vary when a training is repeated: its seed, and the patients that it is tested on. A
test over one of them takes the other as given and finds differences that another seed or other
patients would not show. Simulated with 5 seeds, 10 patients and no true difference: at the level
of 5 % a t test over seeds rejects in 8 of 100 studies where both vary alike and in 30 where
patients vary three times as much; a permutation over patients in 24, and in 56 where seeds vary
three times as much. `crossed.over_both` rejects in about 5 throughout
(`tests/segtune_tests/report/evidence/test_simulation.py`): the verdict rests on it.

Why paired t tests, and not Wilcoxon or a permutation, over seeds: of five seeds the smallest
two-sided p of either is 2 / 2^5 = 0.06, so neither can ever reject. The mean of a macro score over
many images is near enough to normal for a t test. Patients are more, and their differences skewed:
there the signs are permuted, which assumes symmetry only.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from segtune.report.evidence.estimate import Estimate

Values = NDArray[np.float64]
LEVEL = 0.95
ALPHA = 0.05
POWER = 0.8
MIN_SEEDS = 3
"""Fewest paired seeds for a p value: the t test of two has one degree of freedom, and whether two
seeds happen to agree decides it."""
MIN_PATIENTS = 3
"""Fewest patients for a p value; with three seeds and three patients the test keeps its level
(simulated)."""
MIN_EFFECTIVE = 2
"""Fewest patients for a p value, counted by weight (`effective`): where one has nearly all images,
a difference is that patient's."""
_FLIPS = 9999
ROUNDING = 1e-9


def t_interval(values: Sequence[float]) -> Estimate | None:
    """Mean and Student's t interval of the finite ones among `values`; None where none is."""
    finite = np.asarray([v for v in values if np.isfinite(v)], dtype=float)
    if finite.size == 0:
        return None
    mean = float(finite.mean())
    if finite.size == 1:
        return Estimate(mean, None, None, 1)
    sd = float(finite.std(ddof=1))
    half = t_factor(finite.size) * sd / math.sqrt(finite.size)
    return Estimate(mean, mean - half, mean + half, int(finite.size), sd)


def t_factor(n: int) -> float:
    """Standard errors on each side of the mean of n values in a 95 % t interval."""
    return float(stats.t.ppf((1 + LEVEL) / 2, n - 1))


def expanded_tail(n: float) -> float:
    """The percentile at which a bootstrap interval of 95 % over n values begins: as much below 2.5
    as makes it as wide as a t interval.

    Source: expanded percentiles, Hesterberg, The American Statistician 69 (2015), 371-386, 5.3.
    """
    t = stats.t.ppf((1 - LEVEL) / 2, n - 1)
    return 100 * float(stats.norm.cdf(np.sqrt(n / (n - 1)) * t))


def paired_t(differences: ArrayLike) -> float | None:
    """Two-sided p of a paired t test over seeds.

    Returns:
        None for fewer than `MIN_SEEDS` differences, and where they do not vary.
    """
    values = np.asarray(differences, dtype=float)
    if values.size < MIN_SEEDS or not varies(values):
        return None
    return float(stats.ttest_1samp(values, 0.0).pvalue)


def sign_flips(differences: ArrayLike) -> float | None:
    """Two-sided p of a paired permutation test of the mean, which flips signs.

    Exact where there are few enough flips to try all, else from 9,999 random ones of a fixed
    seed.

    Returns:
        None where even the most extreme outcome would not reach 5 % (fewer than 6 differences).
    """
    values = np.asarray(differences, dtype=float)
    if 2.0 ** (1 - values.size) >= ALPHA:
        return None
    found = stats.permutation_test(
        (values,),
        lambda x, axis: np.mean(x, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=_FLIPS,
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)


def effective(weights: ArrayLike) -> float:
    """Equal units that a weighted mean is as uncertain as: (sum w)^2 / sum w^2; 0 for none.

    Source: Kish, Survey Sampling (1965), 8.2; the degrees of freedom are this less one.
    """
    values = np.asarray(weights, dtype=float)
    if not values.sum() > 0:
        return 0.0
    # Rounded, so that three equal patients are three.
    return round(float(values.sum() ** 2 / (values**2).sum()), 9)


def hedges(differences: ArrayLike) -> float | None:
    """Paired effect size: mean over standard deviation, corrected for small samples (g_z).

    Source: Hedges, Journal of Educational Statistics 6 (1981), 107-128 (the exact factor).

    Returns:
        None for fewer than three differences, and where they do not vary.
    """
    values = np.asarray(differences, dtype=float)
    if values.size < 3 or not varies(values):
        return None
    freedom = values.size - 1
    log_factor = special.gammaln(freedom / 2) - special.gammaln((freedom - 1) / 2)
    factor = math.exp(log_factor) / math.sqrt(freedom / 2)
    return factor * float(values.mean() / values.std(ddof=1))


def holm(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Holm's step-down correction across those p values that are there.

    The numbers are those of statsmodels' `multipletests`, which makes Python collect all garbage
    at every call: with many modules loaded that took half of the time of a report.
    """
    known_P = np.array([p for p in p_values if p is not None], dtype=float)
    order_P = np.argsort(known_P)
    factors_P = np.arange(known_P.size, 0, -1)
    corrected_P = np.empty_like(known_P)
    corrected_P[order_P] = np.maximum.accumulate(known_P[order_P] * factors_P).clip(max=1.0)
    corrected = iter(corrected_P)
    return tuple(None if p is None else float(next(corrected)) for p in p_values)


def varies(values: Values) -> bool:
    """Whether the values differ by more than rounding."""
    return float(np.ptp(values)) > ROUNDING
