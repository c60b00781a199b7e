"""Power: how likely a study of so many seeds and patients is to show what it is asked to show.

The verdict's own rule decides (`crossed`): it is given the deviations of simulated seeds and
patients, and says how far the mean would have to be from 0 to be told. Given these deviations the
mean is normal, since in a balanced study with normal effects it is independent of them. So a few
draws say as much as thousands of studies that are told or not, and one set of draws does for every
difference.

Holm's correction is taken at its first step, as if no other arm were told: where others are, the
power is higher.

Shape suffixes: N draws, U seeds or patients.
"""

import functools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from segtune.report.evidence.crossed import crossed
from segtune.report.evidence.power.spread import Patients, Spread
from segtune.report.evidence.stats import ALPHA, Values

Shown = Literal["better", "no worse", "as good"]
DRAWS = 64
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Question:
    """What a study is asked to show of an arm, counted in the direction of the score."""

    word: Shown
    truth: float
    """How much better the arm truly is than the baseline, in the unit of the score."""
    margin: float | None = None
    """The largest difference that does not matter; None for `better`, which asks about none."""

    @property
    def distance(self) -> float:
        """From the truth to the nearest difference at which the verdict would be false."""
        if self.margin is None:
            return self.truth
        return self.margin + (self.truth if self.word == "no worse" else -abs(self.truth))

    def level(self, arms: int) -> float:
        """Share of studies that the two-sided interval misses which decides the verdict.

        A difference is shown at 5 % two-sided, a verdict within a margin at 5 % one-sided.
        """
        return (ALPHA if self.margin is None else 2 * ALPHA) / arms


def chance(question: Question, spread: Spread, seeds: int, patients: Patients, arms: int) -> float:
    """The share of studies that show what is asked: the power.

    Args:
        question: what is to be shown.
        spread: of the difference, over seeds and patients.
        seeds: of each arm.
        patients: on test.
        arms: that are compared with the baseline, which Holm's correction is for.

    Returns:
        0 where there are too few of either for a test.
    """
    limits = _limits(spread, seeds, patients, question.level(arms))
    if limits is None:
        return 0.0
    low_N, high_N = limits
    sd = spread.of_mean(seeds, patients.number)
    least_N = -low_N - (question.margin or 0.0)
    told_N = stats.norm.sf((least_N - question.truth) / sd)
    if question.word == "as good":
        assert question.margin is not None
        most_N = question.margin - high_N
        above_N = stats.norm.sf((most_N - question.truth) / sd)
        told_N = np.maximum(told_N - above_N, 0.0)
    return float(told_N.mean())


@functools.lru_cache(maxsize=512)
def _limits(
    spread: Spread, seeds: int, patients: Patients, level: float
) -> tuple[Values, Values] | None:
    """Ends of the interval of each simulated study whose mean is 0, (N,) each."""
    over_seeds = spread.of_seeds(patients.number) * _deviations(seeds, 0)
    over_patients = spread.of_patients(seeds) * _deviations(patients.number, 1)
    ends, shares = [], patients.shares
    for per_seed, per_patient in zip(over_seeds, over_patients, strict=True):
        found = crossed(0.0, per_seed, per_patient, shares)
        if found is None:
            return None
        interval = found.interval(level)
        ends.append((interval.low, interval.high))
    low_N, high_N = np.array(ends, dtype=float).T
    return low_N, high_N


@functools.lru_cache(maxsize=64)
def _deviations(units: int, dimension: int) -> Values:
    """Deviations from their mean of units whose standard deviation is 1, (N, U).

    Their sample variances are evenly spread over what chi-square gives, jointly for seeds (the
    dimension 0) and patients (1): a lattice of points in place of random ones.
    """
    rng = np.random.default_rng(dimension)
    drawn_NU = rng.standard_normal((DRAWS, units))
    drawn_NU -= drawn_NU.mean(axis=1, keepdims=True)
    point_N = (np.arange(DRAWS) + 0.5) / DRAWS if dimension == 0 else _lattice()
    freedom = max(units - 1, 1)
    wanted_N = np.sqrt(stats.chi2.ppf(point_N, freedom) / freedom)
    own_N = np.maximum(drawn_NU.std(axis=1, ddof=1), 1e-12) if units > 1 else np.ones(DRAWS)
    scaled: Values = drawn_NU * (wanted_N / own_N)[:, None]
    return scaled


def _lattice() -> Values:
    """The second coordinate of evenly spread points: multiples of the golden ratio."""
    return np.asarray((0.5 + _GOLDEN * np.arange(DRAWS)) % 1.0, dtype=np.float64)
