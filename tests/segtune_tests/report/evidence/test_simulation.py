"""The report's tests and intervals on studies whose truth is known: simulated, seeded."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from support.studies import simulated_studies
from support.studies.simulated_studies import PATIENTS, SEEDS, owners

from segtune.report.evidence.crossed import crossed, over_both
from segtune.report.evidence.differences.verdicts import judge
from segtune.report.evidence.estimate import Estimate
from segtune.report.evidence.patients import bootstrap, by_patient, own_differences, shares
from segtune.report.evidence.stats import Values, paired_t, sign_flips, t_interval

pytestmark = pytest.mark.slow
STUDIES = 1000


def studies(seed_sd: float, patient_sd: float, **kinds: int) -> Iterator[tuple[Values, Values]]:
    """`STUDIES` of them, or `n`."""
    return simulated_studies.studies(seed_sd, patient_sd, **{"n": STUDIES, **kinds})


@pytest.mark.parametrize(
    ("images", "told"),
    [
        ((20, 2, 2, 2, 2), False),
        ((20, 10, 8, 6, 4), True),
        ((50, 20, 10, 10, 5, 5, 3, 3, 2, 1), True),
        ((12, 8, 5, 5, 4, 3, 2, 1), True),
    ],
)
def test_a_patient_with_most_of_the_images_fakes_no_difference(
    images: tuple[int, ...], told: bool
) -> None:
    """With as many degrees of freedom as patients up to 12 of 100 such studies were told."""
    rng = np.random.default_rng(11)
    owner = np.repeat(np.arange(len(images)), images)
    rejected = []
    for _ in range(600):
        noise = rng.normal(0, 0.01, (2, SEEDS, owner.size, 1))
        seed_effect = rng.normal(0, 0.005, (SEEDS, 1, 1))
        patient_effect = rng.normal(0, 0.03, len(images))[owner][None, :, None]
        (a, b), names, _ = by_patient(
            (0.7 + seed_effect + patient_effect + noise[0], 0.7 + noise[1]),
            [f"p{p:02d}" for p in owner],
        )
        assert a.weights_P == pytest.approx(np.array(images) / sum(images))
        once = np.ones((1, len(names)))
        per_seed = (a.by_seed(once) - b.by_seed(once))[:, 0]
        found = over_both(float(per_seed.mean()), per_seed, own_differences(a, b), a.weights_P)
        assert (found is not None) == told
        rejected.append(found is not None and found[1] < 0.05)
    # Two and a half standard errors of a share of 5 % among 600 are 2.2 %.
    assert np.mean(rejected) <= 0.072


def outcomes(arm: Values, base: Values, patients: int = PATIENTS) -> tuple[Estimate, float, float]:
    """Interval and p over both, then p over seeds alone."""
    (a, b), names, _ = by_patient((arm, base), owners(patients))
    once = np.ones((1, len(names)))
    per_seed = a.by_seed(once)[:, 0] - b.by_seed(once)[:, 0]
    both, alone = (
        over_both(float(per_seed.mean()), per_seed, own_differences(a, b)),
        paired_t(per_seed),
    )
    assert both is not None
    assert alone is not None
    return (*both, alone)


@pytest.mark.parametrize(
    ("seeds", "patients", "seed_sd", "patient_sd"),
    [(5, 10, 0.02, 0.02), (3, 8, 0.02, 0.0), (5, 10, 0.0, 0.04), (3, 3, 0.02, 0.03)],
)
def test_a_true_null_is_rejected_in_at_most_one_study_of_twenty(
    seeds: int, patients: int, seed_sd: float, patient_sd: float
) -> None:
    found = [
        outcomes(*study, patients)
        for study in studies(seed_sd, patient_sd, seeds=seeds, patients=patients)
    ]
    rejected = np.mean([p < 0.05 for _, p, _ in found])
    covered = np.mean([e.low <= 0 <= e.high for e, _, _ in found])  # type: ignore[operator]
    # Three standard errors of a share of 5 % among 1000 are 2.1 %.
    assert rejected <= 0.071
    assert covered == pytest.approx(1 - rejected)


@pytest.mark.parametrize(("patients", "most"), [(6, 0.084), (12, 0.071), (30, 0.071)])
def test_skewed_patients_fake_hardly_more(patients: int, most: float) -> None:
    """Without the skewness allowed for 11, 9 and 7 of 100 such studies are told."""
    rng = np.random.default_rng(5)
    rejected = []
    for _ in range(STUDIES):
        patient_P = rng.exponential(0.03, patients) - 0.03
        per_seed = patient_P.mean() + rng.normal(0, 0.002, SEEDS)
        found = over_both(float(patient_P.mean()), per_seed, patient_P)
        assert found is not None
        estimate, p = found
        assert estimate.low is not None
        assert estimate.high is not None
        assert (not estimate.low <= 0 <= estimate.high) == (p < 0.05)
        rejected.append(p < 0.05)
    assert np.mean(rejected) <= most


def test_it_is_not_much_too_careful_where_the_seeds_decide() -> None:
    found = [outcomes(*study)[1] < 0.05 for study in studies(0.03, 0.01)]
    assert 0.03 <= np.mean(found) <= 0.071


def test_seeds_alone_find_differences_that_are_the_patients() -> None:
    """Why the verdict does not rest on a t test over seeds, however usual."""
    found = [outcomes(*study) for study in studies(0.01, 0.03, n=500)]
    assert np.mean([alone < 0.05 for _, _, alone in found]) > 0.2
    assert np.mean([p < 0.05 for _, p, _ in found]) < 0.08


def test_patients_alone_find_differences_that_are_the_seeds() -> None:
    rejected = []
    for arm, base in studies(0.02, 0.0, n=200):
        (a, b), _, _ = by_patient((arm, base), owners())
        p = sign_flips(shares(a, b))
        assert p is not None
        rejected.append(p < 0.05)
    assert np.mean(rejected) > 0.3


def test_a_real_difference_is_found() -> None:
    found = [outcomes(arm + 0.05, base)[1] < 0.05 for arm, base in studies(0.01, 0.02, n=300)]
    assert np.mean(found) > 0.9


def test_verdicts_within_a_margin_keep_their_promise() -> None:
    """An arm that is worse by the margin is called as good or no worse in one study of twenty."""
    differences = []
    for arm, base in studies(0.007, 0.007, patients=20, n=400):
        (a, b), _, _ = by_patient((arm, base), owners(20))
        per_seed = (a.by_seed(np.ones((1, 20))) - b.by_seed(np.ones((1, 20))))[:, 0]
        found = crossed(float(per_seed.mean()), per_seed, own_differences(a, b))
        assert found is not None
        differences.append(found)

    def share(true: float, *words: str) -> float:
        moved = [replace(d, mean=d.mean + true) for d in differences]
        return float(np.mean([judge([d], 0.01, True)[0].word in words for d in moved]))

    # Three standard errors of a share of 5 % among 400 are 3.3 %.
    assert share(-0.01, "better", "as good", "no worse") <= 0.083
    assert share(0.01, "worse", "as good") <= 0.083
    assert share(0.0, "as good") > 0.5
    assert share(0.02, "better") > 0.9


@pytest.mark.parametrize("patients", [6, 20])
def test_intervals_over_patients_cover(patients: int) -> None:
    """Plain percentiles of 6 patients cover 87 %: they are widened."""
    covered = []
    for arm, base in studies(0.0, 0.03, seeds=2, patients=patients, n=400):
        (a, b), _, images = by_patient((arm, base), owners(patients))
        found = bootstrap(a, b, images)
        assert found is not None
        covered.append(found.low <= 0 <= found.high)
    # Three standard errors of 95 % among 400 are 3.3 %.
    assert 0.917 <= np.mean(covered) <= 0.983


@pytest.mark.parametrize("n", [2, 3, 10])
def test_intervals_over_seeds_cover(n: int) -> None:
    rng = np.random.default_rng(1)
    found = [t_interval(list(rng.normal(0.5, 0.02, n))) for _ in range(2000)]
    covered = np.mean([e is not None and e.low <= 0.5 <= e.high for e in found])  # type: ignore[operator]
    assert covered == pytest.approx(0.95, abs=0.015)
