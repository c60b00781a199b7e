"""A training in a process of its own: what becomes of it when things go wrong. No Ray here."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch

from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.presets import nano
from segcore.training.events import Evaluation
from segcore.training.runtime import Runtime
from segcore.training.schedule import Schedule
from segtune.execution.training import checkpoints, subprocess_trainer, worker
from segtune.execution.training.job import Job, Metrics, trial_folder
from segtune.execution.training.subprocess_trainer import ProcessDied, TrainingProcess, _death
from segtune.results import tables
from segtune.results.provenance import find_origin
from segtune.results.storage import Place, Storage
from segtune.results.trial_rows import record_pruned, trial_row
from segtune.study.overrides import apply
from segtune.study.trial import PackedTrial, Trial

pytestmark = pytest.mark.usefixtures("bucket")  # before what trainings are forked from begins
EPOCHS = 3


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scenes")


def job(storage: Storage, scenes: Path, name: str = "a-s0", patience: float = 600) -> Job:
    config = replace(
        nano(),
        data=SyntheticLiver(train=8, val=2, test=2, root=str(scenes)),
        schedule=Schedule(epochs=EPOCHS, batch_size=4, warmup_steps=1),
    )
    trial = Trial(name, "arm", 0, apply(config, {"method": "frozen"}), {}, "a")
    return Job(PackedTrial.of(trial), "study", storage, find_origin(), patience, cpus=1, gpus=0)


@pytest.fixture
def started(storage: Place, scenes: Path) -> Iterator[TrainingProcess]:
    process = TrainingProcess(job(storage, scenes))
    yield process
    process.end()


def rows(storage: Storage, name: tables.TableName) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tables.read(storage, "study", name).to_pylist()
    return found


def drain(process: TrainingProcess) -> list[Metrics]:
    reports: list[Metrics] = []
    while not reports or not (reports[-1].get("final") or "error" in reports[-1]):
        reports.append(process.next())
    return reports


def kill(process: TrainingProcess) -> None:
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)


def wait_for(checkpoint: Place) -> None:
    """It is written while the training goes on, or waits to be asked for more."""
    deadline = time.monotonic() + 100
    while not (checkpoint / "config.json").is_file():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def epochs_of(storage: Storage, attempt: int) -> set[int]:
    """Which epochs an attempt has trained."""
    steps = tables.read_file(storage, "study", "steps", f"a-s0-a{attempt}.parquet")
    return set(steps["epoch"].to_pylist())


def losses(storage: Storage) -> dict[int, float]:
    return {r["step"]: r["loss"] for r in rows(storage, "steps")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, scenes: Path) -> dict[int, float]:
    storage = tmp_path_factory.mktemp("undisturbed")
    process = TrainingProcess(job(storage, scenes))
    reports = drain(process)
    process.end()
    assert [m["epoch"] for m in reports[:-1]] == [1, 2, 3]
    assert reports[-1]["final"]
    assert float(reports[0]["images_per_second"]) > 0
    assert float(reports[0]["peak_memory_bytes"]) > 1e8
    (trial,) = rows(storage, "trials")
    assert trial["status"] == "finished"
    return losses(storage)


def test_what_decodes_is_hashed_before_a_training_is_forked(
    tmp_path: Path, scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a training imports later may have been edited since."""
    forkserver = Mock()
    monkeypatch.setattr(subprocess_trainer, "_FORKSERVER", forkserver)
    monkeypatch.setattr(TrainingProcess, "_start", Mock())
    TrainingProcess(job(tmp_path, scenes))
    (preloaded,) = forkserver.set_forkserver_preload.call_args.args
    first = preloaded.index("segcore.data.decoded")
    assert first < preloaded.index("segtune.execution.training.worker")


