"""Verdicts that are looked at several times: what that costs, and which arms go on."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from support.studies.known_study import caveat, rewrite_trials, write_study

from segtune.report import build, summarize
from segtune.report.evidence.sequential.bounds import levels, price
from segtune.report.evidence.sequential.looks import looks_so_far, undecided
from segtune.report.parts.differences.looks import looks_part
from segtune.report.together import together
from segtune.results.study_rows import load
from segtune.results.study_scores import derive

LOOKS = (3, 5, 8, 12)
DEFINED = {
    "sequential": {"at_least": 3, "looks": list(LOOKS)},
    "seeds": list(range(12)),
    "margin": {"dice": 0.01},
}


def test_levels_are_those_of_published_tables() -> None:
    """Pocock's spending, five equal looks at 5 %: bounds as the R package gsDesign gives them."""
    bounds = stats.norm.isf(np.array(levels((1, 2, 3, 4, 5))) / 2)
    assert bounds == pytest.approx([2.438, 2.427, 2.410, 2.397, 2.386], abs=2e-3)


@pytest.mark.parametrize("looks", [(3, 5, 8, 12, 20), (4, 6), (7,)])
def test_all_looks_together_are_wrong_as_often_as_one(looks: tuple[int, ...]) -> None:
    sums = np.cumsum(np.random.default_rng(0).standard_normal((200_000, looks[-1])), axis=1)
    places = np.array(looks) - 1
    p = 2 * stats.norm.sf(np.abs(sums[:, places]) / np.sqrt(looks))
    wrong = (p < np.array(levels(looks))).any(axis=1).mean()
    assert wrong == pytest.approx(0.05, abs=0.0015)


def test_one_look_costs_nothing_and_the_next_counts_between_two() -> None:
    assert price((7,), 7, 3) == pytest.approx(1.0)
    assert price(LOOKS, 4, 2) == price(LOOKS, 5, 2)
    assert price(LOOKS, 12, 2) == price(LOOKS, 13, 2)
    assert price(LOOKS, 8, 8) > price(LOOKS, 8, 1) > 1, "a smaller level is dearer to look at"


def test_arms_stop_at_their_verdict_and_the_others_go_on(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).normal(0, 0.004, 3)
    arms = {
        "base": [0.7, 0.7, 0.7],
        "far": [0.8 + n / 10 for n in noise],
        "open": [0.7 + n for n in (0.012, -0.004, 0.001)],
        "same": [0.7 + n / 100 for n in noise],
    }
    write_study(tmp_path, arms, defined=DEFINED)
    assert undecided(tmp_path, "known", 3) == {"base", "open"}
    [look] = looks_so_far(load(tmp_path, "known"))
    assert look.stopped == {"far": "better than base", "same": "as good as base"}
    assert look.goes_on == {"base", "open"}
    # More seeds of those that go on change nothing of what was decided before.
    more = {**arms, "base": [0.7] * 5, "open": [*arms["open"], 0.692, 0.715]}
    write_study(tmp_path / "later", more, defined=DEFINED)
    first, second = looks_so_far(load(tmp_path / "later", "known"))
    assert first == look
    assert (second.seeds, second.stopped) == (5, {})
    assert second.goes_on == {"base", "open"}


def test_an_arm_without_hope_stops(tmp_path: Path) -> None:
    arms = {"base": [0.7, 0.7, 0.7], "vague": [0.8, 0.6, 0.7001]}
    write_study(tmp_path, arms, defined=DEFINED)
    [look] = looks_so_far(load(tmp_path, "known"))
    assert look.goes_on == set()
    assert look.stopped["vague"].startswith("a chance of ")
    assert look.stopped["vague"].endswith("% with 12 seeds to be told from base")


