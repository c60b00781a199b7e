"""Checkpoints that are written while a trial trains on, and read by one of its workers."""

import errno
import os
import resource
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ray.tune.integration.ray_train import TuneReportCallback
from torch import Tensor

from segcore.training.checkpoint import BEST, CONFIG, LAST, Checkpoint
from segcore.training.runtime import Runtime
from segtune.execution.training import checkpoints, distributed, worker
from segtune.execution.training.checkpoint_writer import CheckpointWriter
from segtune.results.storage import Place
from srft_galore import Broadcast


@dataclass(frozen=True)
class Small(Checkpoint):
    """Of a few numbers; its write waits until it may go on."""

    go_on: threading.Event = field(default_factory=threading.Event)
    wrote_best: list[bool] = field(default_factory=list)
    full: bool = False

    def save(self, folder: Path, *, best: bool = True) -> None:
        assert self.go_on.wait(60)
        if self.full:
            (folder / LAST).touch()
            raise OSError(errno.ENOSPC, "No space left on device")
        self.wrote_best.append(best)
        super().save(folder, best=best)


def small(value: int, *, waits: bool = False, full: bool = False) -> Small:
    best = {"w": torch.full((1000,), float(value))}
    made = Small({"config": {}}, best, {"epoch": value, "tensors": best}, full=full)
    if not waits:
        made.go_on.set()
    return made


def after(epoch: int, checkpoint: Checkpoint, is_best: bool = True) -> Any:
    """What of an evaluation the writer looks at."""
    return SimpleNamespace(epoch=epoch, is_best=is_best, checkpoint=lambda: checkpoint)


def names(folder: Place) -> list[str]:
    return [place.name for place in folder.folders()]


def test_one_checkpoint_is_under_way_while_the_training_goes_on(tmp_path: Path) -> None:
    folder, slow = Place.of(tmp_path), small(1, waits=True)
    with CheckpointWriter(folder) as writer:
        writer.keep(after(1, slow))
        assert checkpoints.newest(folder) is None, "the training goes on before it is written"
        asked = threading.Thread(target=writer.keep, args=(after(2, small(2)),))
        asked.start()
        asked.join(0.2)
        assert asked.is_alive(), "the next one waits for it"
        slow.go_on.set()
        asked.join()
    assert names(folder) == ["epoch-2"]


@pytest.mark.usefixtures("bucket")
def test_the_best_is_written_where_it_is_better(storage: Place) -> None:
    """Else it stays the file that it was, or in a store a copy that it makes itself."""
    first, second, third = small(1), small(1), small(3)
    written = []
    with CheckpointWriter(storage) as writer:
        for epoch, (one, is_best) in enumerate([(first, True), (second, False), (third, True)], 1):
            writer.keep(after(epoch, one, is_best))
            writer.wait()
            (kept,) = storage.folders()
            assert sorted(file.name for file in kept.files()) == sorted([BEST, CONFIG, LAST])
            written.append((kept / BEST).read())
    assert first.wrote_best + second.wrote_best + third.wrote_best == [True, False, True]
    assert written[0] == written[1] != written[2]
    again = small(3)
    with CheckpointWriter(storage, checkpoints.newest(storage, to_go_on=True)) as writer:
        writer.keep(after(4, again, is_best=False))
    assert again.wrote_best == [False], "not by a training that goes on either"
    with checkpoints.on_this_machine(storage / "epoch-4") as there:
        assert (there / BEST).read_bytes() == written[2]


def test_a_file_system_without_links_gets_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    with CheckpointWriter(Place.of(tmp_path)) as writer:
        writer.keep(after(1, small(1)))
        writer.keep(after(2, small(1), is_best=False))
    assert (tmp_path / "epoch-2" / BEST).stat().st_nlink == 1


def test_an_error_comes_up_at_the_next_write_or_at_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, broken = Place.of(tmp_path), small(2, full=True)
    with CheckpointWriter(folder) as writer:
        writer.keep(after(1, small(1)))
        writer.keep(after(2, broken))
        with pytest.raises(OSError, match="No space left"):
            writer.keep(after(2, small(2)))
        assert [p.name for p in tmp_path.iterdir()] == ["epoch-1"], "it stays, and nothing else"
        again = small(2)
        writer.keep(after(2, again, is_best=False))
        writer.wait()
        assert names(folder) == ["epoch-2"]
        assert again.wrote_best == [True], "that of the first epoch is not known to be the best"
        writer.keep(after(3, broken))
        with pytest.raises(OSError, match="No space left"):
            writer.end()
    with pytest.raises(OSError, match="No space left"), CheckpointWriter(folder) as writer:
        writer.keep(after(3, broken))
    with suppress(KeyError), CheckpointWriter(folder) as writer:
        writer.keep(after(3, broken))
        raise KeyError("the training has an error of its own")
    assert "checkpoint was not written: [Errno 28] No space left" in capsys.readouterr().out


