"""Intervals and tests, against scipy and by hand."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from segtune.report.evidence.crossed import over_both
from segtune.report.evidence.estimate import Estimate
from segtune.report.evidence.stats import (
    ALPHA,
    MIN_SEEDS,
    effective,
    hedges,
    holm,
    paired_t,
    sign_flips,
    t_factor,
    t_interval,
)


def test_t_interval_is_scipys() -> None:
    values = [0.71, 0.69, 0.75, 0.70]
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    found = t_interval(values)
    assert found is not None
    assert (found.mean, found.low, found.high) == pytest.approx((np.mean(values), low, high))
    assert found.sd == pytest.approx(np.std(values, ddof=1))
    assert t_factor(2) == pytest.approx(12.706, abs=1e-3)


def test_undefined_values_are_left_out_and_one_has_no_interval() -> None:
    assert t_interval([0.5, math.nan]) == Estimate(0.5, None, None, 1)
    assert t_interval([math.nan]) is None
    assert t_interval([]) is None


def test_paired_t() -> None:
    a, b = [0.71, 0.69, 0.75], [0.70, 0.66, 0.71]
    expected = stats.ttest_rel(a, b).pvalue
    assert paired_t([x - y for x, y in zip(a, b, strict=True)]) == pytest.approx(expected)
    assert paired_t([0.1, 0.1, 0.1]) is None


@pytest.mark.parametrize("n", range(MIN_SEEDS))
def test_too_few_seeds_have_no_p(n: int) -> None:
    gaps = [0.1, 0.12][:n]
    assert paired_t(gaps) is None
    assert over_both(0.1, gaps, [0.1, 0.2, 0.3]) is None
    assert over_both(0.1, [0.1, 0.2, 0.3], gaps) is None
    assert hedges(gaps) is None


def test_sign_flips_are_all_counted() -> None:
    gaps = np.array([0.3, 0.1, 0.4, -0.1, 0.5, 0.9, 0.2])
    means = [np.mean(gaps * signs) for signs in itertools.product((-1, 1), repeat=len(gaps))]
    expected = np.mean(np.abs(means) >= abs(gaps.mean()) - 1e-12)
    assert sign_flips(gaps) == pytest.approx(expected)
    assert sign_flips(np.abs(gaps)[:6]) == pytest.approx(2 / 2**6)
    assert sign_flips(gaps[:5]) is None  # 2 / 2^5 is more than 5 %


def test_sign_flips_of_many_are_near_the_t_test_and_the_same_each_time() -> None:
    gaps = np.random.default_rng(2).normal(0.02, 0.1, 60)
    assert sign_flips(gaps) == sign_flips(gaps)
    assert sign_flips(gaps) == pytest.approx(stats.ttest_1samp(gaps, 0).pvalue, abs=0.02)


def test_over_both_by_hand() -> None:
    seeds, patients = [0.00, 0.07, 0.01, 0.08], [0.09, -0.01, 0.08, 0.00, 0.04]
    assert stats.skew(patients) == pytest.approx(0, abs=0.1)
    squares = [stats.sem(seeds) ** 2, stats.sem(patients) ** 2]
    freedom = sum(squares) ** 2 / (squares[0] ** 2 / 3 + squares[1] ** 2 / 4)
    found = over_both(0.04, seeds, patients)
    assert found is not None
    expected = stats.t.interval(0.95, freedom, loc=0.04, scale=math.sqrt(sum(squares)))
    assert (found[0].low, found[0].high) == pytest.approx(expected)
    assert found[1] == pytest.approx(2 * stats.t.sf(0.04 / math.sqrt(sum(squares)), freedom))
    assert over_both(0.1, [0.1] * 3, [0.1] * 5) is None


def test_few_patients_far_off_make_it_careful_on_their_side() -> None:
    """Johnson 1978, by hand: where most gain a little, one that loses much says that more may."""
    seeds = [0.029, 0.03, 0.031]
    patients = [0.05, 0.04, 0.045, 0.05, 0.04, 0.045, 0.05, -0.08]
    mean, error = 0.03, float(stats.sem(patients))
    skew = (1 + 8 / 8) * float(stats.skew(patients, bias=False)) / math.sqrt(8)
    assert skew < -1.8
    found = over_both(mean, seeds, patients)
    assert found is not None
    t = float(stats.t.ppf(0.975, 7))
    assert found[0].low == pytest.approx(mean - error * (t - skew * (t**2 / 3 + 1 / 6)))
    # Without the skewness t is t0, where t0 - skew * (t0^2 / 3 + 1 / 6) = mean / error.
    root = max(np.roots([-skew / 3, 1, -skew / 6 - mean / error]))
    assert found[1] == pytest.approx(2 * stats.t.sf(float(root), 7))
    # Towards the other side nothing is claimed beyond the plain interval.
    plain = stats.t.interval(0.95, 7, loc=mean, scale=error)
    assert found[0].high == pytest.approx(plain[1], abs=0.001)


def test_patients_count_as_far_as_they_weigh() -> None:
    assert effective([]) == 0.0
    assert effective([0.1] * 3) == 3.0
    assert effective([20, 2, 2, 2, 2]) == pytest.approx(28**2 / 416)
    seeds, patients = [0.01, 0.012, 0.011], [0.1, -0.05, 0.08, 0.03, 0.04]
    assert over_both(0.011, seeds, patients, [20, 2, 2, 2, 2]) is None, "they weigh as 1.9"
    assert over_both(0.011, seeds, patients, [16, 2, 2, 2, 2]) is not None
    even, uneven = (over_both(0.011, seeds, patients, w) for w in ([1] * 5, [4, 2, 2, 2, 2]))
    assert even is not None
    assert uneven is not None
    assert even == over_both(0.011, seeds, patients)
    assert uneven[1] > even[1]


_gaps = st.lists(st.floats(-1, 1).map(lambda x: round(x, 4)), min_size=3, max_size=8)


@given(_gaps, _gaps)
def test_over_both_claims_no_more_than_either(seeds: list[float], patients: list[float]) -> None:
    mean = float(np.mean(seeds))
    found = over_both(mean, seeds, patients)
    if found is None:
        return
    estimate, p = found
    assert estimate.low is not None
    assert estimate.high is not None
    for values in (seeds, patients):
        alone = t_interval(values)
        assert alone is not None
        assert alone.low is not None
        assert alone.high is not None
        assert estimate.high - estimate.low >= alone.high - alone.low - 1e-12
    apart = not estimate.low <= 0 <= estimate.high
    assert apart == (p < ALPHA) or p == pytest.approx(ALPHA, abs=1e-6)
    turned = over_both(-mean, [-s for s in seeds], [-x for x in patients])
    assert turned is not None
    assert turned[1] == pytest.approx(p)


def test_hedges_factor_is_the_tables() -> None:
    """Hedges 1981, table 1: c(m) for m degrees of freedom."""
    for freedom, factor in ((2, 0.5642), (9, 0.9139), (29, 0.9739)):
        values = np.random.default_rng(freedom).normal(1, 1, freedom + 1)
        plain = values.mean() / values.std(ddof=1)
        assert hedges(values) == pytest.approx(factor * plain, rel=2e-3)


def test_holm_steps_down_and_never_decreases() -> None:
    assert holm([0.01, None, 0.04, 0.03]) == pytest.approx((0.03, None, 0.06, 0.06))
    assert holm([0.9, 0.8]) == (1.0, 1.0)
    assert holm([None]) == (None,)
    assert holm([]) == ()


@settings(deadline=None, max_examples=30)  # statsmodels collects garbage at every call
@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_holm_is_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == tuple(multipletests(p_values, method="holm")[1])
