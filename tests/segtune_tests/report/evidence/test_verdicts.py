"""Verdicts on arms: what they rest on, and when there is none."""

from pathlib import Path

import numpy as np
import pytest
from support.studies.known_study import STEADY, caveat, rewrite_trials, verdicts, write_study

from segtune.report import summarize
from segtune.report.page.text import MINUS


def test_plain_words(tmp_path: Path) -> None:
    arms = {
        "base": (0.70, 0.71, 0.69),
        "up": (0.76, 0.77, 0.76),
        "down": (0.64, 0.65, 0.62),
        "same": (0.71, 0.70, 0.70),
    }
    write_study(tmp_path, arms)
    found = summarize(tmp_path, "known")
    assert verdicts(found) == {
        "up": "better",
        "down": "worse",
        "same": "cannot tell with n = 3 seeds and 8 patients",
    }
    assert len(found.answer) == 3
    assert found.answer[1] == "up trains 1.25 M parameters, base 1.25 M."
    assert "up (+0.06" in found.answer[0]
    assert "is better than base" in found.answer[0]
    same = next(d for d in found.comparisons[0].differences if d.arm == "same")
    assert same.over_both is not None
    low = f"{same.over_both.low:+.3f}".replace("-", MINUS)
    assert f"one cannot tell same ({same.over_seeds.mean:+.3f} [{low}, +" in found.answer[0]
    assert "]) from base with n = 3 seeds and 8 patients" in found.answer[0]
    up = next(a for a in found.summary.arms if a.arm == "up").values["dice_macro"]
    assert up.sd == pytest.approx(np.std([0.76, 0.77, 0.76], ddof=1), abs=0.002)


@pytest.mark.parametrize("n", [1, 2])
def test_few_seeds_are_no_evidence_however_they_agree(n: int, tmp_path: Path) -> None:
    write_study(tmp_path, {"base": (0.70, 0.701)[:n], "up": (0.90, 0.901)[:n]})
    found = summarize(tmp_path, "known")
    [d] = found.comparisons[0].differences
    assert d.verdict.text == f"cannot tell with n = {n} seed{'s' if n > 1 else ''}"
    assert (d.p, d.p_holm, d.p_seeds, d.over_both) == (None, None, None, None)
    assert (d.over_seeds.low is None) == (n == 1)
    assert "At least 3 are needed" in caveat(found, "too few seeds")


def test_few_patients_are_no_evidence(tmp_path: Path) -> None:
    write_study(tmp_path, {"base": (0.7, 0.71, 0.7), "up": (0.9, 0.92, 0.9)}, patients=2)
    assert verdicts(summarize(tmp_path, "known")) == {
        "up": "cannot tell with scores of 2 test patients"
    }


def test_a_difference_that_hangs_on_the_patients_is_not_told(tmp_path: Path) -> None:
    """All seeds agree, but half of the patients are better and half are worse off."""
    gains = {"up": [0.2, 0.15, 0.2, 0.1, -0.1, -0.05, -0.1, -0.1]}
    write_study(tmp_path, {"base": (0.7, 0.71, 0.7), "up": (0.7, 0.711, 0.702)}, per_patient=gains)
    [d] = summarize(tmp_path, "known").comparisons[0].differences
    assert d.p_seeds is not None
    assert d.p_seeds < 0.001
    assert d.verdict.word == "cannot tell"


def test_holm_counts_the_arms(tmp_path: Path) -> None:
    others = {f"a{i}": (0.70 + i / 1000, 0.69, 0.71) for i in range(8)}
    weak = {"base": (0.70, 0.71, 0.69), "up": (0.712, 0.721, 0.700)}
    write_study(tmp_path, weak, study="alone")
    write_study(tmp_path, {**weak, **others}, study="many")
    assert verdicts(summarize(tmp_path, "alone"))["up"] == "better"
    [d] = [d for d in summarize(tmp_path, "many").comparisons[0].differences if d.arm == "up"]
    assert d.verdict.word == "better" or (d.p or 1) < 0.05 <= (d.p_holm or 0)
    assert d.p_holm == pytest.approx(min(1.0, 9 * (d.p or 1)))


def test_no_verdict_where_arms_ran_on_different_data(tmp_path: Path) -> None:
    write_study(tmp_path, STEADY)
    assert verdicts(summarize(tmp_path, "known"))["up"] == "better"
    rewrite_trials(tmp_path, lambda r: {"data_hash": r["arm"] * 10})
    found = summarize(tmp_path, "known")
    [d] = found.comparisons[0].differences
    assert (d.p, d.p_seeds, d.p_patients, d.over_both) == (None, None, None, None)
    assert d.verdict.text == "cannot tell where they ran on different data"
    assert "different data: scores are not comparable" in caveat(found, "arms ran with different")
    assert "arms ran with different data" in found.answer[-1]
