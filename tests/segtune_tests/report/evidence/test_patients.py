"""Scores by patient: the bootstrap, macro scores and the jackknife."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from segtune.report.evidence.patients import Scores, bootstrap, by_patient, macro_difference, shares


def scores_of(values: NDArray[np.float64], patients: str) -> tuple[Scores, int]:
    """One seed's scores of images, (I, C)."""
    (scores,), _, images = by_patient([values[None]], list(patients))
    return scores, images


def test_bootstrap_covers_patients_and_not_images() -> None:
    """Images that repeat a patient's value say nothing new: the interval stays as wide."""
    values = np.array([[0.1], [0.3], [0.5], [0.2], [0.4], [0.3]])
    once = bootstrap(scores_of(values, "abcdef")[0], None, 6)
    repeated = "".join(p * 50 for p in "abcdef")
    many, images = scores_of(np.repeat(values, 50, axis=0), repeated)
    often = bootstrap(many, None, images)
    assert once is not None
    assert often is not None
    assert (once.low, once.high) == pytest.approx((often.low, often.high))
    assert once.mean == pytest.approx(0.3)
    assert once.low < 0.3 < once.high
    assert (often.patients, often.images) == (6, 300)
    assert bootstrap(scores_of(values, "aabcde")[0], None, 6) is None
    (one_seed_empty,), _, _ = by_patient([np.stack([values, values * np.nan])], list("abcdef"))
    assert bootstrap(one_seed_empty, None, 6) is None


def test_bootstrap_is_scipys_but_for_the_widening() -> None:
    values = np.random.default_rng(3).normal(0.7, 0.1, 25)
    found = bootstrap(scores_of(values[:, None], "abcdefghijklmnopqrstuvwxy")[0], None, 25)
    level = 2 * stats.norm.cdf(math.sqrt(25 / 24) * stats.t.ppf(0.975, 24)) - 1
    expected = stats.bootstrap(
        (values,), np.mean, confidence_level=level, method="percentile", rng=0
    ).confidence_interval
    assert found is not None
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.004)


def test_macro_is_a_mean_of_class_means_over_defined_images() -> None:
    nan = math.nan
    a = np.array([[0.2, 1.0], [0.4, nan], [nan, nan], [0.6, 0.5]])
    b = np.array([[0.1, 0.5], [0.1, 0.0], [nan, nan], [0.1, nan]])
    (left, right), names, images = by_patient((np.stack([a, b]), np.stack([b, b])), list("abab"))
    [found] = macro_difference(left, right, np.ones((1, 2)))
    assert found == pytest.approx(((0.4 + 0.75) / 2 - (0.1 + 0.25) / 2) / 2)
    assert (names, images) == (("a", "b"), 3)


def test_shares_are_the_patients_own_differences_where_all_have_as_many_images() -> None:
    a, b = np.random.default_rng(4).normal(0.6, 0.1, (2, 3, 12, 2))
    (left, right), names, _ = by_patient((a, b), list("abcdabcdabcd"))
    own = (a - b).mean(axis=(0, 2)).reshape(3, 4).mean(axis=0)
    assert names == tuple("abcd")
    assert shares(left, right) == pytest.approx(own)
