"""The same arms on several data sets."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects
from support.studies.known_study import NANO, write_study

from segtune.cli import main
from segtune.report import build
from segtune.report.evidence.across.pooled import pool
from segtune.report.evidence.across.ranks import average_ranks
from segtune.report.evidence.across.same import UnlikeError, across
from segtune.report.parts.differences.across import across_answer
from segtune.results import study_file
from segtune.results.study_rows import load
from segtune.results.study_scores import derive

MEANS, ERRORS = (0.03, 0.05, 0.01, 0.06), (0.01, 0.02, 0.008, 0.015)
FEW = st.lists(st.tuples(st.floats(-0.2, 0.2), st.floats(0.001, 0.1)), min_size=2, max_size=8)


def test_it_is_the_meta_analysis_of_statsmodels() -> None:
    known = combine_effects(np.array(MEANS), np.array(ERRORS) ** 2, method_re="iterated")
    found = pool(MEANS, ERRORS)
    assert found is not None
    assert found.between**2 == pytest.approx(known.tau2, rel=1e-4)
    assert found.mean == pytest.approx(known.mean_effect_re, rel=1e-5)
    assert found.error == pytest.approx(known.sd_eff_w_re_hksj, rel=1e-4)
    interval = found.interval()
    t = stats.t.ppf(0.975, 3)
    assert interval.low == pytest.approx(found.mean - t * found.error)
    assert found.p == pytest.approx(2 * stats.t.sf(found.mean / found.error, 3))


@given(FEW)
def test_it_lies_among_its_sets_and_mirrors(found: list[tuple[float, float]]) -> None:
    means, errors = zip(*found, strict=True)
    one, other = pool(means, errors), pool([-m for m in means], errors)
    assert one is not None
    assert other is not None
    assert min(means) - 1e-9 <= one.mean <= max(means) + 1e-9
    assert one.mean == pytest.approx(-other.mean, abs=1e-9)
    assert one.p_above(0.01) == pytest.approx(other.p_below(-0.01), abs=1e-6)
    assert one.error**2 >= 1 / sum(1 / e**2 for e in errors) * (1 - 1e-9), "no surer than its sets"


def test_one_data_set_is_none() -> None:
    assert pool([0.1], [0.01]) is None


def test_few_data_sets_are_seldom_wrong() -> None:
    rng, wrong, n = np.random.default_rng(3), 0, 1000
    for _ in range(n):
        errors = rng.uniform(0.005, 0.02, 4)
        found = pool((rng.normal(0, 0.01, 4) + rng.normal(0, errors)).tolist(), errors.tolist())
        assert found is not None
        wrong += found.p < 0.05
    assert wrong / n < 0.065


def test_ranks_are_demsars() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal([0.5, 0.6, 0.55, 0.5], 0.05, (10, 4))
    found = average_ranks([dict(zip("abcd", row, strict=True)) for row in table.tolist()], True)
    assert found is not None
    friedman = stats.friedmanchisquare(*table.T).statistic
    iman = 9 * friedman / (10 * 3 - friedman)
    assert found.p == pytest.approx(stats.f.sf(iman, 3, 27))
    # Table 5(a) of Demsar: q = 2.569 for four classifiers.
    assert found.critical == pytest.approx(2.569 * np.sqrt(4 * 5 / 60), abs=2e-3)
    assert found.arms[0][1] == min(rank for _, rank in found.arms)
    assert sum(rank for _, rank in found.arms) == pytest.approx(10)
    assert average_ranks([{"a": 1.0, "b": 2.0}] * 3, True) is None


def test_ranks_of_arms_that_tie() -> None:
    """Ties make ranks vary less, which the test takes into account."""
    sets = [{"a": 0.5, "b": 0.5, "c": 0.6}, {"a": 0.4, "b": 0.4, "c": 0.5}] * 3
    found = average_ranks(sets, True)
    assert found is not None
    assert found.p == 0.0, "the order is the same on every set, but for the tie"
    alike = average_ranks([dict.fromkeys("abc", 0.5)] * 3, True)
    assert alike is not None
    assert alike.p == 1.0


ARMS = {"base": (0.70, 0.71, 0.705), "up": (0.74, 0.752, 0.744), "same": (0.701, 0.709, 0.706)}


def _sets(storage: Path, shifts: tuple[float, ...] = (0.0, 0.01, -0.01)) -> list[str]:
    names = []
    for i, shift in enumerate(shifts):
        arms = {"base": ARMS["base"], **{
            arm: tuple(v + shift for v in values) for arm, values in ARMS.items() if arm != "base"
        }}  # fmt: skip
        names.append(f"set{i}")
        write_study(storage, arms, study=names[-1], data_hash=f"{i}" * 40)
    return names


def test_a_page_says_what_holds_over_data_sets_first(tmp_path: Path) -> None:
    names = _sets(tmp_path)
    found = across([derive(load(tmp_path, name)) for name in names])
    up, same = found.arms
    assert (up.arm, up.judged.word, up.counts) == ("up", "better", (3, 0, 0))
    assert same.judged.word == "cannot tell"
    assert up.pooled is not None
    assert up.pooled.mean == pytest.approx(0.0405, abs=0.003)
    assert up.pooled.another is not None
    assert found.ranks is not None
    assert found.ranks.arms[0][0] == "up"
    out = tmp_path / "r.html"
    assert main(["report", *names, "--across", "--storage", str(tmp_path), "--out", str(out)]) == 0
    page = out.read_text()
    assert page.index("What holds on all of these data sets?") < page.index("Which is best?")
    assert "Over 3 data sets up (+0.04" in page
    assert "3 data sets say little about others" in page
    assert "Average ranks" in page
    assert "The baselines differ in" not in page
    config = {**NANO, "schedule": {"epochs": 60}}
    write_study(tmp_path, ARMS, study="long", data_hash="9" * 40, config=config)
    page = build(tmp_path, [*names, "long"], out, beside="across").read_text()
    assert "The baselines differ in schedule.batch_size and schedule.epochs." in page
    tables = tmp_path / "tables"
    build(tmp_path, names, out, tables, beside="across")
    assert next(tables.glob("*across.csv")).read_text().startswith("arm,pooled_mean")


def test_data_sets_without_a_test_are_not_counted(tmp_path: Path) -> None:
    """One seed is no test: what stands over data sets does not rest on that data set."""
    names = _sets(tmp_path)
    write_study(tmp_path, {arm: v[:1] for arm, v in ARMS.items()}, study="one", data_hash="9" * 40)
    found = [derive(load(tmp_path, name)) for name in (*names[:2], "one")]
    [sentence, _] = across_answer(across(found))
    assert sentence.startswith("Over 2 of 3 data sets (the others have no test) one cannot tell up")
    [sentence, _] = across_answer(across(found[1:]))
    assert sentence.startswith("With a test on 1 of 2 data sets, where 2 are needed, one cannot ")


def test_unlike_arms_are_refused_with_every_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = _sets(tmp_path, (0.0, 0.01))
    other = study_file.read(tmp_path, "set1") or {}
    arms = {**other["arms"], "up": {"method.rank": 4}, "more": {"method": "more"}}
    study_file.write(tmp_path, "set1", {**other, "arms": arms})
    with pytest.raises(UnlikeError) as refused:
        across([derive(load(tmp_path, name)) for name in names])
    assert [line.strip() for line in str(refused.value).splitlines()[1:]] == [
        "arm more is in set1 alone",
        "arm up changes {'method': 'up'} in set0, {'method.rank': 4} in set1",
    ]
    write_study(tmp_path, ARMS, study="again", data_hash="0" * 40)
    command = ["report", "set0", "again", "--across", "--storage", str(tmp_path)]
    assert main(command) == 2
    assert "set0 and again are on the same data" in capsys.readouterr().err
    assert main([*command[:2], *command[3:]]) == 2
    assert "two or more studies" in capsys.readouterr().err
