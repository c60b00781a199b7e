"""Average ranks over data sets, and how far apart they must be.

Ranks ask for less than means: that a data set's scores can be put in order, not that a gain of 0.01
is worth the same on each. Arms whose average ranks differ by less than the critical difference
cannot be told apart by them.

Source: Demšar, Journal of Machine Learning Research 7 (2006), 1-30: Friedman's test as Iman and
Davenport corrected it, and Nemenyi's critical difference.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from segtune.report.evidence.stats import LEVEL


@dataclass(frozen=True)
class Ranks:
    """Arms by their average rank, the best first."""

    arms: tuple[tuple[str, float], ...]
    """(Arm, average rank); 1 is best."""
    sets: int
    critical: float
    """Average ranks that are farther apart than this differ."""
    p: float
    """Of all arms being alike."""


def average_ranks(scores: Sequence[Mapping[str, float]], higher_is_better: bool) -> Ranks | None:
    """Rank the arms on each data set, and take the mean.

    Args:
        scores: of each data set, arm -> its mean score; arms that are not in all are left out.
        higher_is_better: direction of the score.

    Returns:
        None for fewer than 3 data sets or 3 arms: no difference of ranks could show.
    """
    arms = [arm for arm in scores[0] if all(arm in of_set for of_set in scores)] if scores else []
    sets, k = len(scores), len(arms)
    if sets < 3 or k < 3:
        return None
    sign = -1.0 if higher_is_better else 1.0
    table = np.array([[sign * of_set[arm] for arm in arms] for of_set in scores])
    mean_A = stats.rankdata(table, axis=1).mean(axis=0)
    p = 1.0
    if np.ptp(table, axis=1).any():
        square = float(stats.friedmanchisquare(*table.T).statistic)
        left = sets * (k - 1) - square
        f = math.inf if left <= 0 else (sets - 1) * square / left
        p = float(stats.f.sf(f, k - 1, (k - 1) * (sets - 1)))
    studentized = float(stats.studentized_range.ppf(LEVEL, k, np.inf)) / math.sqrt(2)
    critical = studentized * math.sqrt(k * (k + 1) / (6 * sets))
    order = np.argsort(mean_A, kind="stable")
    return Ranks(tuple((arms[i], float(mean_A[i])) for i in order), sets, critical, p)
