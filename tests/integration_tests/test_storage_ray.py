"""Whole studies, on a local Ray cluster, whose results are kept in an S3 server on this machine."""

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from support.studies.tiny_studies import SEARCH

from segtune.cli import main
from segtune.execution.resources import Resources
from segtune.execution.training.job import trial_folder
from segtune.results import tables
from segtune.results.storage import Place, local_folder

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture
def store(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return f"s3://{bucket}/{tmp_path.name}"


def run(store: str, text: str, *options: str) -> int:
    Path("mine.py").write_text(text)
    return main(["run", "mine.py", "--storage", store, *options])


def rows(store: str, name: tables.TableName) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tables.read(store, "mine", name).to_pylist()
    return found


def test_a_search_goes_on_from_its_store(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(store, SEARCH) == 0
    before = tables.table_dir(store, "mine", "steps").stamps()
    assert run(store, SEARCH, "--num-samples", "+1") == 0
    after = tables.table_dir(store, "mine", "steps").stamps()
    assert before.items() < after.items(), "what was finished is not touched again"
    trials = sorted(rows(store, "trials"), key=lambda r: int(r["number"]))
    assert [(r["trial_id"], r["status"], r["attempt"]) for r in trials] == [
        (f"t{number}", "finished", 1) for number in range(4)
    ]
    journal = JournalFileBackend(str(local_folder(store, "mine") / "optuna.journal"))
    study = optuna.load_study(study_name="mine", storage=JournalStorage(journal))
    assert [t.params for t in study.trials] == [json.loads(r["changes"]) for r in trials]
    for trial in trials:
        (kept,) = trial_folder(store, "mine", trial["trial_id"]).folders()
        assert kept.name == "epoch-2"
    assert (Place.of(store) / "mine" / "running").files() == [], "the run lets go of it"

    capsys.readouterr()
    assert main(["status", "mine", "--storage", store]) == 0
    assert "4 trials, 4 finished" in capsys.readouterr().out
    assert main(["report", "mine", "--storage", store, "--out", "report.html"]) == 0
    assert "method.rank" in Path("report.html").read_text()


def test_workers_of_one_trial_share_a_store(store: str) -> None:
    assert run(store, SEARCH, "--workers", "2", "--num-samples", "1") == 0
    (trial,) = rows(store, "trials")
    assert (trial["trial_id"], trial["status"], trial["workers"]) == ("t0", "finished", 2)
    images = rows(store, "images")
    fields = ("trial_id", "split", "sample_id", "class_name", "metric", "protocol")
    keys = [tuple(r[f] for f in fields) for r in images]
    assert len(keys) == len(set(keys))


def test_one_worker_in_a_ray_train_run_trains_as_in_a_process(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, which this machine need not have."""
    found = []
    for in_train_run in (False, True):
        monkeypatch.setattr(Resources, "in_train_run", in_train_run)
        place = f"{store}/{in_train_run}"
        assert run(place, SEARCH, "--num-samples", "1") == 0
        (trial,) = rows(place, "trials")
        assert (trial["trial_id"], trial["status"], trial["workers"]) == ("t0", "finished", 1)
        losses = [(s["step"], s["loss"], s["gradient_norm"]) for s in rows(place, "steps")]
        scores = [(s["split"], s["metric"], s["value"]) for s in rows(place, "scores")]
        found.append((losses, sorted(scores)))
    assert found[0] == found[1]
