"""A storage on a file system and in an S3 server on this machine behave alike."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from pyarrow.fs import LocalFileSystem

from segtune.cli import main
from segtune.doctor.storage import check_storage
from segtune.execution.lock import AlreadyRunning, lease, only_run
from segtune.execution.preflight import check_store
from segtune.execution.training.checkpoints import on_this_machine
from segtune.execution.training.job import trial_folder
from segtune.report.serve import fingerprint
from segtune.results import study_file, tables
from segtune.results.storage import Place, local_folder
from segtune.study.overrides import SpecError


def test_files_and_folders(storage: Place) -> None:
    folder = storage / "demo" / "tables"
    assert folder.files() == folder.folders() == []
    assert not folder.is_folder()
    (folder / "b.txt").write(b"two")
    (folder / "a.txt").write(b"one")
    (folder / ".a.txt.77").write(b"half")
    (folder / "steps" / "c.txt").write(b"three")
    assert [f.name for f in folder.files()] == ["a.txt", "b.txt"]
    assert folder.files("b*") == [folder / "b.txt"]
    assert folder.folders() == [folder / "steps"]
    assert folder.is_folder()
    assert not folder.is_file()
    (folder / "a.txt").write(b"another")
    assert (folder / "a.txt").read() == b"another"
    (folder / "a.txt").remove()
    assert not (folder / "a.txt").is_file()
    (storage / "demo").remove()
    (storage / "demo").remove()
    assert storage.folders() == []
    with pytest.raises(OSError, match=r"c\.txt"):
        (folder / "steps" / "c.txt").read()


def test_a_file_says_when_it_changed(storage: Place) -> None:
    file = storage / "x"
    assert (storage.stamps(), file.modified()) == ({}, None)
    file.write(b"one")
    first, written = storage.stamps(), file.modified()
    assert written is not None
    assert abs(datetime.now(UTC) - written) < timedelta(seconds=5)
    file.write(b"three")
    assert storage.stamps().keys() == {"x"}
    assert storage.stamps() != first


def test_names_of_storages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Place.of("~/a") == Place.of("a") == Place.of(tmp_path / "a") == Place.of("a/")
    assert str(Place.of("a") / "b") == f"{tmp_path}/a/b"
    assert (Place.of("a") / "b").local == tmp_path / "a/b"
    assert str(Place.of("s3://b/c?region=eu-west-1") / "d") == "s3://b/c/d?region=eu-west-1"
    assert Place.of("s3://b/c/").local is None
    assert str(Place.of("/tmp/a?b") / "c") == "/tmp/a?b/c"
    assert Place.of("gs://b/c/").store == Place.of("gcs://b").store
    assert Place.of("abfs://c@a.dfs.core.windows.net/x").local is None
    for wrong in (Path("s3://b/c"), "s3://", "s3:///c", "s3://b/c#d"):
        with pytest.raises(ValueError, match=r"give s3://BUCKET/FOLDER"):
            Place.of(wrong)
    for wrong, form in (("gs://", "gs://BUCKET"), ("abfs:///x", "abfs://CONTAINER@ACCOUNT"),
                        ("hdfs:///x", "hdfs://HOST"), ("ftp://h/x", "a folder, or s3://BUCKET"),
                        ("https://b/c", "abfs://CONTAINER")):  # fmt: skip
        with pytest.raises(ValueError, match=f"can't be kept under {wrong}: give .*{form}"):
            Place.of(wrong)


def test_a_file_uri_is_a_folder(tmp_path: Path) -> None:
    given = f"file://{tmp_path}/with%20room"
    assert Place.of(given) == Place.of(f"file://localhost{tmp_path}/with room")
    assert Place.of(given).local == tmp_path / "with room"
    for wrong in ("file://elsewhere/x", "file:///x?a=b"):
        with pytest.raises(ValueError, match="give file:///FOLDER"):
            Place.of(wrong)


@pytest.mark.parametrize(
    "uri",
    [
        "s3://me:hidden@b/c",
        "abfs://c:hidden@a.dfs.core.windows.net/x",
        "abfs://c@a.dfs.core.windows.net/x?client_id=i&client_secret=hidden",
    ],
)
def test_a_password_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(ValueError, match="a password does not belong there") as refused:
        Place.of(uri)
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("s3://b/x?nonsense=1", "pyarrow can't open .*nonsense.*AWS_ACCESS_KEY_ID"),
        ("gs://b/x?nonsense=1", "pyarrow can't open .*nonsense.*GOOGLE_APPLICATION_CREDENTIALS"),
        ("abfs://c/x", "pyarrow can't open .*account name.*AZURE_CLIENT_ID"),
        (
            "gs://anonymous@b/x?endpoint_override=127.0.0.1:9&scheme=http&retry_limit_seconds=0.1",
            "can't write to gs://.*connect to server.*GOOGLE_APPLICATION_CREDENTIALS",
        ),
    ],
)
def test_a_store_that_can_not_be_opened_or_reached_says_so_in_seconds(uri: str, told: str) -> None:
    began = time.monotonic()
    with pytest.raises(SpecError, match=told) as refused:
        check_store(Place.of(uri))
    assert len(refused.value.faults) == 1
    assert len(str(refused.value)) < 700
    assert "\n" not in str(refused.value)
    assert time.monotonic() - began < 10
    with pytest.raises(OSError, match=r"b/x|c/x") as unread:
        Place.of(uri).folders()
    assert "credentials are taken from" in str(unread.value)


def test_googles_client_is_told_to_give_up() -> None:
    filesystem = Place.of("gs://anonymous@b/x").filesystem
    assert filesystem == Place.of("gs://anonymous@b/x?retry_limit_seconds=5").filesystem
    assert filesystem != Place.of("gs://anonymous@b/x?retry_limit_seconds=6").filesystem


def test_without_java_hdfs_says_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_driver(uri: str) -> None:
        raise OSError("Unable to load libjvm\ndlopen(/usr/lib/...) failed")

    monkeypatch.setattr("segtune.results.storage.FileSystem", SimpleNamespace(from_uri=no_driver))
    with pytest.raises(
        SpecError, match=r"Unable to load libjvm\. Every node needs Java"
    ) as refused:
        check_store(Place.of("hdfs://nowhere:9000/x"))
    assert "dlopen" not in str(refused.value)


def test_where_a_file_grows_in_sight_it_is_renamed_into_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = (LocalFileSystem(), str(tmp_path / "x"))  # in the place of HDFS
    monkeypatch.setattr("segtune.results.storage._opened", lambda root: opened)
    file = Place.of("hdfs://host:9000/x") / "tables" / "a.parquet"
    moved: list[Path] = []
    move = LocalFileSystem.move

    class Watched(LocalFileSystem):  # type: ignore[misc]  # pyarrow has no types
        def move(self, source: str, target: str) -> None:
            moved.append(Path(source))
            assert Path(source).read_bytes() == b"two"
            assert Path(target).read_bytes() == b"one", "a reader sees the whole one before"
            move(self, source, target)

    file.write(b"one")
    opened = (Watched(), str(tmp_path / "x"))
    file.write(b"two")
    assert (file.read(), len(moved)) == (b"two", 1)
    assert [f.name for f in (Place.of("hdfs://host:9000/x") / "tables").files()] == ["a.parquet"]
    assert not moved[0].exists()


def test_files_that_need_a_file_system_lie_on_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGTUNE_CACHE", "/cache")
    assert local_folder(tmp_path, "demo") == tmp_path / "demo"
    assert local_folder("s3://bucket/results", "demo") == Path("/cache/bucket/results/demo")


def test_tables_and_definition(storage: Place) -> None:
    assert tables.read(storage, "s", "trials").num_rows == 0
    assert study_file.read(storage, "s") is None
    row = {"trial_id": "a-s0", "attempt": 1, "status": "running"}
    tables.write(storage, "s", "trials", [row])
    before = fingerprint(storage, ["s"])
    tables.write(storage, "s", "trials", [{**row, "status": "finished"}])
    tables.write(storage, "s", "trials", [{**row, "trial_id": "b-s0", "attempt": 3}])
    assert fingerprint(storage, ["s"]) != before
    rows = tables.read(storage, "s", "trials").to_pylist()
    assert [(r["trial_id"], r["status"]) for r in rows] == [
        ("a-s0", "finished"),
        ("b-s0", "running"),
    ]
    assert tables.read(storage, "s", "trials", trial_id="b-s0").num_rows == 1
    assert tables.next_attempt(storage, "s", "b-s0") == 4
    assert tables.last_written(storage, "s", "b-s0", 3) is not None
    study_file.write(storage, "s", {"study": "s"})
    assert study_file.read(storage, "s") == {"study": "s"}


def test_a_table_is_read_whole_while_it_is_rewritten(storage: Place) -> None:
    """A store sends an object in pieces: some may be of the one that took its place."""
    ended = threading.Event()

    def rewrite() -> None:
        key = {"trial_id": "a-s0", "attempt": 1}
        for count in itertools.cycle((1, 40, 400)):
            tables.write(storage, "s", "steps", [key | {"step": i} for i in range(count)])
            if ended.wait(0.01):  # an epoch never takes less
                return

    tables.write(storage, "s", "steps", [{"trial_id": "a-s0", "attempt": 1, "step": 0}])
    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        found = {tables.read(storage, "s", "steps").num_rows for _ in range(80)}
    finally:
        ended.set()
        writer.join()
    assert found <= {1, 40, 400}


def test_a_checkpoint_in_a_store_is_an_epochs_or_a_trials(bucket: str, tmp_path: Path) -> None:
    trial = trial_folder(f"s3://{bucket}/{tmp_path.name}", "s", "a-s0")
    (trial / "epoch-1" / "config.json").write(b"one")
    (trial / "epoch-2" / "best.safetensors").write(b"half")
    for given in (trial, trial / "epoch-1"):
        with on_this_machine(given) as folder:
            assert (folder / "config.json").read_bytes() == b"one"
    with (
        pytest.raises(ValueError, match="give a trial's folder"),
        on_this_machine(Place.of("s3://studies")),
    ):
        pass


def test_one_run_at_a_time(storage: Place) -> None:
    with only_run(storage, "demo"), only_run(storage, "other"):
        with (
            pytest.raises(AlreadyRunning, match=rf"demo.*process {os.getpid()} on .*--name"),
            only_run(storage, "demo"),
        ):
            pass
        with pytest.raises(AlreadyRunning), only_run(storage, "demo"):
            pass
    with only_run(storage, "demo"):
        pass


HOLD = """
import os, sys
from segtune.execution.lock import only_run
with only_run(sys.argv[1], "demo"):
    os._exit(1)