def test_what_a_killed_process_has_left_unfinished_is_no_checkpoint(storage: Place) -> None:
    with CheckpointWriter(storage) as writer:
        writer.keep(after(1, small(1)))
    if storage.local is not None:
        (storage / ".epoch-2.123" / LAST).write(b"half of it")
    (storage / "epoch-2" / LAST).write(b"half of it")
    (storage / "epoch-2" / BEST).write(b"half of it")
    restored = checkpoints.newest(storage, to_go_on=True)
    assert restored == storage / "epoch-1"
    with CheckpointWriter(storage, restored) as writer:
        writer.keep(after(2, small(1), is_best=False))
        writer.wait()
        assert names(storage) == ["epoch-2"]
        writer.end()
    assert checkpoints.newest(storage) == storage / "epoch-2"
    assert checkpoints.newest(storage, to_go_on=True) is None
    assert checkpoints.newest(storage / "nothing") is None
    if storage.local is not None:
        assert [p.name for p in storage.local.iterdir()] == ["epoch-2"]


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """No file may become larger: as on a full disk, a write ends in the middle."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_takes_no_more_says_so_and_nothing_stays(tmp_path: Path) -> None:
    """Nor is a file spoilt that the checkpoint before has too."""
    folder = tmp_path / "c"
    with CheckpointWriter(Place.of(folder)) as writer:
        writer.keep(after(1, small(1)))
        writer.wait()
        best = (folder / "epoch-1" / BEST).read_bytes()
        writer.keep(after(2, small(1), is_best=False))
        writer.wait()
        with small_files(3000):
            writer.keep(after(3, small(3), is_best=False))
            with pytest.raises(OSError, match=r"too large: '.*/c/\.epoch-3\..*'") as caught:
                writer.wait()
        assert "inline_container" not in worker.cause_of(caught.value)
        assert [p.name for p in folder.iterdir()] == ["epoch-2"]
        assert (folder / "epoch-2" / BEST).read_bytes() == best
    table = Place.of(folder) / "table.parquet"
    with small_files(1000), pytest.raises(OSError, match=rf"File too large: '{table}'"):
        table.write(bytes(2000))
    assert [p.name for p in folder.iterdir()] == ["epoch-2"]
    full = OSError(errno.ENOSPC, "No space left on device", str(table))
    assert worker.cause_of(full).endswith("goes on from the last checkpoint")


class Wire(Broadcast):
    """From the first of several threads to the others."""

    def __init__(self, rank: int, barrier: threading.Barrier, sent: list[Tensor]) -> None:
        super().__init__()
        self._rank, self._barrier, self._sent = rank, barrier, sent

    def __call__(self, tensors: Sequence[Tensor], source: int = 0) -> None:
        (tensor,) = tensors
        if self._rank == source:
            self._sent[:] = [tensor.clone()]
        self._barrier.wait(60)
        tensor.copy_(self._sent[0])
        self._barrier.wait(60)


@pytest.mark.parametrize("there", [True, False], ids=["one", "none"])
def test_one_worker_reads_a_checkpoint_and_the_others_are_sent_it(
    tmp_path: Path, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "PIECE", 1000)
    with CheckpointWriter(Place.of(tmp_path)) as writer:
        writer.keep(after(1, small(1)))
    files = {p.name: p.read_bytes() for p in (tmp_path / "epoch-1").iterdir()}
    barrier, sent, found = threading.Barrier(3), list[Tensor](), dict[int, Any]()

    def restore(rank: int) -> None:
        runtime = Runtime(rank=rank, world=3, broadcast=Wire(rank, barrier, sent))
        newest = Place.of(tmp_path) / "epoch-1" if rank == 0 and there else None
        with checkpoints.to_go_on_from(newest, runtime) as folder:
            found[rank] = folder and {p.name: p.read_bytes() for p in folder.iterdir()}

    threads = [threading.Thread(target=restore, args=(rank,)) for rank in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys(range(3), files if there else None)


def test_an_epoch_that_is_trained_again_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    ray = TuneReportCallback
    monkeypatch.setattr(ray, "__init__", lambda self: None)
    monkeypatch.setattr(ray, "after_report", lambda self, run, metrics, _: told.append(metrics[0]))
    once = distributed.EachEpochOnce()
    reports: list[dict[str, Any]] = [{"epoch": e, "final": False} for e in (1, 2, 2, 3)]
    reports += [{"epoch": 2, "final": True}, {"error": "lost"}]
    for report in reports:
        once.after_report(None, [report, {}], None)
    assert told == [*reports[:2], *reports[3:]]
