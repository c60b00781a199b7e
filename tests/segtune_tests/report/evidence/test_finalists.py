"""A search's report: finalists as arms, costs as objectives, limits, trials stopped early."""

import json
from pathlib import Path
from typing import Any

import pytest
from scipy import stats
from support.report_tables import spoil, write_finalists, write_search
from support.report_values import found as findings_of

from segtune.report import build
from segtune.report.evidence.answer import search_answer
from segtune.report.evidence.search_results import SearchResults
from segtune.report.evidence.sequential.looks import undecided
from segtune.report.page.look import looks
from segtune.report.parts.searches.best_trials import trial_looks
from segtune.report.parts.unfinished import failures, stopped_early
from segtune.report.summarize import summarize
from segtune.results import study_file, tables
from segtune.results.study_rows import StudyRows, load

BASE, BEST = (0.70, 0.71, 0.705), (0.76, 0.772, 0.764)


def redefine(storage: Path, **changes: Any) -> None:
    known = study_file.read(storage, "rank")
    assert known is not None
    study_file.write(storage, "rank", {**known, **changes})


def search_of(storage: Path) -> SearchResults:
    search = findings_of(storage, "rank").search
    assert search is not None
    return search


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    write_search(tmp_path)
    return tmp_path


def test_finalists_are_compared_with_the_baselines_own(storage: Path) -> None:
    write_finalists(storage, "rank", {0: BASE, 5: BEST})
    redefine(storage, finalists=2, finalist_seeds=[101, 102, 103])
    found = summarize(storage, "rank")
    assert found.baseline == "t0"
    assert [a.arm for a in found.summary.arms] == ["t0", "t5"]
    arm = next(a for a in found.summary.arms if a.arm == "t5")
    assert (arm.seeds, arm.planned) == ((101, 102, 103), 3)
    assert arm.values["dice_macro"].mean == pytest.approx(sum(BEST) / 3)
    [d] = found.comparisons[0].differences
    assert d.p_seeds == pytest.approx(stats.ttest_rel(BEST, BASE).pvalue)
    assert d.verdict.word == "better"
    assert found.external[0].differences
    told, away, best, sure = found.answer
    assert best.startswith("The best of 8 finished trials is t")
    assert told.startswith("The best were trained anew with 3 new seeds and tested; t0 has the")
    assert "t5 (+0.06" in told
    assert "is better than t0" in told
    assert away.startswith("Elsewhere (external set")
    assert "the baseline's settings were not searched for" in sure
    assert "best of 10 trials of the search" in " ".join(found.budget.sentences)


def test_finalists_are_held_against_the_margin(storage: Path) -> None:
    write_finalists(storage, "rank", {0: BASE, 5: BEST})
    redefine(storage, finalists=2, finalist_seeds=[101, 102, 103], margin={"dice": 0.2})
    found = summarize(storage, "rank")
    assert found.comparisons[0].margin == 0.2
    [d] = found.comparisons[0].differences
    assert d.held is not None
    assert d.held.as_good
    assert d.verdict.text == "better, but within 0.2"
    assert [j.comparison.baseline for j in found.joint] == ["t0"]


def test_finalists_whose_verdict_is_open_get_more_seeds(storage: Path) -> None:
    vague = (0.73, 0.70, 0.72)
    write_finalists(storage, "rank", {0: BASE, 5: BEST, 7: vague})
    looks = {"at_least": 3, "looks": [3, 5, 10]}
    redefine(storage, finalists=2, finalist_seeds=list(range(101, 111)), sequential=looks)
    assert undecided(storage, "rank", 3) == {"t0", "t7"}
    found = summarize(storage, "rank")
    assert {a.planned for a in found.summary.arms} == {3}
    page = build(storage, ["rank"], storage / "r.html").read_text()
    assert "t5: better than t0" in page


def test_finalists_that_others_have_overtaken_are_left_out(storage: Path) -> None:
    write_finalists(storage, "rank", {0: BASE, 5: BEST, 7: BEST})
    redefine(storage, finalists=2, finalist_seeds=[101, 102, 103], chosen=[0, 7])
    assert [a.arm for a in summarize(storage, "rank").summary.arms] == ["t0", "t7"]


def test_without_the_baselines_there_is_no_comparison(storage: Path) -> None:
    write_finalists(storage, "rank", {5: BEST, 7: BASE})
    found = summarize(storage, "rank")
    assert found.comparisons == ()
    assert "t5 has the best mean Dice on test" in found.answer[0]
    assert "the baseline was not repeated" in found.answer[2]


def test_they_come_first_and_look_as_they_do_in_the_search(storage: Path, tmp_path: Path) -> None:
    write_finalists(storage, "rank", {0: BASE, 5: BEST})
    tables = tmp_path / "tables"
    html = build(storage, ["rank"], tmp_path / "r.html", tables).read_text()
    titles = ["Finalists: scores on the test split", "Finalists: differences to the baseline",
              "Best trials on val"]  # fmt: skip
    places = [html.index(f">{title}</h2>") for title in titles]
    assert places == sorted(places)
    assert (tables / "rank-summary.csv").is_file()
    assert (tables / "rank-finalists_summary.csv").is_file()
    found = findings_of(storage, "rank")
    assert found.search is not None
    tested = found.tested.rows
    everywhere = trial_looks(found.search, tested)
    assert {arm: everywhere[arm] for arm in tested.arms} == looks(tested.arms, tested.baseline)


