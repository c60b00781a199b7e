"""The test over seeds and patients: against loops, what must not change it, and its level."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from segtune.report.evidence.crossed import Crossed, crossed
from segtune.report.evidence.crossed.two_way import Term, over_patients, two_way
from segtune.report.evidence.patients import by_patient, own_differences

Cells = NDArray[np.float64]
IMAGES = (1, 2, 2, 3, 5, 8)
PARTS: list[tuple[float, float, float]] = [(1, 1, 1), (1, 0, 0.5), (0, 1, 0.5), (0, 0, 1)]
"""Standard deviations of what seeds, patients and the rest add."""


def told(cells_SP: Cells, weights: Any = None) -> Crossed:
    even = np.ones(cells_SP.shape[1]) if weights is None else np.asarray(weights, dtype=float)
    per_seed = cells_SP @ even / even.sum()
    found = crossed(float(per_seed.mean()), per_seed, cells_SP, even)
    assert found is not None
    return found


def drawn(seed: float, patient: float, rest: float, shape: tuple[int, int], at: int = 0) -> Cells:
    rng = np.random.default_rng(at)
    of_seeds = rng.normal(0, seed, (shape[0], 1))
    of_patients = rng.normal(0, patient, (1, shape[1]))
    return 0.02 + of_seeds + of_patients + rng.normal(0, rest, shape)


def by_loops(cells_SP: Cells) -> tuple[float, float]:
    """Standard error and degrees of freedom of the mean, by sums of squares, one cell at a time."""
    seeds, patients = cells_SP.shape
    grand = sum(sum(row) for row in cells_SP) / (seeds * patients)
    of_seed = [sum(row) / patients for row in cells_SP]
    of_patient = [sum(row[p] for row in cells_SP) / seeds for p in range(patients)]
    sums = {"seeds": 0.0, "patients": 0.0, "rest": 0.0}
    for s in range(seeds):
        for p in range(patients):
            sums["seeds"] += (of_seed[s] - grand) ** 2
            sums["patients"] += (of_patient[p] - grand) ** 2
            sums["rest"] += (cells_SP[s, p] - of_seed[s] - of_patient[p] + grand) ** 2
    free = {"seeds": seeds - 1, "patients": patients - 1, "rest": (seeds - 1) * (patients - 1)}
    mean = {part: sums[part] / free[part] for part in sums}
    kept = [part for part in ("seeds", "patients") if mean[part] > mean["rest"]]
    if len(kept) == 2:
        square = mean["seeds"] + mean["patients"] - mean["rest"]
        freedom = square**2 / sum(mean[part] ** 2 / free[part] for part in mean)
    else:
        for dropped in {"seeds", "patients"} - set(kept):
            sums["rest"] += sums.pop(dropped)
            free["rest"] += free.pop(dropped)
        if kept and mean[kept[0]] <= sums["rest"] / free["rest"]:
            sums["rest"] += sums[kept[0]]
            free["rest"] += free[kept[0]]
            kept = []
        part = kept[0] if kept else "rest"
        square, freedom = sums[part] / free[part], free[part]
    return math.sqrt(square / (seeds * patients)), freedom


@pytest.mark.parametrize("at", range(12))
@pytest.mark.parametrize("parts", PARTS)
def test_it_is_the_analysis_of_variance(parts: tuple[float, float, float], at: int) -> None:
    cells_SP = drawn(*parts, (4, 5), at)
    found = told(cells_SP)
    error, freedom = by_loops(cells_SP)
    assert (found.errors[0], found.freedoms[0]) == pytest.approx((error, freedom))
    of_seeds, of_patients = cells_SP.mean(axis=1), cells_SP.mean(axis=0)
    assert found.errors[1:] == pytest.approx((stats.sem(of_seeds), stats.sem(of_patients)))
    assert found.freedoms[1:] == (3, 4)
    skew = (1 + 8 / 5) * stats.skew(of_patients, bias=False) / math.sqrt(5)
    assert found.skew == pytest.approx(skew)


def test_the_kinds_of_variation_are_all_met() -> None:
    """Of the cases above: both kept, seeds alone, patients alone, and neither."""
    kinds = set()
    for parts in PARTS:
        for at in range(12):
            kinds.add(round(by_loops(drawn(*parts, (4, 5), at))[1], 6))
    assert {3, 4, 19} <= kinds
    assert len(kinds) > 4


def test_patients_of_unequal_images_by_hand() -> None:
    """The larger of what all differ by and of the jackknife, patient by patient."""
    weights = np.array(IMAGES) / sum(IMAGES)
    for own, kept in (
        ([0.9, -0.8, 0.5, 0.02, 0.03, 0.01], "even"),
        ([0.02, 0.01, 0.03, -0.5, 0.1, 0.4], "jackknife"),
    ):
        values = np.array(own)
        even = float(np.var(values, ddof=1) * sum(w**2 for w in weights))
        whole = sum(w * v for w, v in zip(weights, values, strict=True))
        without = [
            (whole - w * v) / (1 - w) for w, v in zip(weights, values, strict=True)
        ]  # fmt: skip
        jackknife = 5 / 6 * sum((x - sum(without) / 6) ** 2 for x in without)
        assert (even > jackknife) == (kept == "even")
        term, skew_N = over_patients(values[None], weights)
        equal = 1 / sum(w**2 for w in weights)
        assert term.square_N[0] == pytest.approx(max(even, jackknife))
        assert term.freedom_N[0] == pytest.approx(5 if kept == "even" else equal - 1)
        third = stats.kstat(values, 3) * sum(w**3 for w in weights)
        assert skew_N[0] == pytest.approx((1 + 8 / 6) * third / term.square_N[0] ** 1.5)


def test_a_patients_own_difference_is_that_of_its_images() -> None:
    rng = np.random.default_rng(3)
    owners = np.repeat([f"p{i}" for i in range(6)], IMAGES)
    arm, base = rng.uniform(0, 1, (2, 3, owners.size, 1))
    (a, b), names, _ = by_patient((arm, base), [str(o) for o in owners])
    expected = [(arm - base)[:, owners == name, 0].mean(axis=1) for name in names]
    assert own_differences(a, b) == pytest.approx(np.array(expected).T)


def test_one_row_of_cells_counts_what_is_left_twice() -> None:
    cells_SP = drawn(1, 1, 1, (4, 5))
    per_seed, per_patient = cells_SP.mean(axis=1), cells_SP.mean(axis=0)
    found = crossed(float(per_seed.mean()), per_seed, per_patient)
    assert found is not None
    assert found.errors[0] == pytest.approx(math.hypot(*found.errors[1:]))
    assert found.errors[0] > told(cells_SP).errors[0]


_cells = st.tuples(st.integers(3, 5), st.integers(3, 6), st.integers(0, 10**6)).map(
    lambda of: np.round(drawn(0.01, 0.02, 0.01, of[:2], of[2]), 4)
)


@settings(deadline=None, max_examples=60)
@given(_cells, st.floats(-1, 1), st.floats(0.1, 10), st.sampled_from((0.05, 0.01, 0.2)))
def test_what_moves_the_interval_and_what_does_not(
    cells_SP: Cells, shift: float, scale: float, alpha: float
) -> None:
    weights = np.arange(cells_SP.shape[1]) + 2.0
    found = told(cells_SP, weights)
    one = found.interval(alpha)
    assert one.low is not None
    assert one.high is not None
    moved = told(scale * cells_SP + shift, weights).interval(alpha)
    assert (moved.low, moved.high) == pytest.approx(
        (scale * one.low + shift, scale * one.high + shift), abs=1e-7
    )
    mirrored = told(-cells_SP, weights)
    turned = mirrored.interval(alpha)
    assert (turned.low, turned.high) == pytest.approx((-one.high, -one.low))
    assert mirrored.p == pytest.approx(found.p)
    order_S, order_P = (np.random.default_rng(0).permutation(n) for n in cells_SP.shape)
    again = told(cells_SP[np.ix_(order_S, order_P)], weights[order_P])
    assert again.p == pytest.approx(found.p)
    if abs(found.p - alpha) > 1e-9:
        assert (found.p < alpha) == (not one.low <= 0 <= one.high)
    for errors, freedom in zip(found.errors[1:], found.freedoms[1:], strict=True):
        assume(errors > 0)
        alone = 2 * stats.t.sf(abs(found.mean) / errors, freedom)
        assert found.p >= alone - 1e-12, "it claims no more than seeds or patients alone"


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("patients", [5, 20])
@pytest.mark.parametrize(("of_seeds", "of_patients"), [(1, 1), (4, 1), (1, 4), (4, 4), (20, 2)])
def test_a_true_null_of_normal_effects_is_rejected_in_one_of_twenty(
    seeds: int, patients: int, of_seeds: float, of_patients: float
) -> None:
    """Whatever the ratio of what seeds, patients and both together add; at 1 % too, which the
    correction for several arms asks for."""
    rng, n, free = np.random.default_rng(3), 20_000, (seeds - 1) * (patients - 1)

    def term(square: float, freedom: int) -> Term:
        return Term(square * rng.chisquare(freedom, n) / freedom, np.full(n, float(freedom)))

    terms = term(of_seeds, seeds - 1), term(of_patients, patients - 1), term(1.0, free)
    mean_N = rng.normal(0, math.sqrt(of_seeds + of_patients - 1), n)
    found = two_way(*terms, np.zeros(n))
    p_N = 2 * np.minimum(found.p_above(mean_N), found.p_below(-mean_N))
    # Three standard errors are 0.46 and 0.21 %.
    assert np.mean(p_N < 0.05) < 0.056
    assert np.mean(p_N < 0.01) < 0.0131
