"""Whole studies, on a local Ray cluster, whose results are kept in an S3 server on this machine."""

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from segtune import table
from segtune.checkpoints import trial_folder
from segtune.cli import main
from segtune.storage import Place, beside

pytestmark = [pytest.mark.ray, pytest.mark.slow]

STUDY = """
from dataclasses import replace

from optuna.distributions import IntDistribution
from segcore.data.synthetic_liver import SyntheticLiver
from segcore.presets import nano
from segcore.schedule import Schedule
from segtune.changes import apply
from segtune.spec import Ablation, Search

TINY = replace(
    nano(),
    data=SyntheticLiver(train=8, val=4, test=4, root="scenes"),
    schedule=Schedule(epochs=2, batch_size=4, warmup_steps=1),
)
"""
SEARCH = (
    STUDY
    + """
def study():
    return Search(
        question="Does it search?",
        baseline=apply(TINY, {"method": "srft_galore"}),
        space={"method.rank": IntDistribution(2, 16, log=True)},
        num_samples=2,
    )
"""
)
ABLATION = (
    STUDY
    + """
def study():
    return Ablation(
        question="Does it run?",
        baseline=apply(TINY, {"method": "frozen"}),
        baseline_arm="frozen",
        arms={"srft_galore": {"method": "srft_galore"}},
        seeds=(0,),
    )
"""
)


@pytest.fixture
def store(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return f"s3://{bucket}/{tmp_path.name}"


def run(store: str, text: str, *options: str) -> int:
    Path("mine.py").write_text(text)
    return main(["run", "mine.py", "--storage", store, *options])


def rows(store: str, name: table.TableName) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = table.read(store, "mine", name).to_pylist()
    return found


def test_a_search_goes_on_from_its_store(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(store, SEARCH) == 0
    before = table.table_dir(store, "mine", "steps").stamps()
    assert run(store, SEARCH, "--num-samples", "+1") == 0
    after = table.table_dir(store, "mine", "steps").stamps()
    assert before.items() < after.items(), "what was finished is not touched again"
    trials = sorted(rows(store, "trials"), key=lambda r: int(r["number"]))
    assert [(r["trial_id"], r["status"], r["attempt"]) for r in trials] == [
        ("t0", "finished", 1),
        ("t1", "finished", 1),
        ("t2", "finished", 1),
    ]
    journal = JournalFileBackend(str(beside(store, "mine") / "optuna.journal"))
    study = optuna.load_study(study_name="mine", storage=JournalStorage(journal))
    assert [t.params for t in study.trials] == [json.loads(r["changes"]) for r in trials]
    for trial in trials:
        (kept,) = trial_folder(store, "mine", trial["trial_id"]).folders()
        assert kept.name == "epoch-2"
    assert (Place.of(store) / "mine" / "running").files() == [], "the run lets go of it"

    capsys.readouterr()
    assert main(["status", "mine", "--storage", store]) == 0
    assert "3 trials, 3 finished" in capsys.readouterr().out
    assert main(["report", "mine", "--storage", store, "--out", "report.html"]) == 0
    assert "method.rank" in Path("report.html").read_text()


def test_workers_of_one_trial_share_a_store(store: str) -> None:
    assert run(store, ABLATION, "--workers", "2") == 0
    assert {(r["trial_id"], r["status"], r["workers"]) for r in rows(store, "trials")} == {
        ("frozen-s0", "finished", 2),
        ("srft_galore-s0", "finished", 2),
    }
    images = rows(store, "images")
    fields = ("trial_id", "split", "sample_id", "class_name", "metric", "protocol")
    keys = [tuple(r[f] for f in fields) for r in images]
    assert len(keys) == len(set(keys))