def test_seeds_by_need_are_no_unequal_chances(tmp_path: Path) -> None:
    """Arms that stopped have fewer seeds by the study's own rule; a lost seed is another matter."""
    arms = {"base": [0.7] * 5, "far": [0.8, 0.801, 0.8], "open": [0.71, 0.7, 0.705, 0.69, 0.715]}
    write_study(tmp_path, arms, defined=DEFINED)
    found = summarize(tmp_path, "known")
    assert "Seeds by need: 3 to 5 of an arm." in found.budget.sentences
    assert not caveat(found, "arms did not have the same chances")
    rewrite_trials(tmp_path, lambda r: {"status": "failed"} if r["trial_id"] == "open-s1" else {})
    assert "seeds are not" in caveat(summarize(tmp_path, "known"), "arms did not have the same")


def test_an_arm_that_no_seed_can_tell_stops(tmp_path: Path) -> None:
    """Too few patients for a test, or no scores: further seeds would be trained for nothing."""
    arms = {"base": [0.7, 0.702, 0.699], "up": [0.71, 0.703, 0.715]}
    write_study(tmp_path / "few", arms, defined=DEFINED, patients=2)
    [look] = looks_so_far(load(tmp_path / "few", "known"))
    assert look.goes_on == set()
    told = "no number of seeds can tell it, with scores of 2 test patients, from base"
    assert look.stopped == {"up": told}
    write_study(tmp_path / "lost", {**arms, "lost": [float("nan")] * 3}, defined=DEFINED)
    [look] = looks_so_far(load(tmp_path / "lost", "known"))
    assert look.goes_on == {"base", "up"}
    assert look.stopped == {"lost": "no scores to compare with base"}


def test_looking_several_times_makes_tests_stricter_and_intervals_wider(tmp_path: Path) -> None:
    arms = {"base": [0.7, 0.701, 0.699, 0.7, 0.7], "up": [0.71, 0.714, 0.712, 0.709, 0.711]}
    write_study(tmp_path / "fixed", arms, defined={"margin": {"dice": 0.01}})
    write_study(tmp_path / "looked", arms, defined=DEFINED)
    fixed, looked = (
        summarize(tmp_path / name, "known").comparisons[0].differences[0]
        for name in ("fixed", "looked")
    )
    cost = price(LOOKS, 5, 1)
    assert fixed.p is not None
    assert looked.p == pytest.approx(fixed.p * cost)
    assert fixed.held is not None
    assert looked.held is not None
    assert looked.held.p_no_worse == pytest.approx(min(1, fixed.held.p_no_worse * cost))
    assert fixed.over_both is not None
    assert looked.over_both is not None
    assert looked.over_both.low < fixed.over_both.low  # type: ignore[operator]
    page = build(tmp_path / "looked", ["known"], tmp_path / "r.html").read_text()
    assert "Seeds by need" in page


def test_several_studies_on_a_page_tell_their_looks_one_by_one(tmp_path: Path) -> None:
    arms = {"base": [0.7, 0.702, 0.699], "up": [0.71, 0.703, 0.715]}
    for name in ("one", "two"):
        write_study(tmp_path, arms, study=name, defined=DEFINED)
    studies = [derive(load(tmp_path, name)) for name in ("one", "two")]
    part = looks_part(together(studies).rows)
    assert part is not None
    assert part.missing == "What was decided at each look stands with each study below."
    own = looks_part(studies[0].rows)
    assert own is not None
    assert own.sheet is not None
    assert not own.missing


def test_code_that_was_committed_midway_is_told_and_not_taken_for_the_end(tmp_path: Path) -> None:
    """Trials of uncommitted code are set apart, and no arm would have the seeds of a look."""
    base, seeds = [0.7, 0.702, 0.699, 0.701, 0.7], [0.712, 0.7, 0.705, 0.707, 0.695]
    arms = {"base": base, "open": seeds, "too": seeds}
    write_study(tmp_path, arms, defined=DEFINED)
    rewrite_trials(tmp_path, lambda r: {"git_dirty": True})
    assert undecided(tmp_path, "known", 5) == {"base", "open", "too"}
    rewrite_trials(tmp_path, lambda r: {"git_dirty": r["seed"] < 3})
    with pytest.raises(ValueError, match="open-s0.* ran from uncommitted code"):
        undecided(tmp_path, "known", 5)
