"""The report's arithmetic, against scipy and by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from segtune.report.labels import text_positions
from segtune.report.pictures import contour, overlay
from segtune.report.search import pareto_front
from segtune.report.stats import (
    Estimate,
    holm,
    paired_p,
    patient_bootstrap,
    t_factor,
    t_interval,
)
from segtune.report.style import BASELINE_COLOR, log_ticks, looks
from segtune.report.text import changes_text, dotted, interval, listing, number, p_value, range_text


def test_t_interval_is_scipys() -> None:
    values = [0.71, 0.69, 0.75, 0.70]
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    found = t_interval(values)
    assert found is not None
    assert (found.mean, found.low, found.high) == pytest.approx((np.mean(values), low, high))
    assert t_factor(2) == pytest.approx(12.706, abs=1e-3)


def test_undefined_values_are_left_out_and_one_has_no_interval() -> None:
    assert t_interval([0.5, math.nan]) == Estimate(0.5, None, None, 1)
    assert t_interval([math.nan]) is None
    assert t_interval([]) is None


def test_paired_p() -> None:
    a, b = [0.71, 0.69, 0.75], [0.70, 0.66, 0.71]
    expected = stats.ttest_rel(a, b).pvalue
    assert paired_p([x - y for x, y in zip(a, b, strict=True)]) == pytest.approx(expected)
    assert paired_p([0.1]) is None
    assert paired_p([0.1, 0.1]) is None


def test_holm_steps_down_and_never_decreases() -> None:
    assert holm([0.01, None, 0.04, 0.03]) == pytest.approx((0.03, None, 0.06, 0.06))
    assert holm([0.9, 0.8]) == (1.0, 1.0)
    assert holm([]) == ()


def test_bootstrap_covers_patients_and_not_images() -> None:
    """Images that repeat a patient's value say nothing new: the interval stays as wide."""
    values, zero = np.array([[0.1], [0.3], [0.5], [0.2]]), np.zeros((4, 1))
    once = patient_bootstrap([(values, zero)], list("abcd"))
    many = [(np.repeat(values, 50, axis=0), np.repeat(zero, 50, axis=0))]
    often = patient_bootstrap(many, [p for p in "abcd" for _ in range(50)])
    assert once is not None
    assert often is not None
    assert (once.low, once.high) == pytest.approx((often.low, often.high))
    assert once.mean == pytest.approx(0.275)
    assert once.low < 0.275 < once.high
    assert (often.patients, often.images) == (4, 200)
    assert patient_bootstrap([(values, zero)], ["a"] * 4) is None


def test_bootstrap_is_a_difference_of_means_of_class_means() -> None:
    nan = math.nan
    a = np.array([[0.2, 1.0], [0.4, nan], [nan, nan], [0.6, 0.5]])
    b = np.array([[0.1, 0.5], [0.1, 0.0], [nan, nan], [0.1, nan]])
    found = patient_bootstrap([(a, b), (b, b)], list("abab"))
    assert found is not None
    assert found.mean == pytest.approx(((0.4 + 0.75) / 2 - (0.1 + 0.25) / 2) / 2)
    assert found.images == 3


def test_pareto_front_keeps_equals_and_skips_the_undefined() -> None:
    points = [(0.7, 9.0), (0.7, 9.0), (0.6, 8.0), (0.6, 9.5), None]
    assert pareto_front(points, [True, False]) == (True, True, True, False, False)


def test_labels_stay_apart_and_inside() -> None:
    close = text_positions([(0.5, 0.5), (0.5, 0.53)], ["galore", "srft_galore"], (300, 200))
    assert close[0] != close[1]
    assert "left" in text_positions([(0.98, 0.5)], ["srft_galore"], (300, 200))[0]
    beside = text_positions([(0.5, 0.5)], ["lora"], (300, 200), [(0.5, 0.2, 0.5, 0.8)])
    assert beside == ["middle right"]


def test_overlay_fills_the_prediction_and_outlines_the_truth() -> None:
    image = np.full((8, 8, 3), 100, np.uint8)
    labels = np.zeros((8, 8, 3), np.uint8)
    labels[2:6, 2:6] = (230, 75, 53)
    edge = contour(labels)
    assert edge.sum() == 12
    assert not edge[3:5, 3:5].any()
    drawn = overlay(image, labels, labels)
    assert drawn[2, 2].tolist() == [255, 255, 255]
    assert drawn[3, 3].tolist() == [178, 85, 72]
    assert drawn[0, 0].tolist() == [100, 100, 100]


def test_every_arm_has_its_own_look() -> None:
    arms = [f"arm{i}" for i in range(30)]
    found = looks(["base", *arms], "base")
    assert found["base"].color == BASELINE_COLOR
    assert len({(look.color, look.symbol) for look in found.values()}) == 31


def test_words() -> None:
    assert number(-0.0123) == "\u22120.012"
    assert interval(Estimate(0.5, None, None, 1)) == "n=1, no interval"
    assert p_value(0.0004) == "<0.001"
    assert changes_text({"method.lr": 1e-4, "method.name": "x", "on": True}) == (
        "method.lr=0.0001, method.name=x, on=true"
    )
    assert [listing(x) for x in ([], ["a"], ["a", "b", "c"])] == ["", "a", "a, b and c"]
    assert range_text([2, 3], "seed") == "n=2 to 3 seeds"
    assert range_text([1, 1], "seed") == "n=1 seed"
    assert log_ticks(9, 120)["ticktext"] == ["10", "20", "50", "100"]


def test_dotted_reads_nested_and_flat() -> None:
    assert dotted({"method": {"name": "lora", "rank": None}}, "method") == "lora"
    assert dotted({"method": {"name": "lora", "rank": None}}, "method.rank") is None
    assert dotted({"method.rank": 8}, "method.rank") == 8
