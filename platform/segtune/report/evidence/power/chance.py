"""Power: how likely a study of so many seeds and patients is to show what it is asked to show.

The verdict's own rule decides (`two_way`): it is given what simulated studies measure of seeds, of
patients and of what is left, and says how far the mean would have to be from 0 to be told. Given
these the mean is normal, since in a balanced study with normal effects it is independent of them.
So a few draws say as much as thousands of studies that are told or not, and one set of draws does
for every difference.

Holm's correction is taken at its first step, as if no other arm were told: where others are, the
power is higher.

Shape suffixes: N draws, P patients.
"""

import functools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from segtune.report.evidence.crossed.two_way import Term, over_patients, two_way
from segtune.report.evidence.power.spread import Patients, Spread
from segtune.report.evidence.stats import (
    ALPHA,
    MIN_EFFECTIVE,
    MIN_PATIENTS,
    MIN_SEEDS,
    Values,
    effective,
)

Shown = Literal["better", "no worse", "as good"]
DRAWS = 128
_STEPS = (1 / DRAWS, 0.7548776662466927, 0.5698402909980532)
"""From a point of the lattice to the next: evenly in the first dimension, in the others by powers
of 1 / 1.3247, the root of x^3 = x + 1 (Roberts's sequence)."""


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
    # Arms that are exactly alike do not vary at all.
    sd = max(spread.of_mean(seeds, patients.number), 1e-12)
    least_N = -low_N - (question.margin or 0.0)
    told_N = special.ndtr(-(least_N - question.truth) / sd)
    if question.word == "as good":
        assert question.margin is not None
        most_N = question.margin - high_N
        above_N = special.ndtr(-(most_N - question.truth) / sd)
        told_N = np.maximum(told_N - above_N, 0.0)
    return float(told_N.mean())


@functools.lru_cache(maxsize=512)
def _limits(
    spread: Spread, seeds: int, patients: Patients, level: float
) -> tuple[Values, Values] | None:
    """Ends of the interval of each simulated study whose mean is 0, (N,) each."""
    number, equal = patients.number, effective(patients.shares)
    if seeds < MIN_SEEDS or number < MIN_PATIENTS or equal < MIN_EFFECTIVE:
        return None
    free = (seeds - 1.0) * (number - 1)
    over_seeds = spread.of_seeds(number) ** 2 / seeds * _squares(0, seeds - 1.0)
    rest = spread.rest**2 / (seeds * number) * _squares(2, free)
    # What a patient adds to the mean, it adds by its weight; the spread says what all add together.
    own_sd = spread.of_patients(seeds) * math.sqrt(equal / number)
    weights_P = patients.shares / patients.shares.sum()
    over_the_patients, skew_N = over_patients(own_sd * _deviations(number), weights_P)
    found = two_way(
        Term(over_seeds, np.full(DRAWS, seeds - 1.0)),
        over_the_patients,
        Term(rest, np.full(DRAWS, free)),
        skew_N,
    )
    below_N, above_N = found.reach(level)
    return -below_N, above_N


@functools.lru_cache(maxsize=64)
def _deviations(patients: int) -> Values:
    """Deviations from their mean of patients whose standard deviation is 1, (N, P)."""
    drawn_NP = np.random.default_rng(1).standard_normal((DRAWS, patients))
    drawn_NP -= drawn_NP.mean(axis=1, keepdims=True)
    drawn_NP *= np.sqrt(_squares(1, patients - 1.0) / drawn_NP.var(axis=1, ddof=1))[:, None]
    return drawn_NP


def _squares(dimension: int, freedom: float) -> Values:
    """Sample variances of what has a variance of 1, (N,): evenly spread over what chi-square gives,
    jointly for seeds (the dimension 0), patients (1) and what is left (2). They are a lattice of
    points in place of random ones."""
    points_N = (0.5 + np.arange(DRAWS) * _STEPS[dimension]) % 1.0
    return np.asarray(special.chdtri(freedom, 1 - points_N) / freedom, dtype=np.float64)
