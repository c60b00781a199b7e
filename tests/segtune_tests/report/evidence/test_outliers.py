"""What stands apart: found where it is, and seldom where nothing is."""

import numpy as np
import pytest

from segtune.report.evidence.failures.outliers import LEVEL, stand_apart
from segtune.report.evidence.stats import Values

STUDIES = 400


def share(arms: int, seeds: int, *, rate: float = 0.0, spread: float = 1.0) -> tuple[float, float]:
    """How often anything stands apart: of all studies, and of those that have a failed seed.

    Args:
        arms: of the study; seeds of the last one fail.
        seeds: of each arm.
        rate: how often a seed of the last arm loses ten standard deviations.
        spread: of the last arm, in those of the others.
    """
    rng = np.random.default_rng(3)
    told, told_of_failed = [], []
    for _ in range(STUDIES):
        values: Values = rng.normal(0, 0.01, (arms, seeds))
        values[-1] *= spread
        failed = rng.random(seeds) < rate
        values[-1] -= 0.1 * failed
        found = stand_apart(values.tolist())
        told.append(bool(found))
        if failed.any():
            right = {place for group, place in found if group == arms - 1}
            told_of_failed.append(right == set(np.flatnonzero(failed)))
    return float(np.mean(told)), float(np.mean(told_of_failed)) if told_of_failed else 0.0


@pytest.mark.parametrize(("arms", "seeds"), [(2, 3), (2, 10), (4, 5), (8, 3)])
def test_normal_seeds_seldom_stand_apart(arms: int, seeds: int) -> None:
    # Three standard errors of a share of 2.5 % among 400 are 2.3 %.
    assert share(arms, seeds)[0] <= LEVEL + 0.023


@pytest.mark.parametrize(
    ("arms", "seeds", "least"), [(2, 3, 0.45), (2, 5, 0.9), (4, 5, 0.95), (2, 10, 0.95)]
)
def test_one_seed_in_ten_that_loses_a_tenth_is_found(arms: int, seeds: int, least: float) -> None:
    told, right = share(arms, seeds, rate=0.1)
    assert right >= least
    assert told <= 1 - 0.9**seeds + 0.1  # it cannot be found where it did not happen


def test_an_arm_that_varies_more_is_not_a_row_of_failures() -> None:
    assert share(2, 5, spread=3.0)[0] <= 0.13


def test_two_do_not_hide_one_another() -> None:
    values = [0.70, 0.71, 0.69, 0.70, 0.705, 0.70, 0.71, 0.69, 0.50, 0.50]
    assert {place for _, place in stand_apart([values])} == {8, 9}


def test_both_sides_only_where_asked() -> None:
    values = [[0.70, 0.71, 0.69, 0.70, 0.705, 0.90]]
    assert stand_apart(values) == ()
    assert stand_apart(values, both_sides=True) == ((0, 5),)


@pytest.mark.parametrize(
    "values", [[[]], [[0.5]], [[0.5, 0.1]], [[0.7, 0.7, 0.7]], [[], [0.1] * 4]]
)
def test_too_few_or_equal_values_have_none(values: list[list[float]]) -> None:
    assert stand_apart(values, both_sides=True) == ()