def test_finalists_that_count_for_nothing_move_nothing(storage: Path) -> None:
    write_finalists(storage, "rank", {0: BASE, 5: BEST})
    clean = summarize(storage, "rank")
    spoil(storage, "rank")
    spoilt = summarize(storage, "rank")
    assert spoilt.comparisons == clean.comparisons
    assert spoilt.answer[:-1] == clean.answer[:-1]
    assert "failed trainings are in no mean" in spoilt.answer[-1]


def test_a_search_whose_finalists_are_to_come_says_so(storage: Path) -> None:
    redefine(storage, finalists=3, finalist_seeds=[101])
    assert "planned for the 3 best, not done yet" in summarize(storage, "rank").answer[-1]


COSTS = [
    ("peak_memory_bytes", "peak memory (MB)"),
    ("optimizer_state_bytes", "optimizer state (MB)"),
    ("trainable_parameters", "trainable parameters (million)"),
    ("seconds_per_step", "seconds per step, mean"),
]


@pytest.mark.parametrize(("metric", "label"), COSTS)
@pytest.mark.parametrize("first", [False, True])
def test_costs_are_objectives(metric: str, label: str, first: bool, storage: Path) -> None:
    dice = {"metric": "dice", "direction": "maximize"}
    cost = {"metric": metric, "direction": "minimize"}
    redefine(storage, objectives=[cost, dice] if first else [dice, cost])
    rows, search = load(storage, "rank"), search_of(storage)
    k = 0 if first else 1
    assert search.labels[k] == label
    assert len(search.complete) == 8
    assert {t.best_epoch for t in search.complete} == {5}
    expected = {"peak_memory_bytes": (9e8 + 2 * state(rows)) / 1e6,
                "optimizer_state_bytes": state(rows) / 1e6,
                "trainable_parameters": int(state(rows) / 8) / 1e6,
                "seconds_per_step": 0.36}[metric]  # fmt: skip
    assert search.trials[0].values[k] == pytest.approx(expected)
    html = build(storage, ["rank"], storage / "r.html").read_text()
    assert f"{label} on val" not in html
    assert any(t.on_front for t in search.trials)


def state(rows: StudyRows) -> float:
    steps = rows.steps[rows.steps["trial_id"] == "t0"]
    return float(steps["optimizer_state_bytes"].max())


def test_trials_beyond_a_limit_are_among_no_best(storage: Path) -> None:
    free = search_of(storage)
    rows = load(storage, "rank")
    largest = rows.steps.groupby("trial_id")["peak_memory_bytes"].max()
    best = free.best(1)[0]
    limit = float(f"{largest[best.trial_id] * 0.999:g}")
    redefine(storage, constraints=[f"peak_memory_bytes at most {limit:g}", "dice at least 0.1"])
    search = search_of(storage)
    beyond = {t.trial_id for t in search.trials if t.status == "finished" and not t.allowed}
    finished = {t.trial_id for t in search.trials if t.status == "finished"}
    assert beyond == finished & set(largest.index[largest > limit])
    assert best.trial_id in beyond
    assert not beyond & {t.trial_id for t in (*search.best(20), *search.complete)}
    assert not any(t.on_front for t in search.trials if not t.allowed)
    html = build(storage, ["rank"], storage / "r.html").read_text()
    assert "went beyond and" in html
    assert "beyond a limit" in html


def test_trials_that_a_scheduler_stopped_are_no_failures(storage: Path) -> None:
    redefine(storage, scheduler={"name": "asha", "grace_period": 1})
    rows = load(storage, "rank")
    assert stopped_early(rows) == (
        "1 of 10 trials of the search were stopped early by asha: 1 after 2 epochs."
    )
    assert [f.trial_id for f in failures(rows)] == ["t3"]
    html = build(storage, ["rank"], storage / "r.html").read_text()
    assert "stopped early by asha" in html


def test_an_interrupted_run_is_told_in_words(storage: Path) -> None:
    rows = tables.read(storage, "rank", "trials").to_pylist()
    for row in rows[-2:]:
        tables.write(storage, "rank", "trials", [{**row, "status": "running", "error": None}])
    interrupted = load(storage, "rank")
    assert {f.status for f in failures(interrupted)} == {"failed", "running"}
    html = build(storage, ["rank"], storage / "r.html").read_text()
    assert "t8 and t9 had not ended when the tables were last written" in html


def test_answers_need_no_finalist(storage: Path) -> None:
    found = findings_of(storage, "rank")
    assert found.search is not None
    assert found.summary.answer == search_answer(found.search, None)
    assert json.dumps(found.summary.answer)
