"""Intervals and tests on one number per seed or per patient.

Two things vary when a training is repeated: its seed, and the patients that it is tested on. A
test over one of them takes the other as given and finds differences that another seed or other
patients would not show. Simulated with 5 seeds, 10 patients and no true difference: at the level
of 5 % a t test over seeds rejects in 8 of 100 studies where both vary alike and in 30 where
patients vary three times as much; a permutation over patients in 24, and in 56 where seeds vary
three times as much. `over_both` rejects in about 5 throughout
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
from statsmodels.stats.power import TTestPower

from segtune.report.evidence.estimate import Estimate

Values = NDArray[np.float64]
LEVEL = 0.95
ALPHA = 0.05
POWER = 0.8
MIN_SEEDS = 3
"""Fewest paired seeds for a p value: the t test of two has one degree of freedom, and whether two
seeds happen to agree decides it."""
MIN_PATIENTS = 3
"""Fewest patients for a p value, counted by weight (`effective`); with three seeds and three
patients the test keeps its level (simulated)."""
_FLIPS = 9999
_ROUNDING = 1e-9


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


def paired_t(differences: ArrayLike) -> float | None:
    """Two-sided p of a paired t test over seeds.

    Returns:
        None for fewer than `MIN_SEEDS` differences, and where they do not vary.
    """
    values = np.asarray(differences, dtype=float)
    if values.size < MIN_SEEDS or not _varies(values):
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


def over_both(
    mean: float,
    per_seed: ArrayLike,
    per_patient: ArrayLike,
    weights: ArrayLike | None = None,
) -> tuple[Estimate, float] | None:
    """A difference that should show again with other seeds and with other patients.

    The squares of both standard errors are added, with Welch's degrees of freedom; where few seeds
    or patients alone would give the wider interval or the larger p, these are taken. What is left
    of a seed's and a patient's difference beyond both is counted twice, so the test errs towards
    "cannot tell".

    Patients' differences are often skewed: most alike, a few far off. Where nearly all of the
    spread is the patients', t then rejects a true null too often. So the test over patients is
    computed once more with the skewness taken out, and the more careful of both is kept: intervals
    may be much longer to one side. Share of true nulls rejected at 5 % (3 or 5 seeds, 6 to 40
    patients, simulated), in brackets without it: normal differences 3 to 5 % (4 to 5 %),
    exponential 3 to 6 % (4 to 11 %), lognormal 3 to 10 % (4 to 16 %). No test knows of a kind of
    patient that is not among those tested: where nothing differs but that one patient in eight
    fails, and 6 or 8 were tested, it rejects in up to 40 %.

    Source: min F' for crossed random effects, Clark, Journal of Verbal Learning and Verbal
    Behavior 12 (1973), 335-359; degrees of freedom: Satterthwaite, Biometrics Bulletin 2 (1946);
    skewness: Hall, Journal of the Royal Statistical Society B 54 (1992), 221-228.

    Args:
        mean: the difference.
        per_seed: it for each seed, over all patients.
        per_patient: each patient's part in it, over all seeds: the jackknife's pseudo-values,
            whose standard error is that of the weighted mean (`patients.shares`).
        weights: how much each patient weighs in the mean, in any unit; None: all alike. Few that
            weigh most leave as few degrees of freedom as so many equal ones (`effective`).

    Returns:
        Mean and 95 % interval (n: the smaller number) and the two-sided p; None for fewer than
        `MIN_SEEDS` seeds or `MIN_PATIENTS` effective patients, and where nothing varies.
    """
    samples = [np.asarray(per_seed, dtype=float), np.asarray(per_patient, dtype=float)]
    patients = effective(np.ones(samples[1].size) if weights is None else weights)
    if samples[0].size < MIN_SEEDS or patients < MIN_PATIENTS:
        return None
    squares = np.array([x.var(ddof=1) / x.size if _varies(x) else 0.0 for x in samples])
    freedom = np.array([samples[0].size - 1, patients - 1])
    both = squares.sum()
    if not both > 0:
        return None
    welch = both**2 / (squares**2 / freedom).sum()
    errors = np.sqrt([*squares, both])
    freedoms = np.array([*freedom, welch])
    limits = stats.t.ppf((1 + LEVEL) / 2, freedoms) * errors
    varying = errors > 0
    scores = mean / errors[varying]
    low, high = mean - float(limits.max()), mean + float(limits.max())
    p = float(np.max(2 * stats.t.sf(np.abs(scores), freedoms[varying])))
    if squares[1] > 0:
        skew = float(stats.kstat(samples[1], 3)) / samples[1].size ** 2 / errors[1] ** 3
        t = float(stats.t.ppf((1 + LEVEL) / 2, freedom[1]))
        low = min(low, mean - _skewed(t, skew) * errors[1])
        high = max(high, mean - _skewed(-t, skew) * errors[1])
        p = max(p, 2 * float(stats.t.sf(abs(_unskewed(mean / errors[1], skew)), freedom[1])))
    return Estimate(mean, low, high, min(x.size for x in samples)), p


def _unskewed(t: float, skew: float) -> float:
    """A studentized mean without the skewness of the mean: Hall's monotone transformation."""
    return t + skew * (t * t / 3 + 1 / 6) + skew**2 * t**3 / 27


def _skewed(t: float, skew: float) -> float:
    """The inverse of `_unskewed`."""
    if abs(skew) < _ROUNDING:
        return t
    return 3 / skew * float(np.cbrt(1 + skew * t - skew**2 / 6) - 1)


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
    if values.size < 3 or not _varies(values):
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


def needed(difference: float, sd: float, tests: int) -> int | None:
    """Pairs that show a difference in four of five studies, by a paired t test (statsmodels).

    Args:
        difference: to be shown.
        sd: of the paired differences.
        tests: arms that are corrected for: the level is 5 % over them.

    Returns:
        At least 3; None where there is no spread to go by.
    """
    if not sd > 0:
        return None
    # From effects this large on the smallest number that is ever asked for is enough.
    effect = min(abs(difference) / sd, 5.0)
    n = TTestPower().solve_power(effect_size=effect, alpha=ALPHA / tests, power=POWER)
    return max(MIN_SEEDS, math.ceil(float(np.max(n))))


def _varies(values: Values) -> bool:
    """Whether the values differ by more than rounding."""
    return float(np.ptp(values)) > _ROUNDING
