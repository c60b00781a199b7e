"""Whole studies on a local Ray cluster."""

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from support.studies.tiny_studies import ABLATION, SEARCH, STUDY

from segtune.cli import main
from segtune.results import tables
from segtune.search.results_store import ParquetResultsStore
from segtune.study.trial import Trial

pytestmark = [pytest.mark.ray, pytest.mark.slow]

TUNED = ABLATION.replace(
    "seeds=(0,),",
    """seeds=(0,),
        tune={"frozen": {"optim.lr": (1e-3, 3e-3)}, "srft_galore": {"method.lr": (1e-3, 3e-3)}},""",
)
RELEASED = ABLATION.replace(
    'arms={"srft_galore": {"method": "srft_galore"}}',
    """arms={
            "srft_galore": {"method": "srft_galore"},
            "released": {"method": "srft_galore", "method.refresh_from": "previous"},
        }""",
)
FAILING = (
    STUDY
    + """
def study():
    return Ablation(
        question="What if one arm diverges?",
        baseline=apply(TINY, {"method": "frozen"}),
        baseline_arm="frozen",
        arms={"wild": {"method": "full", "method.lr": 1.0, "optim.lr": 1.0,
                       "optim.clip_norm": None, "system.loss.ce_weight": 1e39}},
        seeds=(0,),
    )
"""
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return tmp_path


def run(folder: Path, text: str, *options: str) -> int:
    (folder / "mine.py").write_text(text)
    return main(["run", "mine.py", "--storage", str(folder / "results"), *options])


def test_a_budget_ends_a_run_and_a_larger_one_goes_on(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    priced = ("--price-per-hour", "3600EUR", "--concurrent", "1")  # a Euro a second
    assert run(folder, ABLATION, *priced, "--budget", "0.01EUR") == 4
    [first] = rows(folder, "trials")
    assert (first["status"], first["price_per_hour"], first["currency"]) == (
        "finished",
        3600,
        "EUR",
    )
    took = (first["ended"] - first["started"]).total_seconds()
    assert first["seconds"] == pytest.approx(took, abs=0.5)
    assert "Trials of mine that are missing: 1, some" in capsys.readouterr().out
    assert run(folder, ABLATION, *priced, "--budget", "9000EUR") == 0
    assert [r["status"] for r in rows(folder, "trials")] == ["finished"] * 2


def test_several_studies_in_one_ray(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "other.py").write_text(SEARCH.replace("num_samples=3", "num_samples=1"))
    (folder / "wild.py").write_text(FAILING)
    (folder / "mine.py").write_text(ABLATION)
    storage = ("--storage", str(folder / "results"))
    assert main(["run", "wild.py", "other.py", "mine.py", *storage]) == 1
    out = capsys.readouterr().out
    assert "3 studies: wild failed, other finished, mine finished." in out
    for study, count in (("wild", 1), ("other", 1), ("mine", 2)):
        statuses = [r["status"] for r in rows(folder, "trials", study)]
        assert statuses.count("finished") == count


def rows(folder: Path, name: tables.TableName, study: str = "mine") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tables.read(folder / "results", study, name).to_pylist()
    return found


def test_ablation_from_a_users_file_tunes_runs_tests_and_reports(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, TUNED) == 0
    assert (folder / "scenes").is_dir(), "a relative place is the user's, not the worker's"
    trials = {r["trial_id"]: r for r in rows(folder, "trials")}
    assert set(trials) == {
        *("frozen-t0", "frozen-t1", "srft_galore-t0", "srft_galore-t1"),
        *("frozen-s0", "srft_galore-s0"),
    }
    assert {r["status"] for r in trials.values()} == {"finished"}
    tested = {r["trial_id"] for r in rows(folder, "scores") if r["split"] == "test"}
    assert tested == {"frozen-s0", "srft_galore-s0"}, "tuning never sees test"
    _assert_the_better_candidate_was_taken(trials, rows(folder, "scores"))
    assert {r["kind"] for r in rows(folder, "pictures")} == {
        "image",
        "depth",
        "truth",
        "prediction",
    }
    for trial_id in trials:  # at most the promised number of checkpoints
        assert len(list((folder / "results/mine/train" / trial_id).glob("epoch-*"))) == 1

    before = {p: p.stat().st_mtime_ns for p in (folder / "results").rglob("*") if p.is_file()}
    capsys.readouterr()
    assert run(folder, TUNED) == 0
    assert "Nothing to do" in capsys.readouterr().out
    after = {p: p.stat().st_mtime_ns for p in (folder / "results").rglob("*") if p.is_file()}
    assert before == after

    report = folder / "report.html"
    assert main(["report", "mine", "--storage", "results", "--out", str(report)]) == 0
    assert "srft_galore" in report.read_text()


def _assert_the_better_candidate_was_taken(
    trials: Mapping[str, Mapping[str, Any]], scores: list[dict[str, Any]]
) -> None:
    def dice(trial_id: str) -> float:
        best = trials[trial_id]["best_epoch"]
        return next(
            float(s["value"])
            for s in scores
            if (s["trial_id"], s["epoch"], s["split"]) == (trial_id, best, "val")
            and (s["class_name"], s["metric"]) == ("macro", "dice")
        )

    for arm, field in (("frozen", "optim.lr"), ("srft_galore", "method.lr")):
        better = max((f"{arm}-t0", f"{arm}-t1"), key=dice)
        chosen = json.loads(trials[f"{arm}-s0"]["changes"])[field]
        assert chosen == json.loads(trials[better]["changes"])[field]


def test_search_journal_and_tables_agree_and_it_can_grow(folder: Path) -> None:
    assert run(folder, SEARCH) == 0
    _assert_agreement(folder, 3)
    first = [json.loads(r["changes"]) for r in rows(folder, "trials")]
    assert first[0] == {"method.rank": 8, "system.fusion.query": "depth"}, "the baseline"
    assert run(folder, SEARCH, "--num-samples", "4") == 0
    _assert_agreement(folder, 4)
    again = [json.loads(r["changes"]) for r in rows(folder, "trials")]
    assert again[:3] == first
    assert not [r for r in rows(folder, "scores") if r["split"] == "test"]


def test_a_result_that_can_not_be_read_fails_its_trial_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    costly = SEARCH.replace(
        "num_samples=3,",
        """num_samples=3,
        objectives=(Objective("dice", "maximize"), Objective("seconds_per_step", "minimize")),""",
    ).replace("Ablation, Search", "Ablation, Objective, Search")
    read = ParquetResultsStore.costs

    def costs(self: ParquetResultsStore, trial: Trial) -> Mapping[str, float]:
        if trial.trial_id == "t0":
            raise OSError("can't read results/mine/tables/steps/t0-a1.parquet")
        return read(self, trial)

    with monkeypatch.context() as patch:
        patch.setattr(ParquetResultsStore, "costs", costs)
        assert run(folder, costly) == 1
    assert "1 of 3 trials failed: t0." in capsys.readouterr().out
    trials = {r["trial_id"]: r for r in rows(folder, "trials")}
    assert [(t["status"], t["attempt"]) for t in trials.values()] == [
        ("failed", 1),
        ("finished", 1),
        ("finished", 1),
    ]
    assert "t0-a1.parquet" in trials["t0"]["error"]
    assert run(folder, costly) == 0
    assert [r["status"] for r in rows(folder, "trials")] == ["finished"] * 3


def _assert_agreement(folder: Path, count: int) -> None:
    journal = JournalFileBackend(str(folder / "results/mine/optuna.journal"))
    study = optuna.load_study(study_name="mine", storage=JournalStorage(journal))
    trials = sorted(rows(folder, "trials"), key=lambda r: int(r["number"]))
    scores = rows(folder, "scores")
    assert len(study.trials) == len(trials) == count
    assert study.metric_names == ["dice", "assd"]
    for asked, row in zip(study.trials, trials, strict=True):
        assert asked.state.name == "COMPLETE"
        assert row["status"] == "finished"
        assert asked.user_attrs["trial_id"] == row["trial_id"] == f"t{asked.number}"
        assert asked.params == json.loads(row["changes"])
        at_best = {
            s["metric"]: s["value"]
            for s in scores
            if (s["trial_id"], s["epoch"], s["class_name"])
            == (row["trial_id"], row["best_epoch"], "macro")
        }
        assert asked.values == [at_best["dice"], at_best["assd"]]


def test_two_workers_train_as_one(folder: Path) -> None:
    for name, workers in (("one", 1), ("two", 2)):
        assert run(folder, RELEASED, "--name", name, "--workers", str(workers)) == 0
    one, two = (
        {(r["trial_id"], r["step"]): r["loss"] for r in rows(folder, "steps", name)}
        for name in ("one", "two")
    )
    assert one.keys() == two.keys()
    assert {r["workers"] for r in rows(folder, "trials", "two")} == {2}
    for (trial_id, step), loss in one.items():
        if step == 1:
            assert two[trial_id, step] == pytest.approx(loss, rel=1e-6)
        elif step <= 2:  # the first epoch
            assert two[trial_id, step] == pytest.approx(loss, rel=1e-3)
    sent = {(r["trial_id"], r["step"]): r["reduced_bytes"] for r in rows(folder, "steps", "two")}
    assert sent["frozen-s0", 1] < sent["released-s0", 2] < 0.6 * sent["srft_galore-s0", 2]
    assert not any(r["reduced_bytes"] for r in rows(folder, "steps", "one"))
    images = rows(folder, "images", "two")
    fields = ("trial_id", "split", "sample_id", "class_name", "metric", "protocol")
    keys = [tuple(r[f] for f in fields) for r in images]
    assert len(keys) == len(set(keys)) == len(rows(folder, "images", "one"))


def test_a_failed_trial_says_why_and_the_others_go_on(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, FAILING) == 1
    assert "wild-s0" in capsys.readouterr().out
    trials = {r["trial_id"]: r for r in rows(folder, "trials")}
    assert trials["frozen-s0"]["status"] == "finished"
    assert trials["wild-s0"]["status"] == "failed"
    assert "TrainingDiverged: the loss is" in trials["wild-s0"]["error"]


def test_ctrl_c_is_no_end_and_the_same_command_goes_on(folder: Path) -> None:
    (folder / "mine.py").write_text(ABLATION)
    command = [str(Path(sys.executable).parent / "segtune"), "run", "mine.py", "--concurrent", "1"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "best val Dice" in line:
            process.send_signal(signal.SIGINT)
            break
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "the same command goes on from here" in errors
    first = {r["trial_id"]: r for r in rows(folder, "trials")}
    assert first["frozen-s0"]["attempt"] == 1
    assert {r["status"] for r in first.values()} <= {"finished", "cancelled"}
    assert main(command[1:]) == 0
    trials = {r["trial_id"]: r for r in rows(folder, "trials")}
    assert {r["status"] for r in trials.values()} == {"finished"}
    assert set(trials) == {"frozen-s0", "srft_galore-s0"}
    assert trials["frozen-s0"]["attempt"] == 1, "a finished trial is not repeated"
