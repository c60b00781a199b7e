"""Decoded samples that all trainings of a node share."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segcore.data import decoded, frame_folder
from segcore.data.dataset import Dataset, Sample
from segcore.data.decoded import DecodedSamples, decoded_samples
from segcore.data.frame_folder import FrameFolder
from segcore.data.sets.l3d import L3D
from segcore.data.sets.synthetic_liver import SyntheticLiver

SIZE = (512, 512)
ARRAYS = {"image_HW3": np.arange(48, dtype=np.uint8).reshape(4, 4, 3)}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scenes") / "s"
    SyntheticLiver(train=2, val=1, test=1, size=64, root=str(root)).open()
    return root


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where decoded samples lie."""
    monkeypatch.setenv("SEGTUNE_DECODED", str(tmp_path / "decoded"))
    return tmp_path / "decoded"


def first(data: Dataset, size: tuple[int, int] | None = SIZE) -> Sample:
    return data.load("train", data.ids("train")[0], size)


def files(root: Path) -> list[Path]:
    return [f for f in root.rglob("*") if f.is_file()]


def same(one: Sample, other: Sample) -> bool:
    return all(
        np.array_equal(value, getattr(other, name))
        if isinstance(value, np.ndarray)
        else value == getattr(other, name)
        for name, value in vars(one).items()
    )


def test_a_sample_is_decoded_once_for_all(
    scenes: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = L3D(root=str(scenes))
    monkeypatch.setenv("SEGTUNE_DECODED", "off")
    usual = first(config.open())
    assert not root.exists()
    monkeypatch.setenv("SEGTUNE_DECODED", str(root))
    kept = first(config.open())
    assert len(files(root)) == 1
    monkeypatch.setattr(FrameFolder, "_decode", None)  # from here on nothing is
    again = config.open()
    assert same(usual, kept)
    assert same(usual, first(again))
    assert first(again) is first(again)
    first(again).image_HW3[:] = 0  # in memory of its own
    assert same(usual, first(config.open()))


def test_what_would_be_decoded_otherwise_is(
    scenes: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = L3D(root=str(scenes))
    first(config.open())
    for n, other in enumerate(
        (config, replace(config, line_width=0.1), replace(config, truth="d2gpland")), start=1
    ):
        first(other.open())
        assert len(files(root)) == n
    first(config.open(), (640, 512))
    assert len(files(root)) == 4
    monkeypatch.setattr(frame_folder, "code_hash", lambda: "other code")
    first(config.open())
    assert len(files(root)) == 5


def test_code_that_is_not_ours_and_small_samples_are_not_kept(scenes: Path, root: Path) -> None:
    class Mine(L3D):
        """A user's own set."""

    Mine.__module__ = "mine"
    first(Mine(root=str(scenes)).open())
    first(L3D(root=str(scenes)).open(), None)  # 64 x 64
    assert not root.exists()


def test_a_file_that_changed_since_it_was_read_is_not_kept(scenes: Path, root: Path) -> None:
    data = L3D(root=str(scenes)).open()
    source = next(iter(data.sources("train").values()))
    assert source.file is not None
    content = source.file.read_bytes()
    source.file.write_bytes(content + b"\0")
    first(data)
    source.file.write_bytes(content)
    assert not root.exists()


@pytest.mark.parametrize("damage", ["cut", "turned", "emptied", "no header"])
def test_a_damaged_sample_is_decoded_again(scenes: Path, root: Path, damage: str) -> None:
    config = L3D(root=str(scenes))
    usual = first(config.open())
    (file,) = files(root)
    content = bytearray(file.read_bytes())
    content[600] ^= 1
    whole = bytes(content)
    spoilt = {"cut": whole[:-9], "turned": whole, "emptied": b"", "no header": b"x" * 600}
    file.unlink()  # `usual` is mapped from it
    file.write_bytes(bytes(spoilt[damage]))
    assert same(usual, first(config.open()))
    assert same(usual, first(config.open()))


def test_there_is_room_for_so_much(tmp_path: Path) -> None:
    size = decoded.HEADER + ARRAYS["image_HW3"].nbytes
    samples = DecodedSamples(tmp_path, most=2 * size)
    for key in ("aa", "bb", "cc"):
        samples.put(key, ARRAYS, None)
    assert sorted(f.stem for f in files(tmp_path)) == ["aa", "bb"]
    left = tmp_path / "aa" / ".left"  # of one that was killed
    left.mkdir()
    for old in (left, tmp_path / "aa" / "aa.sample"):
        os.utime(old, (0, time.time() - 2 * decoded.UNUSED))
    DecodedSamples(tmp_path, most=2 * size).put("dd", ARRAYS, None)
    assert sorted(f.stem for f in files(tmp_path)) == ["bb", "dd"]
    assert not left.exists()


def test_a_disk_that_takes_nothing_ends_nothing(scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    samples = DecodedSamples(tmp_path / "file" / "decoded")
    samples.put("aa", ARRAYS, None)
    assert samples.get("aa") is None


PUT_ON_AND_ON = """
import pathlib, sys
import numpy as np
from segcore.data.decoded import DecodedSamples
arrays = {"image_HW3": np.arange(48, dtype=np.uint8).reshape(4, 4, 3)}
while True:
    DecodedSamples(pathlib.Path(sys.argv[1])).put("aa", arrays, [1, 2])
"""


def test_who_is_killed_while_writing_spoils_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PUT_ON_AND_ON, str(tmp_path)]
    writers = [subprocess.Popen(command) for _ in range(2)]
    samples, seen = DecodedSamples(tmp_path), 0
    while seen < 50:
        if (found := samples.get("aa")) is not None:
            seen += 1
            assert np.array_equal(found[0]["image_HW3"], ARRAYS["image_HW3"])
            assert found[1] == [1, 2]
    for writer in writers:
        writer.kill()
        writer.wait()
    assert samples.get("aa") is not None


def test_a_folder_of_somebody_else_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SEGTUNE_DECODED")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert decoded_samples() is not None
    (own,) = tmp_path.iterdir()
    assert own.stat().st_mode & 0o777 == 0o700
    own.rmdir()
    own.symlink_to(tmp_path)
    assert decoded_samples() is None
