"""The fault matrix on a real Ray: what is killed, filled or spoilt, and the same command again.

What needs no Ray stands in test_process.py, test_lock.py and test_spec.py. Every fault ends in the
same place: `whole` asks that the tables are those of a study that nothing happened to.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import ray
from ray.cluster_utils import Cluster
from support.ray_head import free_ports, head_node
from support.studies.tiny_studies import SEARCH

from segcore.train import train
from segcore.training.runtime import Runtime
from segtune.results import tables
from segtune.results.status.study import read_status
from segtune.study import catalog

pytestmark = [pytest.mark.ray, pytest.mark.slow]
SEGTUNE = str(Path(sys.executable).parent / "segtune")
STUDY = """
from dataclasses import replace

from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.presets import nano
from segcore.training.schedule import Schedule
from segtune.study.overrides import apply
from segtune.study.spec import Ablation

TINY = replace(
    nano(),
    data=SyntheticLiver(train=8, val=4, test=4, root={root!r}),
    schedule=Schedule(epochs=4, batch_size=4, warmup_steps=1),
)


def study():
    return Ablation(
        question="Does it survive?",
        baseline=apply(TINY, {{"method": "frozen"}}),
        baseline_arm="frozen",
        arms={{"srft_galore": {{"method": "srft_galore"}}}},
        seeds=(0,),
    )