def test_a_killed_training_goes_on_from_its_checkpoint(
    started: TrainingProcess, storage: Place, undisturbed: dict[int, float]
) -> None:
    assert started.next()["epoch"] == 1
    folder = trial_folder(storage, "study", "a-s0")
    wait_for(folder / "epoch-1")
    kill(started)
    reports = drain(started)
    assert [m["epoch"] for m in reports[:-1]] == [2, 3]
    assert epochs_of(storage, attempt=2) == {2, 3}, "what was done is not done again"
    assert losses(storage) == undisturbed
    (trial,) = rows(storage, "trials")
    assert (trial["status"], trial["attempt"], trial["error"]) == ("finished", 2, None)
    images = rows(storage, "images")
    keys = {
        (r["split"], r["sample_id"], r["class_name"], r["metric"], r["protocol"]) for r in images
    }
    assert len(keys) == len(images)
    (kept,) = folder.folders()
    assert kept.name == "epoch-3"
    used = {"best.safetensors", "config.json"}
    assert {file.name for file in kept.files()} == used, "nothing will go on from it"


def test_a_frozen_training_is_killed_and_what_was_not_written_is_trained_again(
    tmp_path: Path, scenes: Path, undisturbed: dict[int, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own watchdog is a thread of it, and frozen too. The epoch that it has told of is not told
    of again."""
    frozen = TrainingProcess(job(tmp_path, scenes))
    died: list[str] = []
    try:
        assert frozen.next()["epoch"] == 1
        assert frozen.pid is not None
        written = trial_folder(tmp_path, "study", "a-s0") / "epoch-1"
        wait_for(written)
        os.kill(frozen.pid, signal.SIGSTOP)
        written.remove()  # as if it had been killed before
        wait, patience = frozen._wait_for_report, frozen._job.patience

        def wait_shortly() -> None:
            with monkeypatch.context() as patch:
                patch.setattr(subprocess_trainer, "GRACE", 1 - patience)
                try:
                    wait()
                except ProcessDied as error:
                    monkeypatch.setattr(frozen, "_wait_for_report", wait)
                    died.append(str(error))
                    raise

        monkeypatch.setattr(frozen, "_wait_for_report", wait_shortly)
        assert [m["epoch"] for m in drain(frozen)[:-1]] == [2, 3]
    finally:
        frozen.end()
    assert died[0].startswith("frozen: no sign of life for 0.0 minutes")
    assert "not obeyed" not in died[0]
    assert epochs_of(tmp_path, attempt=2) == {1, 2, 3}
    assert losses(tmp_path) == undisturbed


@pytest.mark.slow
def test_a_training_that_is_killed_again_fails_and_says_so(
    started: TrainingProcess, storage: Place
) -> None:
    started.next()
    kill(started)
    assert started.next()["epoch"] == 2
    kill(started)
    assert "killed by signal 9" in str(started.next()["error"])
    (trial,) = rows(storage, "trials")
    assert trial["status"] == "failed"
    assert "killed by signal 9, as a machine does that runs out of memory" in trial["error"]
    assert trial["ended"] is not None


@pytest.mark.slow
def test_a_hanging_training_is_given_up_and_says_where(tmp_path: Path) -> None:
    """A test image is read after the last epoch; that of a file server that is gone, never."""
    process = TrainingProcess(job(tmp_path, tmp_path / "scenes", patience=20))
    assert process.next()["epoch"] == 1
    kill(process)
    first = tmp_path / "study/train/a-s0/hang-a1.txt"
    first.write_text("where it hung before")
    assert process.next()["epoch"] == 2
    image = next((tmp_path / "scenes" / "Test").rglob("*.jpg"))
    image.unlink()
    os.mkfifo(image)
    reports = drain(process)
    process.end()
    assert [m["epoch"] for m in reports[:-1]] == [3]
    assert "hung: no step for 0.333333 minutes" in str(reports[-1]["error"])
    assert ", in File" in str(reports[-1]["error"]), "the innermost call"
    assert "_die_with_parent" not in str(reports[-1]["error"]), "of the main thread"
    (trial,) = rows(tmp_path, "trials")
    assert (trial["status"], trial["attempt"]) == ("failed", 2)
    stacks = sorted(first.parent.glob("hang-*.txt"))
    assert [s.name for s in stacks] == ["hang-a1.txt", "hang-a2.txt"], "the first is kept too"
    assert "segcore" in stacks[1].read_text()


def test_a_process_that_died_while_it_said_where_it_hung_did_hang(
    tmp_path: Path, scenes: Path
) -> None:
    """Stacks are read while their threads run: that itself may end the process by a signal."""
    gone = job(tmp_path, scenes)
    (gone.folder / "hang-a0.txt").write(b"Timeout (0:00:06)!\nThread 0x1 (most recent call")
    message = _death(-signal.SIGSEGV, gone)
    assert message.startswith("hung: no step for 10 minutes, in an unknown place")


def _drive(storage: Path, scenes: Path) -> None:
    process = TrainingProcess(job(storage, scenes))
    process.next()
    (storage / ".pid").write_text(str(process.pid))
    (storage / ".pid").rename(storage / "pid")
    time.sleep(600)


@pytest.mark.slow
def test_it_ends_with_who_started_it(tmp_path: Path, scenes: Path) -> None:
    """The driver of a trial may be killed in the middle of an epoch of an hour."""
    driver = multiprocessing.get_context("spawn").Process(target=_drive, args=(tmp_path, scenes))
    driver.start()
    deadline = time.monotonic() + 200
    while not (tmp_path / "pid").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    training = int((tmp_path / "pid").read_text())
    driver.kill()
    driver.join()
    while Path(f"/proc/{training}/status").exists():
        if "State:\tZ" in Path(f"/proc/{training}/status").read_text():
            break
        assert time.monotonic() < deadline, "it goes on without its driver"
        time.sleep(0.1)


def test_stopped_between_epochs_it_leaves_everything_whole(
    started: TrainingProcess, storage: Place
) -> None:
    started.next()
    started.end()
    assert {r["epoch"] for r in rows(storage, "steps")} == {1}
    folder = trial_folder(storage, "study", "a-s0")
    assert checkpoints.newest(folder) == folder / "epoch-1"


def told_by(work_job: Job) -> list[Metrics]:
    reports: list[Metrics] = []
    worker.work(work_job, Runtime(), reports.append)
    return reports


def test_out_of_memory_says_what_to_do(
    tmp_path: Path, scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Iterator[Evaluation]:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        yield

    monkeypatch.setattr(worker, "train", full)
    with pytest.raises(torch.OutOfMemoryError) as caught:
        told_by(job(tmp_path, scenes))
    message = worker.cause_of(caught.value)
    assert message.startswith("OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.")
    assert "smaller schedule.microbatch_size" in message


def test_where_a_trial_comes_from_is_in_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGTUNE_GIT_COMMIT", "abc123")
    monkeypatch.setenv("SEGTUNE_STUDY_COMMIT", "def456")
    origin = find_origin()
    row = trial_row(job(Path("storage"), Path("scenes")).trial.unpack(), origin, 1)
    assert (row["git_commit"], row["study_commit"]) == ("abc123", "def456")
    assert row["command"] == origin.command


def test_what_a_scheduler_stopped_stays_stopped(tmp_path: Path, scenes: Path) -> None:
    """The workers of several train on while their driver is being ended."""
    stopped, reports = job(tmp_path, scenes), list[Metrics]()

    def tell(metrics: Metrics) -> None:
        reports.append(metrics)
        record_pruned(tmp_path, "study", stopped.trial.trial_id, 1)

    worker.work(stopped, Runtime(), tell)
    assert len(reports) == 1
    (trial,) = rows(tmp_path, "trials")
    assert (trial["status"], trial["stopped_epoch"]) == ("pruned", 1)
    assert {r["epoch"] for r in rows(tmp_path, "steps")} == {1}


@pytest.mark.parametrize(("cpus", "whole"), [(0.5, 1), (1, 1), (2.9, 2)])
def test_a_worker_keeps_as_many_cpus_busy_as_ray_gave_it(
    cpus: float, whole: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int] = []
    monkeypatch.setattr(
        "segtune.execution.training.worker.work",
        lambda job, runtime, *_: given.append(runtime.cpus),
    )
    monkeypatch.setattr(subprocess_trainer, "_die_with_parent", lambda: None)
    subprocess_trainer._train(replace(job(tmp_path, tmp_path), cpus=cpus), Mock(), Mock())
    assert given == [whole]