"""


def test_a_run_that_was_killed_holds_nothing(storage: Place) -> None:
    assert subprocess.run([sys.executable, "-c", HOLD, str(storage)], check=False).returncode == 1
    with only_run(storage, "demo"):
        pass


def test_a_run_that_was_killed_elsewhere_holds_a_store_no_longer_than_said(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Place.of(f"s3://{bucket}/{tmp_path.name}")
    other = storage / "demo" / lease.RUNS / "elsewhere+1+1"
    other.write(b"process 1 on elsewhere")
    with pytest.raises(AlreadyRunning, match="process 1 on elsewhere.*wait 60 seconds"):  # noqa: SIM117
        with only_run(storage, "demo"):
            pass
    assert (storage / "demo" / lease.RUNS).files() == [other], "who gave way left nothing"
    monkeypatch.setattr(lease, "GONE", timedelta(seconds=-1))
    with only_run(storage, "demo"):
        assert other not in (storage / "demo" / lease.RUNS).files()


@pytest.mark.parametrize("in_background", [False, True])
def test_a_run_that_was_silent_for_too_long_looks_who_took_its_place(
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    in_background: bool,
) -> None:
    """A script's background job ignores interrupts (``segtune run demo &``)."""
    ending, ignoring = signal.SIGINT, signal.SIG_DFL
    if in_background:
        ending, ignoring = signal.SIGTERM, signal.SIG_IGN
    before = {s: signal.signal(s, ignoring) for s in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(ending, signal.default_int_handler)
    try:
        _wait_for_its_interruption(bucket, tmp_path, monkeypatch)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert "process 1 on elsewhere has taken the place of this run" in capfd.readouterr().err


def _wait_for_its_interruption(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEWED", 0.2)
    hours = itertools.count(0, 3600)
    storage = Place.of(f"s3://{bucket}/{tmp_path.name}")
    with pytest.raises(KeyboardInterrupt), only_run(storage, "demo"):  # noqa: PT012
        time.sleep(1)
        monkeypatch.setattr("segtune.execution.lock.lease.time.time", lambda: next(hours))
        time.sleep(1)  # nobody did
        (storage / "demo" / lease.RUNS / "elsewhere+1+1").write(b"process 1 on elsewhere")
        time.sleep(20)


def test_a_run_shows_that_it_lives(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEWED", 0.05)
    storage = Place.of(f"s3://{bucket}/{tmp_path.name}")
    with only_run(storage, "demo"):
        (mine,) = (storage / "demo" / lease.RUNS).files()
        mine.remove()
        deadline = datetime.now(UTC) + timedelta(seconds=30)
        while not mine.is_file():
            assert datetime.now(UTC) < deadline
    assert not mine.is_file()


def test_a_store_that_can_not_be_written_to_is_told_at_once(
    bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_store(Place.of(f"s3://{bucket}/x"))
    assert Place.of(f"s3://{bucket}").files() == []
    assert [f.level for f in check_storage(f"s3://{bucket}/x", Path("/proc/mounts"))] == ["ok"]
    (fault,) = check_storage("s3://nowhere/x", Path("/proc/mounts"))
    assert fault.level == "fault"
    with pytest.raises(SpecError, match=r"nowhere.*AWS_ACCESS_KEY_ID"):
        check_store(Place.of("s3://nowhere/x"))
    with pytest.raises(SpecError, match="nonsense"):
        check_store(Place.of("s3://nowhere/x?nonsense=1"))
    assert main(["run", "demo", "--storage", "s3://nowhere/x"]) == 2
    assert "can't write to s3://nowhere/x" in capsys.readouterr().err
    assert main(["status", "demo", "--storage", "s3://nowhere/x"]) == 2
    assert "no study 'demo' under s3://nowhere/x" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["status", "demo", "--storage", "ftp://nowhere/x"])
    assert "s3://BUCKET/FOLDER" in capsys.readouterr().err