"""
TRIALS = {"frozen-s0", "srft_galore-s0"}
TRAINING = "segtune.execution.training.worker"
"""In the title of the process that trainings are forked from, and of theirs."""
SECONDS = 400
"""Most that a test waits for anything."""


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scenes")


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


class Study:
    """The study, its results, and the command that runs it."""

    def __init__(self, folder: Path, scenes: Path, storage: Path | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file, self.storage = folder / "mine.py", storage or folder / "results"
        self.file.write_text(STUDY.format(root=str(scenes)))

    def start(self, *options: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [SEGTUNE, "run", str(self.file), "--storage", str(self.storage), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *options: str) -> tuple[int, str]:
        process = self.start(*options)
        output, _ = process.communicate(timeout=SECONDS)
        return process.returncode, output

    def rows(self, name: tables.TableName) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = tables.read(self.storage, "mine", name).to_pylist()
        return found

    def trials(self) -> dict[str, dict[str, Any]]:
        return {r["trial_id"]: r for r in self.rows("trials")}

    def losses(self) -> dict[tuple[str, int], float]:
        return {(r["trial_id"], r["step"]): r["loss"] for r in self.rows("steps")}

    def epochs(self) -> int:
        return len({(r["trial_id"], r["epoch"]) for r in self.rows("steps")})


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, scenes: Path) -> Study:
    study = Study(tmp_path_factory.mktemp("undisturbed"), scenes)
    code, output = study.run()
    assert code == 0, output
    return study


def whole(study: Study, like: Study) -> None:
    """Every trial finished, no row lost or doubled, and the losses those of `like`."""
    trials = study.trials()
    assert {t: r["status"] for t, r in trials.items()} == dict.fromkeys(TRIALS, "finished")
    assert not [r["error"] for r in trials.values() if r["error"]]
    assert study.losses() == like.losses()
    for name in ("steps", "scores", "images", "pictures"):
        mine, theirs = study.rows(name), like.rows(name)
        keys = [tuple(r[k] for k in tables.KEYS[name]) for r in mine]
        assert len(keys) == len(set(keys)) == len(theirs), name
    for trial in TRIALS:
        left = sorted(p.name for p in (study.storage / "mine/train" / trial).iterdir())
        assert left == ["epoch-4", "log.txt"], "one checkpoint, what was printed, nothing else"


def wait(until: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + SECONDS
    while not (found := until()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.2)
    return found


def processes_below(root: int) -> dict[int, str]:
    """Process id -> its title, of all that a process started."""
    parents, titles = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if fields[0] != "Z":
                parents[int(folder.name)] = int(fields[1])
                titles[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
    found: dict[int, str] = {}
    rising = {root}
    while rising:
        rising = {p for p, above in parents.items() if above in rising}
        found |= {p: titles[p] for p in rising}
    return found


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def one_below(root: int, words: str) -> list[int]:
    return [p for p, title in processes_below(root).items() if words in title]


def test_the_driver_of_the_study_is_killed(
    tmp_path: Path, scenes: Path, undisturbed: Study
) -> None:
    study = Study(tmp_path, scenes)
    process = study.start("--concurrent", "1")
    wait(lambda: study.epochs() >= 6, "the second trial's second epoch")
    process.kill()
    process.wait()
    first = {t: r["attempt"] for t, r in study.trials().items() if r["status"] == "finished"}
    assert first == {"frozen-s0": 1}
    code, output = study.run()
    assert code == 0, output
    assert "1 of them finished before" in output
    whole(study, undisturbed)
    assert {t: r["attempt"] for t, r in study.trials().items()} == {
        "frozen-s0": 1,
        "srft_galore-s0": 2,
    }


def test_a_training_and_the_driver_of_a_trial_are_killed(
    tmp_path: Path, scenes: Path, undisturbed: Study
) -> None:
    study = Study(tmp_path, scenes)
    process = study.start("--concurrent", "1")
    wait(lambda: study.epochs() >= 1, "an epoch")
    os.kill(max(one_below(process.pid, TRAINING)), signal.SIGKILL)
    wait(lambda: study.epochs() >= 5, "the second trial")
    os.kill(parent(min(one_below(process.pid, TRAINING))), signal.SIGKILL)
    output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, output
    whole(study, undisturbed)


def test_a_worker_of_several_is_killed(tmp_path: Path, scenes: Path, undisturbed: Study) -> None:
    study = Study(tmp_path, scenes)
    process = study.start("--workers", "2", "--concurrent", "1")
    wait(lambda: study.epochs() >= 1, "an epoch")
    os.kill(max(one_below(process.pid, "RayTrainWorker")), signal.SIGKILL)
    output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, output
    assert {r["status"] for r in study.trials().values()} == {"finished"}
    losses = study.losses()
    assert losses.keys() == undisturbed.losses().keys()
    assert losses == pytest.approx(undisturbed.losses(), rel=0.05)
    for trial in TRIALS:
        left = sorted(p.name for p in (study.storage / "mine/train" / trial).iterdir())
        assert left == ["epoch-4", "log.txt"]


def test_a_frozen_training_is_killed_and_goes_on(
    tmp_path: Path, scenes: Path, undisturbed: Study
) -> None:
    study = Study(tmp_path, scenes)
    process = study.start("--concurrent", "1", "--patience", "0.3")
    wait(lambda: study.epochs() >= 1, "an epoch")
    os.kill(max(one_below(process.pid, TRAINING)), signal.SIGSTOP)
    output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, output
    whole(study, undisturbed)
    assert study.trials()["frozen-s0"]["attempt"] == 2


def test_frozen_workers_of_several_are_killed_and_go_on(tmp_path: Path, scenes: Path) -> None:
    """Both, as on a machine that hangs: neither says where."""
    study = Study(tmp_path, scenes)
    process = study.start("--workers", "2", "--concurrent", "1", "--patience", "0.3")
    wait(lambda: study.epochs() >= 1, "an epoch")
    workers = one_below(process.pid, "RayTrainWorker")
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, output
    assert {r["status"] for r in study.trials().values()} == {"finished"}
    assert study.trials()["frozen-s0"]["attempt"] == 2
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


def test_lost_results_are_trained_again(tmp_path: Path, scenes: Path, undisturbed: Study) -> None:
    study = Study(tmp_path, scenes)
    shutil.copytree(undisturbed.storage, study.storage)
    scores = Path(tables.table_dir(study.storage, "mine", "scores").path)
    (scores / "frozen-s0-a1.parquet").write_bytes(b"no parquet at all")
    (scores / "srft_galore-s0-a1.parquet").unlink()
    code, output = study.run()
    assert code == 0, output
    assert "frozen-s0 is trained again: " in output
    assert "srft_galore-s0 is trained again: its scores are not there" in output
    whole(study, undisturbed)


def test_a_node_is_lost(tmp_path: Path, scenes: Path, undisturbed: Study) -> None:
    study = Study(tmp_path, scenes)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        process = study.start("--address", cluster.address, "--concurrent", "1")
        wait(lambda: study.epochs() >= 1, "an epoch")
        raylets = one_below(os.getpid(), "/raylet/raylet ")
        (node,) = [pid for pid in raylets if one_below(pid, TRAINING)]
        os.kill(node, signal.SIGKILL)
        output, _ = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, output
    finally:
        ray.shutdown()
        cluster.shutdown()
    whole(study, undisturbed)


def test_a_trial_has_as_many_workers_as_there_is_room_for(tmp_path: Path, scenes: Path) -> None:
    """Two, until a node is lost, and then one: each step stays what it was."""
    study = Study(tmp_path, scenes)
    study.file.write_text(study.file.read_text().replace("epochs=4", "epochs=12"))
    (port,) = free_ports(1)
    head = {"num_cpus": 0, "include_dashboard": True, "dashboard_port": port}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        process = study.start("--address", cluster.address, "--workers", "1:2")
        wait(lambda: study.epochs() >= 1, "an epoch")
        raylets = one_below(os.getpid(), "/raylet/raylet ")
        node = max(pid for pid in raylets if one_below(pid, "RayTrainWorker"))
        os.kill(node, signal.SIGKILL)
        output, _ = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, output
    finally:
        ray.shutdown()
        cluster.shutdown()
    first, second = (study.trials()[t] for t in ("frozen-s0", "srft_galore-s0"))
    assert (first["status"], first["attempt"], first["workers"]) == ("finished", 2, 1)
    assert (second["status"], second["attempt"], second["workers"]) == ("finished", 1, 1)
    files = tables.table_dir(study.storage, "mine", "trials")
    assert pq.read_table((files / "frozen-s0-a1.parquet").path)["workers"].to_pylist() == [2]
    config = catalog.find(str(study.file)).study.baseline
    alone = {s.step: s.loss for e in train(config, Runtime()) for s in e.steps}
    losses = {step: loss for (trial, step), loss in study.losses().items() if trial == "frozen-s0"}
    assert losses.keys() == alone.keys()
    assert losses == pytest.approx(alone, rel=0.05)


def test_the_head_is_lost(tmp_path: Path, scenes: Path, undisturbed: Study) -> None:
    study = Study(tmp_path, scenes)
    with head_node({"RAY_AUTH_MODE": "disabled"}) as head:
        process = study.start("--address", head.gcs, "--concurrent", "1")
        wait(lambda: study.epochs() >= 5, "the second trial")
        for pid in one_below(head.pid, "gcs_server"):
            os.kill(pid, signal.SIGKILL)
        process.communicate(timeout=SECONDS)
        assert process.returncode != 0
    assert study.trials()["frozen-s0"]["status"] == "finished"
    code, output = study.run()
    assert code == 0, output
    whole(study, undisturbed)
    assert study.trials()["frozen-s0"]["attempt"] == 1, "a finished trial is not repeated"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("may not mount a small disk")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_the_disk_is_full(
    tmp_path: Path, scenes: Path, small_disk: Path, undisturbed: Study
) -> None:
    study = Study(tmp_path, scenes, small_disk / "results")
    process = study.start("--concurrent", "1")
    wait(lambda: study.epochs() >= 2, "two epochs")
    filler = small_disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb") as file:
        while True:
            file.write(bytes(2**16))
            file.flush()
    output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 1, output
    assert "No space left on device" in output
    assert re.search(r"[12] of 2 trials failed", output)
    assert "Traceback" not in output
    left = [p for p in study.storage.rglob(".*") if p.name != ".validate_storage_marker"]  # Ray's
    assert left == []
    filler.unlink()
    code, output = study.run()
    assert code == 0, output
    whole(study, undisturbed)


def test_a_file_of_the_data_goes_bad(tmp_path: Path, scenes: Path, undisturbed: Study) -> None:
    copied = tmp_path / "scenes"
    shutil.copytree(scenes, copied)
    study = Study(tmp_path, copied)
    process = study.start("--concurrent", "1")
    wait(lambda: study.epochs() >= 1, "an epoch")
    image = sorted(copied.rglob("*.jpg"))[0]
    good = image.read_bytes()
    image.write_bytes(b"no picture")
    output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 1, output
    trials = study.trials()
    assert trials["srft_galore-s0"]["status"] == "failed"
    assert image.name in trials["srft_galore-s0"]["error"]
    shown = read_status(study.storage, "mine", trials["frozen-s0"]["started"])
    assert image.name in str({t.trial_id: t.error for t in shown.trials}["srft_galore-s0"])
    image.write_bytes(good)
    code, output = study.run()
    assert code == 0, output
    whole(study, undisturbed)


def test_no_placement_group_stays_behind(tmp_path: Path, scenes: Path) -> None:
    """Of two workers' trials whose study is killed, on a cluster that lives on."""
    study = Study(tmp_path, scenes)
    alone = SEARCH.replace("num_samples=3", "num_samples=1").replace('"scenes"', repr(str(scenes)))
    study.file.write_text(alone)
    with head_node({"RAY_AUTH_MODE": "disabled"}) as head:
        process = study.start("--address", head.gcs, "--workers", "2")
        wait(lambda: study.epochs() >= 1, "an epoch")
        process.kill()
        process.wait()
        code, output = study.run("--address", head.gcs, "--workers", "2")
        assert code == 0, output
        asked = (
            f"import json, ray; ray.init({head.gcs!r}); "
            "print(json.dumps([g['state'] for g in ray.util.placement_group_table().values()]))"
        )
        groups = subprocess.run(
            [sys.executable, "-c", asked], capture_output=True, text=True, check=True
        )
    states = json.loads(groups.stdout.splitlines()[-1])
    assert states
    assert set(states) == {"REMOVED"}
    assert {r["status"] for r in study.trials().values()} == {"finished"}
