"""Rare failures: told where they are seen, and where the seeds cannot show them."""

from pathlib import Path

import numpy as np
import pytest
from support.report_tables import write_trial
from support.studies.known_study import IMAGES, STEADY, caveat, rewrite_trials, write_study

from segtune.report import summarize
from segtune.report.summarize import StudySummary
from segtune.results import tables

DIVERGED = {"base": STEADY["base"], "up": (0.76, 0.77, 0.76, 0.12, 0.76)}


def note(found: StudySummary, arm: str) -> str:
    assert found.overview is not None
    return next(line.note for line in found.overview.lines if line.arm == arm)


def test_a_diverged_training_is_called_one(tmp_path: Path) -> None:
    write_study(tmp_path, DIVERGED)
    found = summarize(tmp_path, "known")
    said = caveat(found, "a training that failed is averaged")
    assert "up with seed 3 scored 0.12" in said
    assert "its other seeds 0.762 on average" in said
    assert note(found, "up") == "seed 3 far off"
    assert "a training that failed is averaged" in found.answer[-1]
    [up] = [f for f in found.failures if f.arm == "up"]
    assert [s.seed for s in up.seeds] == [3]


def test_a_training_that_found_nothing_says_so(tmp_path: Path) -> None:
    write_study(tmp_path, {"base": STEADY["base"], "up": (0.76, 0.77, 0.76, 0.0, 0.76)})
    rows = tables.read(tmp_path, "known", "images").to_pylist()
    own = [{**r, "value": 0.0} for r in rows if r["trial_id"] == "up-s3"]
    tables.write(tmp_path, "known", "images", own)
    found = summarize(tmp_path, "known")
    assert "with 0 in 100 % of images and classes" in caveat(found, "a training that failed")
    assert "up 20 %; 1 other arm below 10 %" in caveat(found, "objects not found at all")


def test_steady_seeds_are_not_called_failures(tmp_path: Path) -> None:
    write_study(tmp_path, STEADY)
    found = summarize(tmp_path, "known")
    assert not any(f.seeds or f.patients or f.failed or f.lost for f in found.failures)
    assert note(found, "up") == ""
    assert not [c for c in found.caveats if "fail" in c.title]


def test_failed_trainings_are_told(tmp_path: Path) -> None:
    write_study(tmp_path, STEADY)
    write_trial(tmp_path, "known", "up-s5", 0.1, role="arm", arm="up", seed=5, status="failed")
    found = summarize(tmp_path, "known")
    assert caveat(found, "failed trainings are in no mean").startswith("up 1 of 6.")
    assert note(found, "up") == "1 of 6 trainings failed"


@pytest.mark.parametrize("status", ["failed", "running"])
def test_the_answer_names_an_arm_of_which_nothing_came(status: str, tmp_path: Path) -> None:
    write_study(tmp_path, {**STEADY, "lost": (0.1, 0.1, 0.1)})
    rewrite_trials(tmp_path, lambda r: {"status": status} if r["arm"] == "lost" else {})
    told = "no training of lost has a score to compare" in summarize(tmp_path, "known").answer[0]
    assert told == (status == "failed")


def test_a_small_verdict_may_be_failures_that_did_not_happen(tmp_path: Path) -> None:
    up = tuple(v + 0.01 for v in STEADY["base"])
    write_study(tmp_path, {"base": STEADY["base"], "up": up})
    found = summarize(tmp_path, "known")
    assert found.comparisons[0].differences[0].verdict.word == "better"
    assert "5 seeds would show no such training in 59 % of studies" in caveat(
        found, "a rare failure"
    )
    assert note(found, "up") == "a rare failure may hide"


def test_patients_far_off_are_named(tmp_path: Path) -> None:
    gains = {"up": [0.05, 0.055, 0.05, 0.045, 0.05, 0.052, -0.3, 0.048]}
    write_study(tmp_path, {"base": STEADY["base"], "up": STEADY["base"]}, per_patient=gains)
    said = caveat(summarize(tmp_path, "known"), "single patients are far off")
    assert "up: p6 (" in said
    assert "skewness" in said


def test_the_split_is_of_the_difference(tmp_path: Path) -> None:
    gains = {"up": [0.1, 0.05, 0.0, -0.05, -0.1, 0.1, -0.1, 0.0]}
    write_study(tmp_path, {"base": STEADY["base"], "up": STEADY["base"]}, per_patient=gains)
    (up,) = (
        d.spread.spread
        for d in summarize(tmp_path, "known").comparisons[0].differences
        if d.spread is not None
    )
    assert up.patient == pytest.approx(np.std(gains["up"], ddof=1), rel=0.05)
    assert up.shares[1] > 0.95
    assert up.rest == pytest.approx(0.002 * np.sqrt(2 / IMAGES), rel=0.5)
