"""Probability of improvement, performance profiles and ranks, against plain restatements."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from support.report_tables import ARMS, DICE, IMAGES, PATIENTS
from support.report_values import found, scores
from support.studies.known_study import STEADY, write_study

from segtune.report.evidence.resampled import (
    DRAWS,
    Resampled,
    draws,
    improvement,
    profile,
    resampled,
    standing,
)
from segtune.report.page.look import looks
from segtune.report.parts.differences.resampled import resampled_part
from segtune.results import tables
from segtune.results.study_scores import StudyScores, derive

Values = NDArray[np.float64]


@pytest.fixture(scope="module")
def of_methods(methods: StudyScores) -> Resampled:
    """The four arms of the ablation in Dice."""
    measure = methods.measure("dice", "test")
    assert measure is not None
    drawn = resampled(methods, measure)
    assert drawn is not None
    return drawn


def ends(values: list[float], n: int) -> tuple[float, float]:
    """Percentiles that are further out for few, as Hesterberg states them."""
    tail = 100 * stats.norm.cdf(np.sqrt(n / (n - 1)) * stats.t.ppf(0.025, n - 1))
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_improvement_is_the_share_of_pairs_of_trainings_on_each_patient(
    higher_is_better: bool,
) -> None:
    rng = np.random.default_rng(0)
    arm, other = rng.integers(0, 4, (2, 5)) / 4, rng.integers(0, 4, (3, 5)) / 4  # with ties
    drawn, others = draws("a", 2), draws("b", 3)
    patients = draws("patients", 5)

    def share(rows: list[int], columns: list[int], of: list[int]) -> float:
        sign = 1 if higher_is_better else -1
        gaps = [sign * (arm[i, p] - other[j, p]) for p in of for i in rows for j in columns]
        return sum(0.5 if gap == 0 else float(gap > 0) for gap in gaps) / len(gaps)

    def repeated(counts: Values) -> list[int]:
        return [int(i) for i in np.repeat(np.arange(counts.size), counts.astype(int))]

    told = improvement(arm, other, higher_is_better, drawn, others)
    assert told is not None
    assert told.mean == pytest.approx(share([0, 1], [0, 1, 2], [0, 1, 2, 3, 4]))
    values = [
        share(repeated(drawn[d]), repeated(others[d]), repeated(patients[d])) for d in range(DRAWS)
    ]
    assert (told.low, told.high) == pytest.approx(ends(values, 2))


def test_a_profile_is_the_share_of_images_at_a_threshold_or_beyond() -> None:
    rng = np.random.default_rng(1)
    values = rng.random((2, 7, 2))
    values[:, 0, 1] = np.nan  # no such class
    values[0, 3] = np.nan  # nothing to score
    owners = ("p", "q", "q", "r", "r", "r", "s")
    drawn, patients = draws("seeds", 2), draws("patients", 4)
    thresholds = np.array([0.2, 0.5, 0.8])
    told = profile(values, owners, thresholds, True, drawn, ("p", "q", "r", "s"))
    for k, threshold in enumerate(thresholds):
        shares = []
        for d in range(-1, DRAWS):
            of_seed = np.ones(2) if d < 0 else drawn[d]
            of_patient = np.ones(4) if d < 0 else patients[d]
            beyond = images = 0.0
            for s, i in itertools.product(range(2), range(7)):
                defined = values[s, i][np.isfinite(values[s, i])]
                weight = of_seed[s] * of_patient["pqrs".index(owners[i])]
                if defined.size:
                    images += weight
                    beyond += weight * (defined.mean() >= threshold)
            shares.append(beyond / images if images else np.nan)
        assert told[k].mean == pytest.approx(shares[0])
        drawn_shares = [s for s in shares[1:] if np.isfinite(s)]
        assert (told[k].low, told[k].high) == pytest.approx(ends(drawn_shares, 2))
    below = profile(values, owners, thresholds, False, drawn, ("p", "q", "r", "s"))
    assert [a.mean + b.mean for a, b in zip(told, below, strict=True)] == pytest.approx([1, 1, 1])


def test_ranks_are_those_of_each_draw_and_ties_share_them() -> None:
    drawn = np.array([[3.0, 1.0, 2.0, np.nan], [2.0, 1.0, 3.0, 1.0], [1.0, 0.0, 1.0, 1.0]])
    first, rank = standing(drawn, True)
    assert first == pytest.approx([1.5 / 3, 1.5 / 3, 0])
    assert [r.mean for r in rank] == pytest.approx([(1 + 1.5 + 2) / 3, (2 + 1.5 + 1) / 3, 3])
    assert standing(-drawn, False)[0] == first


def test_what_is_told_of_a_study_agrees_with_its_scores(of_methods: Resampled) -> None:
    told = {c.arm: c for c in of_methods.chances}
    assert list(told) == list(ARMS)
    assert (of_methods.patients, of_methods.images) == (PATIENTS, IMAGES)
    assert told["full"].improvement is None
    lora = told["lora"].improvement
    assert lora is not None
    assert lora.mean < 0.2
    assert lora.high is not None
    assert lora.high < 0.5
    assert sum(c.first for c in told.values()) == pytest.approx(1)
    assert sum(c.rank.mean for c in told.values()) == pytest.approx(1 + 2 + 3 + 4)
    assert told["lora"].rank.mean == pytest.approx(4, abs=0.05)
    for one in of_methods.profiles:
        shares = [e.mean for e in one.shares]
        assert shares == sorted(shares, reverse=True)
    assert set(DICE) == {one.arm for one in of_methods.profiles}


def test_arms_alike_are_even_and_the_page_says_what_was_drawn(tmp_path: Path) -> None:
    write_study(tmp_path, {"base": STEADY["base"], "same": STEADY["base"]})
    images = tables.read(tmp_path, "known", "images").to_pylist()
    of_base = [r for r in images if r["trial_id"].startswith("base")]
    for seed in range(len(STEADY["base"])):
        alike = [{**r, "trial_id": f"same-s{seed}"} for r in of_base
                 if r["trial_id"] == f"base-s{seed}"]  # fmt: skip
        tables.write(tmp_path, "known", "images", alike)
    told = found(tmp_path, "known").summary.resampled
    assert told is not None
    assert [c.first for c in told.chances] == [0.5, 0.5]
    assert [c.rank.mean for c in told.chances] == [1.5, 1.5]
    same = told.chances[1].improvement
    assert same is not None
    assert same.mean == pytest.approx(0.5)
    part = resampled_part(told, looks(["base", "same"], "base"))
    assert part is not None
    assert f"drawn again {DRAWS:,} times" in part.caption
    assert part.sheet is not None
    assert part.sheet.raw_rows[1][:2] == ("same", same.mean)


def test_ranks_weigh_what_the_study_weighs(tmp_path: Path) -> None:
    """One patient of three images, on which an arm gains, beside three of one, on which it loses.

    Over images it leads in draws that have the first at all, over patients where that is drawn
    twice.
    """
    seeds, gains = (0.7, 0.7, 0.7), (0.09, -0.05, -0.05, -0.05)
    write_study(tmp_path, {"base": seeds, "up": seeds}, per_patient={"up": gains}, patients=4)
    rows = scores(tmp_path, "known").rows
    images = rows.images
    few = images[(images["patient_id"] == "p0") | ~images.duplicated(["trial_id", "patient_id"])]
    for weights, share in (("images", 1 - 0.75**4), ("patients", 1 - 0.75**4 - 0.75**3)):
        definition = {**rows.definition, "weights": weights}
        study = derive(replace(rows, images=few, definition=definition))
        measure = study.measure("dice", "test")
        assert measure is not None
        told = resampled(study, measure)
        assert told is not None
        assert told.chances[1].first == pytest.approx(share, abs=0.03)


def test_without_scores_of_images_there_is_no_such_part(tmp_path: Path) -> None:
    write_study(tmp_path, {"base": (0.7, 0.71), "up": (0.72, 0.73)})
    study = scores(tmp_path, "known")
    measure = study.measure("dice", "test")
    assert measure is not None
    nothing = replace(study.rows, images=study.rows.images.iloc[:0])
    assert resampled(study, measure) is not None
    assert resampled(derive(nothing), measure) is None
    assert resampled_part(None, {}) is None
