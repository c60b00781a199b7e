"""Power: of the test that the verdict rests on, and the numbers of seeds and patients from it."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from support.studies.simulated_studies import owners, studies

from segtune.report.evidence.crossed import crossed
from segtune.report.evidence.differences.verdicts import judge
from segtune.report.evidence.patients import by_patient, shares
from segtune.report.evidence.power.advice import (
    MOST,
    RANGE,
    Advice,
    Aim,
    both_needed,
    seeds_needed,
    smallest,
)
from segtune.report.evidence.power.chance import Question, chance
from segtune.report.evidence.power.spread import (
    MeasuredSpread,
    Patients,
    Spread,
    measure_spread,
    spread_of,
)
from segtune.report.evidence.stats import ALPHA

BETTER = Question("better", 0.01)
NO_WORSE, AS_GOOD = Question("no worse", 0.0, 0.015), Question("as good", 0.0, 0.02)
EVEN = Spread(0.01, 0.01, 0.01)


def cells(
    spread: Spread, seeds: int, patients: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """A study's differences by seed and patient, whose truth is 0."""
    shape = (seeds, patients)
    by_seed = rng.normal(0, spread.seed, (seeds, 1))
    drawn: NDArray[np.float64] = by_seed + rng.normal(0, spread.patient, (1, patients))
    return drawn + rng.normal(0, spread.rest, shape)


def shown(
    question: Question, spread: Spread, seeds: int, patients: int, arms: int, studies: int
) -> float:
    """Share of simulated studies whose verdict, given beside arms of which nothing is told, is the
    one that was asked for."""
    rng, told = np.random.default_rng(3), 0
    for _ in range(studies):
        cells_SP = question.truth + cells(spread, seeds, patients, rng)
        found = crossed(float(cells_SP.mean()), cells_SP.mean(axis=1), cells_SP)
        assert found is not None
        nothing = replace(found, mean=0.0, errors=(1e3, 1e3, 1e3), freedoms=(2.0, 2.0, 2.0))
        first, *_ = judge([found, *[nothing] * (arms - 1)], question.margin, True)
        if question.word == "better":
            told += first.word == "better"
        else:
            assert first.held is not None
            told += first.held.no_worse if question.word == "no worse" else first.held.as_good
    return told / studies


