"""What would change a conclusion."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.report_tables import MASKS
from support.studies.known_study import NANO, STEADY, caveat, rewrite_trials, verdicts, write_study

from segtune.report import summarize
from segtune.report.evidence.estimate import Estimate
from segtune.report.evidence.objections.influence import changed
from segtune.results.measures import Measure

RESTLESS = {"base": (0.70, 0.72, 0.68, 0.70), "other": (0.71, 0.70, 0.72, 0.68)}
"""Two arms whose difference is another one with every seed."""


def test_verdicts_over_hardly_any_patients_are_an_objection(tmp_path: Path) -> None:
    write_study(tmp_path, STEADY, patients=4, study="four")
    write_study(tmp_path, STEADY, patients=6, study="six")
    four, six = summarize(tmp_path, "four"), summarize(tmp_path, "six")
    assert verdicts(four)["up"] == verdicts(six)["up"] == "better"
    assert "patients of a kind that is not among these 4" in caveat(four, "only 4 test patients")
    assert not caveat(six, "only")


def test_one_patient_that_carries_a_difference_is_named(tmp_path: Path) -> None:
    steady = {"base": (0.70, 0.71, 0.69), "up": (0.70, 0.712, 0.693)}
    write_study(tmp_path, steady, per_patient={"up": [0.01] * 7 + [-0.2]})
    said = caveat(summarize(tmp_path, "known"), "a single patient")
    assert "without patient p7 up could be told from the baseline" in said


def test_one_seed_that_carries_a_difference_is_named(tmp_path: Path) -> None:
    arms = {"base": (0.70, 0.70, 0.70, 0.70), "up": (0.73, 0.731, 0.729, 0.65)}
    write_study(tmp_path, arms)
    assert "without seed 3 up could be told" in caveat(summarize(tmp_path, "known"), "a single")


def test_a_steady_difference_is_carried_by_nobody(tmp_path: Path) -> None:
    write_study(tmp_path, {"base": (0.70, 0.71, 0.69, 0.7), "up": (0.80, 0.81, 0.80, 0.79)})
    assert not caveat(summarize(tmp_path, "known"), "a single patient")


def test_seeds_that_it_would_take_with_their_range(tmp_path: Path) -> None:
    write_study(tmp_path, RESTLESS)
    found = summarize(tmp_path, "known")
    said = caveat(found, "too few seeds")
    assert "To show a difference of 0.01 in Dice (80 % power, 5 % level)" in said
    assert "with these 8 test patients" in said
    sd = np.std(found.comparisons[0].differences[0].per_seed, ddof=1)
    # Normal approximation: (1.96 + 0.84)^2 sd^2 / 0.01^2 pairs, and about two more for the t test.
    wanted = math.ceil((1.96 + 0.84) ** 2 * (sd / 0.01) ** 2) + 2
    told = int(said.split("it takes about ")[1].split()[0])
    assert told == pytest.approx(wanted, rel=0.05)  # two digits
    assert f"about {told} seeds instead of 4" in said
    low, high = said.split("allows for ")[1].split(").")[0].split(" to ")
    assert int(low) < told / 1.5
    assert high == "more than 1,000" or int(high) > 3 * told
    assert not caveat(found, "too few test patients")


def test_a_margin_is_what_the_study_is_asked_about(tmp_path: Path) -> None:
    write_study(tmp_path, RESTLESS, defined={"margin": {"dice": 0.02}})
    said = caveat(summarize(tmp_path, "known"), "too few seeds")
    assert "as good as base is no worse within the margin of 0.02 in Dice" in said
    sd = np.std(np.subtract(RESTLESS["other"], RESTLESS["base"]), ddof=1)
    # One-sided at 5 %, twice as far.
    wanted = math.ceil((1.645 + 0.84) ** 2 * (sd / 0.02) ** 2) + 2
    assert int(said.split("it takes about ")[1].split()[0]) == pytest.approx(wanted, abs=2)


def test_where_patients_differ_too_much_no_number_of_seeds_is_enough(tmp_path: Path) -> None:
    write_study(tmp_path, RESTLESS, per_patient={"other": [0.03, -0.03] * 4})
    found = summarize(tmp_path, "known")
    said = caveat(found, "too few test patients")
    assert "no number of seeds up to 1,000 is enough with these 8 test patients" in said
    number = int(said.split("it takes about ")[1].split()[0])
    # Of the variance that the power allows patients get about half.
    assert number == pytest.approx((1.96 + 0.84) ** 2 * 2 * (0.032 / 0.01) ** 2, rel=0.15)
    assert not caveat(found, "too few seeds")


def test_values_at_the_edge_and_arms_left_untuned(tmp_path: Path) -> None:
    tune = {"up": {"method.lr": (1e-4, 1e-3, 1e-2)}}
    write_study(tmp_path, {"base": (0.7, 0.71, 0.7), "up": (0.7, 0.72, 0.7)}, tune=tune)
    found = summarize(tmp_path, "known")
    assert "up's method.lr=0.01 is the largest of 0.0001, 0.001 and 0.01" in caveat(found, "tuned")
    assert "base were not tuned while others were" in caveat(found, "not every arm")
    assert {a.arm: a.tries for a in found.budget.arms} == {"base": 0, "up": 3}
    assert any("tuning trials (base 0, up 3)" in text for text in found.budget.unequal)


def test_a_value_inside_its_range_is_no_caveat(tmp_path: Path) -> None:
    write_study(tmp_path, {"base": (0.7, 0.7, 0.71), "up": (0.7, 0.7, 0.72)},
                tune={"up": {"method.lr": (1e-2, 1e-4, 1e-3)}})  # fmt: skip
    assert not caveat(summarize(tmp_path, "known"), "tuned values")


def test_curves_that_still_rise_are_told(tmp_path: Path) -> None:
    write_study(tmp_path, {"base": (0.7, 0.71, 0.7), "up": (0.7, 0.7, 0.7)}, rising=("up",))
    said = caveat(summarize(tmp_path, "known"), "curves still rising")
    assert "up in 3 of 3 (+0.040)" in said
    assert "base" not in said


def test_unlike_budgets_reach_the_answer(tmp_path: Path) -> None:
    write_study(tmp_path, STEADY)
    longer = json.dumps({**NANO, "schedule": {"epochs": 60, "batch_size": 8}})
    rewrite_trials(tmp_path, lambda r: {"config": longer} if r["arm"] == "up" else {})
    found = summarize(tmp_path, "known")
    assert "epochs (6, 60)" in caveat(found, "arms did not have the same chances")
    assert "arms did not have the same chances" in found.answer[-1]


@pytest.mark.parametrize("patients", [1, 2])
def test_few_patients_are_an_objection(patients: int, tmp_path: Path) -> None:
    write_study(tmp_path, STEADY, patients=patients)
    found = summarize(tmp_path, "known")
    noun = "patient" if patients == 1 else "patients"
    assert verdicts(found)["up"] == f"cannot tell with scores of {patients} test {noun}"
    assert f"are of {patients} {noun}" in caveat(found, "too few test patients")


def test_an_arm_that_was_told_needs_no_more_seeds(tmp_path: Path) -> None:
    noisy = {"base": (0.70, 0.74, 0.66, 0.70, 0.705), "up": (0.86, 0.86, 0.86, 0.865, 0.86)}
    write_study(tmp_path, noisy)
    found = summarize(tmp_path, "known")
    assert verdicts(found)["up"] == "better"
    assert not caveat(found, "too few")


def test_three_seeds_cannot_be_checked_one_by_one(tmp_path: Path) -> None:
    write_study(tmp_path, {arm: values[:3] for arm, values in STEADY.items()}, study="three")
    write_study(tmp_path, STEADY, study="five")
    assert "up: without one of 3 seeds" in caveat(summarize(tmp_path, "three"), "not checked")
    assert not caveat(summarize(tmp_path, "five"), "not checked")


@pytest.mark.parametrize(("others", "told"), [((0.9,) * 4, False), ((0.0001, 0.0002), True)])
def test_leaving_one_out_repeats_holms_correction(
    others: tuple[float, ...], told: bool, tmp_path: Path
) -> None:
    """p is 0.02 without the patient: times five arms too much, times one (the last step) not."""
    write_study(tmp_path, STEADY)
    [d] = summarize(tmp_path, "known").comparisons[0].differences
    estimate = Estimate(0.02, 0.001, 0.04, 5)
    before = replace(d, p=0.6, p_holm=1.0, over_both=estimate)
    p_values = {"up": 0.6, **{f"a{i}": p for i, p in enumerate(others)}}
    measure = Measure("dice", "per_image", MASKS)
    said = changed(before, (estimate, 0.02), "patient p0", measure, p_values)
    assert bool(said) == told


def test_leaving_one_out_bears_that_verdicts_are_looked_at_several_times(tmp_path: Path) -> None:
    """p is 0.02 alone, 0.06 where looking several times costs three times as much."""
    write_study(tmp_path, STEADY)
    [d] = summarize(tmp_path, "known").comparisons[0].differences
    assert d.crossed is not None
    smaller = Estimate(0.02, 0.001, 0.04, 5)
    measure = Measure("dice", "per_image", MASKS)
    for price, lost in ((1.0, False), (3.0, True)):
        looked = replace(d, crossed=replace(d.crossed, price=price))
        said = changed(looked, (smaller, 0.02), "patient p0", measure, {"up": d.p})
        assert bool(said) == lost
