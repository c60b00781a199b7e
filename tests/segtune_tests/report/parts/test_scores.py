"""The scores of each arm."""

import numpy as np
import pytest
from scipy import stats
from support.report_tables import DICE

from segtune.report.evidence.summary import score_summary
from segtune.results.measures import Measure
from segtune.results.study_scores import StudyScores


def test_summary_is_mean_and_t_interval_over_seeds(methods: StudyScores) -> None:
    summary = score_summary(methods)
    assert [a.arm for a in summary.arms] == ["full", "galore", "lora", "srft_galore"]
    assert [a.is_baseline for a in summary.arms] == [True, False, False, False]
    assert [c.key for c in summary.columns] == [
        "dice_macro", "assd_macro", "nsd_macro", "hd95_macro", "dice_pooled",
        "dice_ridge", "dice_silhouette", "dice_ligament",
    ]  # fmt: skip
    assert summary.columns[1].label == "ASSD (px), per_class_px"
    for arm in summary.arms:
        dice = arm.values["dice_macro"]
        low, high = stats.t.interval(
            0.95, 2, loc=np.mean(DICE[arm.arm]), scale=stats.sem(DICE[arm.arm])
        )
        assert (dice.mean, dice.low, dice.high) == pytest.approx(
            (np.mean(DICE[arm.arm]), low, high)
        )
        assert arm.values["dice_ridge"].mean == pytest.approx(dice.mean - 0.06)
        assert (dice.n, arm.seeds, arm.planned) == (3, (0, 1, 2), 3)
    assert summary.arms[1].changes == "method=galore, method.rank=4"


def test_a_measure_in_pixels_says_so() -> None:
    assert Measure("assd", "per_class_px", "96x96", "minimize", "px", "ASSD").label == "ASSD (px)"