@pytest.mark.parametrize("arms", [1, 4])
@pytest.mark.parametrize(("seeds", "sd"), [(3, 0.005), (8, 0.008), (33, 0.02)])
def test_where_seeds_alone_vary_it_is_the_paired_t_tests(seeds: int, sd: float, arms: int) -> None:
    critical = stats.t.isf(ALPHA / arms / 2, seeds - 1)
    exact = stats.nct.sf(critical, seeds - 1, 0.01 / sd * math.sqrt(seeds))
    found = chance(BETTER, Spread(sd, 0.0, 0.0), seeds, Patients(10), arms)
    assert found == pytest.approx(exact, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("question", [replace(BETTER, truth=0.02), NO_WORSE, AS_GOOD])
@pytest.mark.parametrize(("seeds", "patients"), [(3, 8), (6, 12)])
@pytest.mark.parametrize("spread", [EVEN, Spread(0.015, 0.003, 0.0), Spread(0.003, 0.02, 0.02)])
def test_the_power_is_that_of_simulated_verdicts(
    spread: Spread, seeds: int, patients: int, question: Question
) -> None:
    simulated = shown(question, spread, seeds, patients, arms=3, studies=600)
    found = chance(question, spread, seeds, Patients(patients), arms=3)
    assert found == pytest.approx(simulated, abs=0.06), "600 studies: two standard errors are 0.04"


@settings(deadline=None, max_examples=8)
@given(
    st.sampled_from([BETTER, NO_WORSE, AS_GOOD]),
    st.tuples(*[st.floats(0.001, 0.05)] * 3),
    st.integers(3, 40),
    st.integers(3, 40),
    st.integers(1, 4),
)
@example(BETTER, (0.02, 0.001, 0.001), 3, 20, 1)
def test_more_seeds_or_patients_never_lower_the_power(
    question: Question, sds: tuple[float, float, float], seeds: int, patients: int, arms: int
) -> None:
    spread = Spread(*sds)
    before = chance(question, spread, seeds, Patients(patients), arms)
    assert chance(question, spread, 2 * seeds, Patients(patients), arms) >= before - 0.01
    assert chance(question, spread, seeds, Patients(2 * patients), arms) >= before - 0.01


def test_a_larger_difference_or_margin_and_fewer_arms_have_more_power() -> None:
    at = (EVEN, 5, Patients(10))
    assert chance(replace(BETTER, truth=0.02), *at, 1) > chance(BETTER, *at, 1)
    assert chance(replace(NO_WORSE, margin=0.03), *at, 1) > chance(NO_WORSE, *at, 1)
    assert chance(replace(NO_WORSE, truth=0.005), *at, 1) > chance(NO_WORSE, *at, 1)
    assert chance(replace(AS_GOOD, truth=0.005), *at, 1) < chance(AS_GOOD, *at, 1)
    assert chance(BETTER, *at, 1) > chance(BETTER, *at, 5)


def test_too_few_for_a_test_have_no_power() -> None:
    assert chance(BETTER, EVEN, 2, Patients(10), 1) == 0
    assert chance(BETTER, EVEN, 5, Patients(2), 1) == 0
    unequal = Patients(10, (100.0, *[1.0] * 9))
    assert chance(replace(BETTER, truth=1.0), EVEN, 5, unequal, 1) == 0, "they weigh as one"
    assert smallest(Aim(BETTER, 1), EVEN, 2, Patients(10)) is None


def test_known_variances_are_found_again() -> None:
    truth, rng = Spread(0.01, 0.02, 0.015), np.random.default_rng(0)
    found = [spread_of(cells(truth, 5, 10, rng), np.ones(10)).squares for _ in range(2000)]
    seed, patient, rest = np.mean(found, axis=0)
    assert math.sqrt(rest) == pytest.approx(truth.rest, rel=0.03)
    assert math.sqrt((seed - rest) / 10) == pytest.approx(truth.seed, rel=0.05)
    assert math.sqrt((patient - rest) / 5) == pytest.approx(truth.patient, rel=0.05)
    large = spread_of(cells(truth, 300, 300, rng), np.ones(300)).spread
    assert (large.seed, large.patient, large.rest) == pytest.approx(
        (truth.seed, truth.patient, truth.rest), rel=0.12
    )


def test_the_spread_of_scores_is_that_of_the_seeds_and_patients_in_them() -> None:
    """Noise of three images, two classes and two arms, each with sd 0.01: rest 0.0058."""
    drawn = studies(0.012, 0.02, seeds=40, patients=40, n=1)
    [(arm, base)] = drawn
    (a, b), _, _ = by_patient((arm, base), owners(40))
    found = measure_spread(a, b)
    assert found is not None
    assert found.spread.seed == pytest.approx(0.012, rel=0.3)
    assert found.spread.patient == pytest.approx(0.02, rel=0.3)
    assert found.spread.rest == pytest.approx(0.01 * math.sqrt(2 / 6), rel=0.1)
    of_patients = shares(a, b)
    assert found.squares[1] == pytest.approx(40 * np.var(of_patients, ddof=1))


def test_the_advised_number_is_the_smallest_that_is_enough() -> None:
    aim = Aim(replace(BETTER, truth=0.02), 2)
    advice = seeds_needed(aim, EVEN, Patients(20))
    assert advice.low == advice.number == advice.high, "a stated spread leaves no range"
    assert aim.reached(EVEN, int(advice.number), Patients(20))
    assert not aim.reached(EVEN, int(advice.number) - 1, Patients(20))
    least = smallest(aim, EVEN, int(advice.number), Patients(20))
    assert least is not None
    assert 0.017 < least <= 0.02


def test_no_number_of_seeds_makes_up_for_few_patients() -> None:
    aim, few = Aim(BETTER, 1), Spread(0.005, 0.03, 0.0)
    assert seeds_needed(aim, few, Patients(8)) == Advice(math.inf, math.inf, math.inf)
    seeds, patients = both_needed(aim, few, Patients(8))
    assert 3 <= seeds.number < MOST
    assert 70 < patients.number < 300
    assert aim.reached(few, int(seeds.number), Patients(int(patients.number)))


def test_three_seeds_leave_a_wide_range_and_thirty_a_narrow_one() -> None:
    aim, truth = Aim(BETTER, 1), Spread(0.02, 0.001, 0.001)

    def range_of(seeds: int) -> float:
        rest = truth.rest**2
        squares = (20 * truth.seed**2 + rest, seeds * truth.patient**2 + rest, rest)
        freedoms = (seeds - 1.0, 19.0, 19.0 * (seeds - 1))
        measured = MeasuredSpread(seeds, 20, squares, freedoms, (1.0,) * 20)
        advice = seeds_needed(aim, measured, Patients(20))
        assert advice.low < advice.number < advice.high
        return advice.high / advice.low

    assert range_of(3) > 10 > 3 > range_of(30)


@pytest.mark.slow
def test_the_range_holds_what_the_truth_asks_for_in_as_many_pilots_as_it_says() -> None:
    aim, truth, rng = Aim(BETTER, 1), Spread(0.02, 0.005, 0.005), np.random.default_rng(1)
    asked = seeds_needed(aim, truth, Patients(20)).number
    held = []
    for _ in range(60):
        advice = seeds_needed(aim, spread_of(cells(truth, 3, 20, rng), np.ones(20)), Patients(20))
        held.append(advice.low <= asked <= advice.high)
    assert np.mean(held) == pytest.approx(RANGE, abs=0.15)


@pytest.mark.slow
def test_a_study_of_the_advised_numbers_has_the_power() -> None:
    aim = Aim(replace(BETTER, truth=0.015), 2)
    seeds = int(seeds_needed(aim, EVEN, Patients(20)).number)
    simulated = shown(aim.question, EVEN, seeds, 20, arms=2, studies=800)
    assert simulated == pytest.approx(0.8, abs=0.05)
