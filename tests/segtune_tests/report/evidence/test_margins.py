"""As good, no worse, at most so much worse: verdicts within a margin."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from support.studies.known_study import caveat, verdicts, write_study

from segtune.report import build, summarize
from segtune.report.evidence.crossed import Crossed, crossed
from segtune.report.evidence.differences.margins import hold_against
from segtune.report.evidence.differences.verdicts import judge

ARMS = {
    "base": (0.70, 0.71, 0.69, 0.70, 0.705),
    "same": (0.701, 0.708, 0.692, 0.70, 0.704),
    "gains": (0.711, 0.709, 0.707, 0.70, 0.713),
    "up": (0.712, 0.721, 0.700, 0.711, 0.715),
    "little": (0.697, 0.7071, 0.6869, 0.6972, 0.7021),
    "noisy": (0.69, 0.73, 0.70, 0.68, 0.72),
}
"""All but the last of them vary little about the baseline plus 0, 0.007, 0.01 and -0.003."""
MARGIN = {"margin": {"dice": 0.01}}


def told(shift: float, seed_sd: float = 0.001, patients: int = 8) -> Crossed:
    """A difference whose seeds and patients vary evenly about `shift`."""
    seeds = shift + seed_sd * np.array([-1, 1, 0, -1, 1])
    found = crossed(shift, seeds, shift + 0.001 * np.linspace(-1, 1, patients))
    assert found is not None
    return found


def words(differences: list[float], margin: float | None, *, higher: bool = True) -> list[str]:
    return [j.word for j in judge([told(d) for d in differences], margin, higher)]


def test_a_shown_difference_stands_first_then_as_good_then_no_worse() -> None:
    assert words([0.0, 0.004, -0.004, 0.03, -0.03], 0.01) == [
        "as good", "better", "worse", "better", "worse",
    ]  # fmt: skip
    assert words([0.0, 0.004, -0.004], 0.01, higher=False) == ["as good", "worse", "better"]
    assert words([0.0], None) == ["cannot tell"]
    assert words([0.0], 0.0005) == ["cannot tell"]
    wide = told(0.01, seed_sd=0.012)
    [gain] = judge([wide], 0.01, True)
    [loss] = judge([wide], 0.01, False)
    assert (gain.word, loss.word) == ("no worse", "cannot tell")


def test_the_one_sided_tests_by_hand() -> None:
    """Two one-sided t tests over seeds, where patients hardly vary (Schuirmann 1987)."""
    seeds = np.array([0.002, -0.001, 0.004, 0.001, 0.003])
    mean, error = float(seeds.mean()), float(stats.sem(seeds))
    found = crossed(mean, seeds, mean + 1e-6 * np.linspace(-1, 1, 9))
    assert found is not None
    above, below = stats.t.sf((mean + 0.01) / error, 4), stats.t.cdf((mean - 0.01) / error, 4)
    assert found.p_above(-0.01) == pytest.approx(above, rel=1e-4)
    assert found.p_below(0.01) == pytest.approx(below, rel=1e-4)
    [held] = hold_against(0.01, [found], True)
    assert held is not None
    assert held.p_as_good == pytest.approx(max(above, below), rel=1e-4)
    limits = stats.t.interval(0.9, 4, loc=mean, scale=error)
    assert (held.bounds.low, held.bounds.high) == pytest.approx(limits, rel=1e-4)
    assert held.worse == pytest.approx(-limits[0], rel=1e-4)


_values = st.lists(st.integers(-1000, 1000).map(lambda n: n / 1e3), min_size=3, max_size=8)


@settings(deadline=None)  # scipy is slow at its first call
@given(
    _values, _values, st.integers(-1500, 1500).map(lambda n: n / 1e3), st.sampled_from((0.05, 0.01))
)
def test_a_one_sided_test_is_the_end_of_an_interval(
    seeds: list[float], patients: list[float], limit: float, alpha: float
) -> None:
    found = crossed(float(np.mean(seeds)), seeds, patients)
    assume(found is not None)
    assert found is not None
    estimate = found.interval(2 * alpha)
    assert estimate.low is not None
    assert estimate.high is not None
    if abs(estimate.low - limit) > 1e-6:
        assert (found.p_above(limit) < alpha) == (estimate.low > limit)
    if abs(estimate.high - limit) > 1e-6:
        assert (found.p_below(limit) < alpha) == (estimate.high < limit)


def test_holm_counts_the_arms_of_each_family() -> None:
    one, many = told(0.0, 0.0085), [told(0.0, 0.0085 + i / 1e5) for i in range(6)]
    assert judge([one], 0.01, True)[0].word == "as good"
    judged = judge([*many, *many], 0.01, True)
    assert {j.word for j in judged} == {"cannot tell"}
    smallest = min(max(c.p_above(-0.01), c.p_below(0.01)) for c in many)
    found = [j.held.p_as_good for j in judged if j.held is not None]
    assert min(found) == pytest.approx(min(1.0, 12 * smallest))


def test_a_report_says_it_everywhere(tmp_path: Path) -> None:
    write_study(tmp_path, ARMS, defined=MARGIN)
    found = summarize(tmp_path, "known")
    assert verdicts(found) == {
        "same": "as good within 0.01",
        "gains": "no worse within 0.01",
        "up": "better",
        "little": "worse, but within 0.01",
        "noisy": "cannot tell with n = 5 seeds and 8 patients, at most 0.026 worse",
    }
    [answer, *_] = found.answer
    assert "is as good as base within 0.01 Dice" in answer
    assert "is no worse than base within 0.01 Dice" in answer
    assert "is worse than base, but within the margin of 0.01" in answer
    assert "noisy (at most 0.026 worse) from base" in answer
    out = build(tmp_path, ["known"], tmp_path / "r.html", tmp_path / "tables")
    page = out.read_text()
    for words in (
        "90 % against the margin",
        "same is as good as base within 0.01 (90 %",
        "\u2265 no",
    ):
        assert words in page
    assert r"^{\approx}" in (tmp_path / "tables" / "known-summary.tex").read_text()
    table = (tmp_path / "tables" / "known-paired.csv").read_text()
    assert "margin,bounds_low,bounds_high,p_no_worse_holm,p_as_good_holm" in table


def test_without_a_margin_nothing_speaks_of_one(tmp_path: Path) -> None:
    write_study(tmp_path, ARMS)
    assert set(verdicts(summarize(tmp_path, "known")).values()) == {
        "cannot tell with n = 5 seeds and 8 patients", "better", "worse",
    }  # fmt: skip
    page = build(tmp_path, ["known"], tmp_path / "r.html").read_text()
    assert "margin</" not in page
    assert "the margin" not in page


@pytest.mark.parametrize(("until", "known"), [("2020-01-01", 0), ("2100-01-01", 12)])
def test_a_changed_margin_is_said_and_an_objection_once_results_were_there(
    until: str, known: int, tmp_path: Path
) -> None:
    before: list[dict[str, Any]] = [{"margin": {}, "until": f"{until}T12:00:00+00:00"}]
    arms = {arm: ARMS[arm] for arm in ("base", "same")}
    write_study(tmp_path, arms, defined={**MARGIN, "margin_before": before})
    found = summarize(tmp_path, "known")
    said = (
        f"on {until} 12:00 UTC, when {10 if known else 0} trials had ended, from none to dice 0.01"
    )
    assert (said in caveat(found, "the margin was changed")) == bool(known)
    assert said in build(tmp_path, ["known"], tmp_path / "r.html").read_text()
    assert ("the margin was changed" in found.answer[-1]) == bool(known)
