"""Curves of scores and losses."""

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from support.report_tables import DICE, EPOCHS, STEPS, write_ablation, write_trial
from support.report_values import scores

from segtune.report.page.look import BASELINE_COLOR, looks
from segtune.report.parts.training import (
    learning_curves,
    learning_figure,
    loss_curves,
    val_curves,
)
from segtune.results.study_scores import StudyScores


def test_curves_of_trials_and_arms(methods: StudyScores) -> None:
    measure, val = val_curves(methods, "arm")
    assert measure is not None
    assert (len(val.lines), len(val.means)) == (12, 4)
    assert val.means[0].x == tuple(range(1, EPOCHS + 1))
    first = [line.y[0] for line in val.lines if line.arm == "full"]
    assert val.means[0].y[0].mean == pytest.approx(np.mean(first))
    assert all(len(line.x) == STEPS for line in loss_curves(methods.rows, "arm").lines)


def test_learning_curves_by_steps_seconds_and_images(methods: StudyScores) -> None:
    measure, found = learning_curves(methods)
    assert measure is not None
    full, galore = found["seconds"][:2]
    assert (full.arm, full.n, len(full.x)) == ("full", 3, EPOCHS)
    per_step = 0.01 + 1.4 * 0.3 + 0.05
    assert full.x[-1] == pytest.approx(STEPS * per_step + 5.0)  # the first step is slow
    assert found["images"][1].x[-1] == pytest.approx(8.0 * galore.x[-1])
    assert found["step"][0].x == tuple(float(e * STEPS // EPOCHS) for e in range(1, EPOCHS + 1))
    last = [DICE["full"][s] - 0.3 * math.exp(-EPOCHS) - 0.004 for s in range(3)]
    low, high = stats.t.interval(0.95, 2, loc=np.mean(last), scale=stats.sem(last))
    assert (full.y[-1].low, full.y[-1].high) == pytest.approx((low, high))
    drawn = learning_figure(
        found["step"], looks(methods.rows.arms, methods.rows.baseline), "step", measure, "full"
    )
    band, line = [t for t in drawn.data if t.legendgroup == "full"]
    assert band.fill == "toself"
    assert max(band.y) == pytest.approx(max(e.high or 0 for e in found["step"][0].y))
    assert line.line.color == BASELINE_COLOR
    assert "n=3" in line.hovertemplate
    assert "[" in line.text[0]


def test_a_failed_trial_does_not_end_its_arms_curve(tmp_path: Path) -> None:
    write_ablation(tmp_path, seeds=(0, 1))
    write_trial(tmp_path, "methods", "lora-s1", 0.6, role="arm", arm="lora", seed=1,
                status="failed")  # fmt: skip
    _, found = learning_curves(scores(tmp_path, "methods"))
    lora = next(m for m in found["step"] if m.arm == "lora")
    assert (lora.n, len(lora.x)) == (1, EPOCHS)
