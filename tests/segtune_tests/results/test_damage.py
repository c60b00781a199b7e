"""Results that a disk has lost: told by name, in no mean, and trained again."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.report_tables import write_trial
from support.spec_jobs import Job

from segtune.cli import main
from segtune.execution import runner
from segtune.execution.repair import begin_again, remove_leftovers
from segtune.execution.resources import Resources
from segtune.observers.composite import CompositeObserver
from segtune.report.evidence.sequential.looks import undecided
from segtune.results import study_file, tables
from segtune.results.integrity.damage import find_damage
from segtune.results.integrity.parquet_files import DamagedTable
from segtune.results.storage import Place
from segtune.results.study_rows import load
from segtune.study.definition import define
from segtune.study.spec import Ablation

STUDY = Ablation(question="?", baseline=Job(), arms={"long": {"length": 3.0}}, seeds=(0, 1))
LOST, OTHER = "long-s0", "long-s1"


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """A study of four trials, all of them finished."""
    study_file.write(tmp_path, "mine", define("mine", STUDY))
    for arm in STUDY.all_arms():
        for seed in STUDY.all_seeds:
            write_trial(tmp_path, "mine", f"{arm}-s{seed}", 0.5, role="arm", arm=arm, seed=seed)
    return tmp_path


def file_of(storage: Path, table: tables.TrialTable, trial: str = LOST) -> Path:
    return storage / "mine" / "tables" / table / f"{trial}-a1.parquet"


def garbage(file: Path) -> None:
    file.write_bytes(b"no parquet at all")


def zeros(file: Path) -> None:
    """As after a loss of power."""
    file.write_bytes(bytes(file.stat().st_size))


@pytest.mark.parametrize("harm", [garbage, zeros, Path.unlink])
def test_without_its_scores_a_trial_is_not_finished(
    storage: Path, harm: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert find_damage(storage, "mine") == {}
    harm(file_of(storage, "scores"))
    assert list(find_damage(storage, "mine")) == [LOST]
    trials = load(storage, "mine").trials.set_index("trial_id")["status"]
    assert trials.pop(LOST) == "damaged"
    assert set(trials) == {"finished"}
    assert main(["status", "mine", "--storage", str(storage)]) == 0
    shown = capsys.readouterr().out
    assert "3 finished" in shown
    assert "1 damaged" in shown
    page = storage / "page.html"
    assert main(["report", "mine", "--storage", str(storage), "--out", str(page)]) == 0
    assert "3 finished, 1 damaged" in page.read_text()


def test_test_scores_that_others_have_are_missed(storage: Path) -> None:
    rows = tables.read(storage, "mine", "scores", trial_id=LOST).to_pylist()
    tables.write(storage, "mine", "scores", [r for r in rows if r["split"] == "val"])
    assert list(find_damage(storage, "mine")) == [LOST]
    for trial in ("baseline-s0", "baseline-s1", OTHER):  # data without a test split
        rows = tables.read(storage, "mine", "scores", trial_id=trial).to_pylist()
        tables.write(storage, "mine", "scores", [r for r in rows if r["split"] == "val"])
    assert find_damage(storage, "mine") == {}


@pytest.mark.parametrize("table", tables.TRIAL_TABLES)
def test_a_damaged_file_of_any_table_is_named_and_set_aside(
    storage: Path, table: tables.TrialTable, capsys: pytest.CaptureFixture[str]
) -> None:
    harmed = file_of(storage, table)
    garbage(harmed)
    with pytest.raises(DamagedTable, match=rf"{harmed} is damaged: .*\n`segtune run mine` trains"):
        tables.read(storage, "mine", table)
    checkpoint = storage / "mine" / "train" / LOST / "epoch-4"
    checkpoint.mkdir(parents=True)
    lost = find_damage(storage, "mine")
    begin_again(storage, "mine", lost)
    assert f"{LOST} is trained again: {harmed} is damaged" in capsys.readouterr().err
    assert not checkpoint.exists(), "the epochs before it are lost too"
    assert (storage / "mine" / "damaged" / table / harmed.name).is_file(), "nothing is deleted"
    assert find_damage(storage, "mine") == {}
    status = {
        r["trial_id"]: r["status"] for r in tables.read(storage, "mine", "trials").to_pylist()
    }
    assert status.pop(LOST, "gone") == ("gone" if table == "trials" else "failed")
    assert set(status.values()) == {"finished"}


def test_a_run_trains_what_is_lost(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Started(Exception):
        """Something would be trained."""

    def start(*given: object) -> None:
        raise Started

    monkeypatch.setattr("segtune.execution.order.check_data_and_weights", start)

    def run() -> int:
        asked = Resources(), CompositeObserver()
        return runner.run(STUDY, "mine", storage, *asked, undecided=undecided).ran

    assert run() == 0
    garbage(file_of(storage, "scores"))
    with pytest.raises(Started):
        run()


def test_what_killed_processes_left_half_written_goes(storage: Path) -> None:
    left = file_of(storage, "steps").with_name(f".{LOST}-a1.parquet.4711")
    left.touch()
    remove_leftovers(storage, "mine")
    assert not left.exists()
    assert file_of(storage, "steps").is_file()


def test_a_storage_that_is_gone_is_no_damage(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    garbage(file_of(storage, "scores"))  # so that it is read file by file

    def gone(self: Place) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Place, "read", gone)
    monkeypatch.setattr("segtune.results.integrity.parquet_files.PATIENCES", (0.01,))
    with pytest.raises(OSError, match="can't read .*: .*Input/output error"):
        find_damage(storage, "mine")
