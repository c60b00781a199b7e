"""A study's trials as runs of TensorBoard, MLflow and W&B: every epoch once, whatever happened."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import wandb
from mlflow import MlflowClient
from mlflow.entities import Run
from support.score_kinds import KINDS, Scored
from tensorboardX.proto.event_pb2 import Event
from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

from segtune.cli import main
from segtune.observers import tracking
from segtune.observers.tensorboard import TensorBoardTracker
from segtune.observers.tracking import Tracker, TrackingObserver
from segtune.observers.wandb import WandbTracker
from segtune.results import tables
from segtune.study.trial import Trial

TRIAL = Trial("a-s0", "arm", 0, Scored(), {"method": "lora"}, "a")
NAN = float("nan")
Curves = dict[str, list[tuple[int, float]]]


def report(epoch: int, **more: Any) -> dict[str, Any]:
    return {"epoch": epoch, "epochs": 3, "final": False, "loss": 1 / epoch,
            "val/assd": 9.0, "val/dice": epoch / 10, "best/dice": epoch / 10,
            "training_iteration": 7, **more}  # fmt: skip


def written(storage: Path, *epochs: int, status: str = "running", trial: Trial = TRIAL) -> None:
    """What a trial has left in the tables."""
    key = {"trial_id": trial.trial_id, "attempt": 1}
    tables.write(storage, "mine", "trials", [
        {**key, "role": "arm", "arm": trial.arm, "seed": trial.seed, "status": status,
         "error": "ValueError: no" if status == "failed" else None,
         "config": json.dumps({"method": {"name": "lora", "rank": 8}, "schedule": {"epochs": 3}}),
         "changes": json.dumps({"method": "lora"}), "best_epoch": max(epochs, default=None),
         "started": datetime(2026, 1, 1, tzinfo=UTC)},
    ])  # fmt: skip
    if not epochs:
        return
    tables.write(storage, "mine", "steps", [
        {**key, "step": 2 * e + i, "epoch": e, "loss": 1 / e + 0.1 * (2 * i - 1),
         "images_per_second": 4.0, "peak_memory_bytes": 10 * i}
        for e in epochs for i in (0, 1)
    ])  # fmt: skip
    dice = [
        (e, split, name) for e in epochs for split in ("val", "test") for name in ("macro", "ridge")
    ]
    tables.write(storage, "mine", "scores", [
        {**key, "epoch": e, "split": split, "class_name": name, "metric": metric,
         "protocol": "per_image", "resolution": "8x8", **KINDS[metric],
         "value": 9.0 if metric == "assd" else e / 10 if name == "macro" else 0.9}
        for e, split, name in dice for metric in ("dice", "assd")
        if split == "val" or e == max(epochs)
    ])  # fmt: skip


def observed(tracker: Tracker, storage: Path, said: list[str] | None = None) -> TrackingObserver:
    tracker.check()
    lines = [] if said is None else said
    return TrackingObserver(tracker, storage, "mine", lines.append)


# TensorBoard


def events(folder: Path) -> Iterator[Event]:
    """Of a run, as TensorBoard would read them."""
    (file,) = folder.glob("events.out.tfevents.*")
    data = file.read_bytes()
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        yield Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]


def curves(storage: Path) -> Curves:
    found: Curves = {}
    for event in events(storage / "mine" / "tensorboard" / "a-s0"):
        for value in event.summary.value:
            if value.HasField("simple_value"):
                found.setdefault(value.tag, []).append((event.step, round(value.simple_value, 6)))
    return found


def event_files(storage: Path) -> TrackingObserver:
    return observed(TensorBoardTracker(storage, "mine"), storage)


def test_curves_have_names_and_epochs(tmp_path: Path) -> None:
    written(tmp_path, 1)
    files = event_files(tmp_path)
    for epoch in (1, 2):
        files.reported(TRIAL, report(epoch, images_per_second=5.0, **{"val/nsd": NAN}))
    files.reported(TRIAL, report(1, final=True, **{"val/dice": 0.77}))
    files.ended(TRIAL, None)
    found = curves(tmp_path)
    assert found["val/dice"] == [(1, 0.1), (2, 0.2)]
    assert found["train/loss"] == [(1, 1.0), (2, 0.5)]
    assert found["train/images_per_second"] == [(1, 5.0), (2, 5.0)]
    assert found["val/assd_pixels"] == [(1, 9.0), (2, 9.0)]
    assert not [tag for tag in found if "/" not in tag], "nothing of Tune's own"


@pytest.mark.parametrize("goes_on_at", [3, 2, 1])
def test_a_resumed_trial_has_no_point_twice(tmp_path: Path, goes_on_at: int) -> None:
    """From its last checkpoint, from the one before, or from its beginning."""
    written(tmp_path, 1, 2)
    first = event_files(tmp_path)
    for epoch in (1, 2):
        first.reported(TRIAL, report(epoch))
    (file,) = (tmp_path / "mine" / "tensorboard" / "a-s0").iterdir()
    file.rename(file.with_name("events.out.tfevents.1000000000.host"))  # of an earlier second
    again = event_files(tmp_path)  # the first was killed
    for epoch in range(goes_on_at, 4):
        again.reported(TRIAL, report(epoch))
    found = curves(tmp_path)
    assert found["val/dice"] == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert [step for step, _ in found["train/loss"]] == [1, 2, 3]
    assert found["train/loss"][0] == (1, 1.0)


def test_a_worker_that_begins_again_within_a_run_doubles_nothing(tmp_path: Path) -> None:
    written(tmp_path, 1, 2)
    files = event_files(tmp_path)
    for epoch in (1, 2, 2, 3):
        files.reported(TRIAL, report(epoch))
    assert curves(tmp_path)["val/dice"] == [(1, 0.1), (2, 0.2), (3, 0.3)]


def test_what_a_full_disk_did_not_take_is_added_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, 1, 2, 3)
    in_the_way = tmp_path / "mine" / "tensorboard"
    in_the_way.write_text("a file where the folder would be")
    said: list[str] = []
    with observed(TensorBoardTracker(tmp_path, "mine"), tmp_path, said) as files:
        files.reported(TRIAL, report(1))
        in_the_way.unlink()
        files.reported(TRIAL, report(2))
        assert not in_the_way.exists(), "it is not asked again at once: each time may take long"
        monkeypatch.setattr(tracking, "PAUSE", 0)
        files.reported(TRIAL, report(3))
    (once,) = said
    assert "tensorboard takes nothing" in once
    assert curves(tmp_path)["val/dice"] == [(1, 0.1), (2, 0.2), (3, 0.3)]
    in_the_way.rename(in_the_way.with_name("moved"))
    in_the_way.write_text("a file again")
    with observed(TensorBoardTracker(tmp_path, "mine"), tmp_path, said) as files:
        files.ended(TRIAL, None)
    assert "segtune sync mine --to tensorboard" in said[-1]


# W&B, offline


def records(file: Path) -> Iterator[Record]:
    """Of a run that stayed offline: blocks of 32 KB, of pieces with a header of 7 bytes each."""
    data, at, whole = file.read_bytes(), 7, b""
    while at < len(data):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or its last piece
            yield Record.FromString(whole)
            whole = b""


def offline_run(storage: Path) -> tuple[Curves, dict[str, Any], Record]:
    (file,) = (storage / "mine" / "wandb").glob("offline-run-*/*.wandb")
    for _ in range(100):  # W&B's own process writes it, a moment after the run has ended
        if any(record.HasField("exit") for record in records(file)):
            break
        time.sleep(0.1)
    points: Curves = {}
    summary: dict[str, Any] = {}
    for record in records(file):
        row = {i.key or "/".join(i.nested_key): i.value_json for i in record.history.item}
        for name, value in row.items():
            if "/" in name:
                points.setdefault(name, []).append((int(row["_step"]), json.loads(value)))
        summary |= {i.key: json.loads(i.value_json) for i in record.summary.update}
        if record.HasField("run"):
            about = record
    return points, summary, about


def test_wandb_has_a_run_in_the_group_of_its_arm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(sys, "argv", ["segtune", "run", "mine", "--notify", "https://secret"])
    written(tmp_path, 1, 2)
    with observed(WandbTracker(tmp_path, "mine"), tmp_path) as first:
        first.reported(TRIAL, report(1))
    again = observed(WandbTracker(tmp_path, "mine"), tmp_path)  # the first was interrupted
    again.reported(TRIAL, report(3))
    again.reported(TRIAL, report(3, final=True))
    again.ended(TRIAL, None)
    points, summary, about = offline_run(tmp_path)
    assert points["val/dice"] == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert summary["test/dice"] == 0.2
    assert summary["status"] == "finished"
    assert (about.run.display_name, about.run.run_group) == ("a-s0", "a")
    kept = b"".join(f.read_bytes() for f in (tmp_path / "mine").rglob("*") if f.is_file())
    assert b"https://secret" not in kept, "W&B keeps the command line unless told not to"
    assert main(["sync", "mine", "--storage", str(tmp_path), "--to", "wandb"]) == 0  # it still runs
    written(tmp_path, 1, 2, status="failed")
    assert main(["sync", "mine", "--storage", str(tmp_path), "--to", "wandb"]) == 0
    points, summary, _ = offline_run(tmp_path)
    assert [epoch for epoch, _ in points["train/loss"]] == [1, 2]
    assert summary["error"] == "ValueError: no"
    wandb.teardown()


# MLflow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of MLflow with SQLite on a free port of this machine."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port",
         address.rpartition(":")[2], "--backend-store-uri", f"sqlite:///{folder}/runs.db"],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=(folder / "log").open("w"),
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}, start_new_session=True,
    )  # fmt: skip
    try:
        for _ in range(600):
            assert process.poll() is None, (folder / "log").read_text()
            try:
                urllib.request.urlopen(f"{address}/health", timeout=1)
                break
            except OSError:
                time.sleep(0.5)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def runs(server: str) -> dict[str, Run]:
    client = MlflowClient(server)
    experiment = client.get_experiment_by_name("mine")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    assert len({run.info.run_name for run in found}) == len(found), "none is there twice"
    return {run.info.run_name: run for run in found}


def steps(server: str, run: Run, curve: str) -> list[tuple[int, float]]:
    points = MlflowClient(server).get_metric_history(run.info.run_id, curve)
    return sorted((p.step, p.value) for p in points)


@pytest.mark.slow
def test_mlflow_has_a_run_below_that_of_its_arm(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segtune.observers.mlflow import MLflowTracker

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    written(tmp_path, 1)
    first = observed(MLflowTracker("mine"), tmp_path)
    first.reported(TRIAL, report(1, **{"val/assd": NAN}))
    written(tmp_path, 1, 2, 3)
    again = observed(MLflowTracker("mine"), tmp_path)  # the first was killed after epoch 2
    for epoch in (2, 3, 2, 3):
        again.reported(TRIAL, report(epoch))
    assert runs(server)["a-s0"].info.status == "RUNNING"
    again.reported(TRIAL, report(3, final=True))
    again.ended(TRIAL, None)
    other = Trial("b-s0", "arm", 0, Scored(), {}, "b")
    written(tmp_path, 1, 2, status="failed", trial=other)
    for _ in range(2):  # the second time changes nothing
        assert main(["sync", "mine", "--storage", str(tmp_path), "--to", "mlflow"]) == 0
    found = runs(server)
    assert set(found) == {"a", "a-s0", "b", "b-s0"}
    run = found["a-s0"]
    assert run.data.tags["mlflow.parentRunId"] == found["a"].info.run_id
    assert (run.info.status, run.data.tags["segtune.status"]) == ("FINISHED", "finished")
    assert run.data.params["method"] == "lora"
    assert run.data.params["method.rank"] == "8"
    assert steps(server, run, "val/dice") == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert steps(server, run, "test/dice") == [(3, 0.3)]
    failed = found["b-s0"]
    assert (failed.info.status, failed.data.tags["segtune.error"]) == ("FAILED", "ValueError: no")
    assert [epoch for epoch, _ in steps(server, failed, "train/loss")] == [1, 2]


def test_no_server_is_told_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    written(tmp_path, 1, status="finished")
    assert main(["sync", "mine", "--storage", str(tmp_path), "--to", "mlflow"]) == 2
    said = capsys.readouterr().err
    assert "MLflow at http://127.0.0.1:9 does not take runs" in said
    assert "MLFLOW_TRACKING_URI" in said
    assert "secret" not in said
    assert main(["sync", "other", "--storage", str(tmp_path), "--to", "mlflow"]) == 2
    assert "studies there: mine" in capsys.readouterr().err
