"""Decoded samples that all trainings of a node share."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import cv2
import numpy as np
import PIL
import pytest
from PIL import features

from segcore.data import decoded, frame_folder
from segcore.data.dataset import Dataset, Sample
from segcore.data.decoded import DecodedSamples, decoded_samples
from segcore.data.frame_folder import FrameFolder
from segcore.data.sets.l3d import L3D
from segcore.data.sets.synthetic_liver import SyntheticLiver

SIZE = (512, 512)
ARRAYS = {"image_HW3": np.arange(48, dtype=np.uint8).reshape(4, 4, 3)}
NBYTES = decoded.HEADER + ARRAYS["image_HW3"].nbytes
A, B, C, D = ("a" * 64, "b" * 64, "c" * 64, "d" * 64)
LONG_AGO = (0, time.time() - 2 * decoded.UNUSED)


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
    monkeypatch.setattr(frame_folder, "CODE", decoded.code_hash() + " of another")
    monkeypatch.setattr(frame_folder, "is_edited", lambda: False)
    first(config.open())
    assert len(files(root)) == 5


def test_the_hash_of_what_decodes_is_of_its_libraries_too(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = {decoded.code_hash()}
    for module in (cv2, PIL):
        monkeypatch.setattr(module, "__version__", "0.0")
        hashes.add(decoded.code_hash())
    monkeypatch.setattr(features, "version", {"jpg": "0.0"}.get)
    hashes.add(decoded.code_hash())
    assert len(hashes) == 4


@pytest.mark.parametrize("opened_before", [True, False])
def test_what_code_has_decoded_that_was_edited_since_is_not_kept(
    scenes: Path, root: Path, monkeypatch: pytest.MonkeyPatch, opened_before: bool
) -> None:
    config = L3D(root=str(scenes))
    data = config.open()
    monkeypatch.setattr(decoded, "code_hash", lambda: "of the files as they are now")
    first(data if opened_before else config.open())
    assert not files(root)


def test_code_that_is_not_ours_and_small_samples_are_not_kept(scenes: Path, root: Path) -> None:
    class Mine(L3D):
        """A user's own set."""

    Mine.__module__ = "mine"
    first(Mine(root=str(scenes)).open())
    first(L3D(root=str(scenes)).open(), None)  # 64 x 64
    assert not files(root)


def test_a_file_that_changed_since_it_was_read_is_not_kept(scenes: Path, root: Path) -> None:
    data = L3D(root=str(scenes)).open()
    source = next(iter(data.sources("train").values()))
    assert source.file is not None
    content = source.file.read_bytes()
    source.file.write_bytes(content + b"\0")
    first(data)
    source.file.write_bytes(content)
    assert not files(root)


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
    samples = DecodedSamples(tmp_path, most=2 * NBYTES)
    for key in (A, B, C):
        samples.put(key, ARRAYS, None)
    assert sorted(f.stem for f in files(tmp_path)) == [A, B]
    left = tmp_path / "aa" / ".0_bcdefg"  # of one that was killed
    left.mkdir()
    (left / f"{A}.sample").write_bytes(b"unfinished")
    for old in (left / f"{A}.sample", tmp_path / "aa" / f"{A}.sample"):
        os.utime(old, LONG_AGO)
    DecodedSamples(tmp_path, most=2 * NBYTES).put(D, ARRAYS, None)
    assert sorted(f.stem for f in files(tmp_path)) == [B, D]
    os.utime(left, LONG_AGO)
    DecodedSamples(tmp_path).put(A, ARRAYS, None)
    assert not left.exists()


def test_files_of_others_are_never_removed(root: Path) -> None:
    names = ("notes/thesis.md", "aa/model.pt", f"notes/{A}.sample", f"bb/{A}.sample", "aa/.git/x")
    own = decoded_samples()
    assert own is not None
    own.put(A, ARRAYS, None)
    (kept,) = files(root)
    theirs = [base / name for base in (root, kept.parents[1]) for name in names]
    for file in theirs:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("a year's work")
        for old in (file, file.parent):
            os.utime(old, LONG_AGO)
    os.utime(kept, LONG_AGO)
    again = decoded_samples()
    assert again is not None
    again.put(B, ARRAYS, None)
    assert all(file.read_text() == "a year's work" for file in theirs)
    assert not kept.exists()


def test_a_full_folder_is_looked_through_once_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = Mock(side_effect=DecodedSamples._look)
    monkeypatch.setattr(DecodedSamples, "_look", lambda self: look(self))
    samples = DecodedSamples(tmp_path, most=NBYTES)
    for _ in range(5):
        samples.put(A, ARRAYS, None)
    assert look.call_count == 2  # the first one found room
    now = time.monotonic()
    monkeypatch.setattr("time.monotonic", lambda: now + 61)
    os.utime(files(tmp_path)[0], LONG_AGO)
    samples.put(B, ARRAYS, None)
    assert look.call_count == 3
    assert [f.stem for f in files(tmp_path)] == [B]


def test_what_finds_no_room_is_not_hashed(
    scenes: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = DecodedSamples(root, most=0)
    monkeypatch.setattr(frame_folder, "decoded_samples", lambda: full)
    monkeypatch.setattr(FrameFolder, "_is_as_scanned", None)
    assert first(L3D(root=str(scenes)).open()).image_HW3.shape == (*SIZE, 3)


MANY = """
import os, pathlib, resource, sys
import numpy as np
from segcore.data.decoded import DecodedSamples
resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
samples = DecodedSamples(pathlib.Path(sys.argv[1]))
keys = [f"{n:064x}" for n in range(200)]
for n, key in enumerate(keys):
    samples.put(key, {"image_HW3": np.full((4, 4, 3), n, np.uint8)}, n)
kept = [samples.get(key) for key in keys]
assert all((found.arrays["image_HW3"] == found.about).all() for found in kept)
mapped = sum(found.is_mapped for found in kept)
assert mapped == 200 if sys.version_info >= (3, 13) else 0 < mapped < 32, mapped
assert len(os.listdir("/proc/self/fd")) <= 34
"""


def test_samples_leave_descriptors_for_others(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", MANY, str(tmp_path)], check=True)


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="maps without descriptors")
def test_what_is_read_into_memory_counts_as_what_is_decoded(
    scenes: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda which: (0, 0))
    config = L3D(root=str(scenes))
    data = config.open()
    assert same(first(data), first(config.open()))
    assert first(data) is first(data)
    monkeypatch.setattr(frame_folder, "CACHE_BYTES", 0)
    monkeypatch.setattr(FrameFolder, "_decode", None)  # what is not kept is read again
    again = config.open()
    assert first(again) is not first(again)


def test_a_disk_that_takes_nothing_ends_nothing(scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    samples = DecodedSamples(tmp_path / "file" / "decoded")
    samples.put(A, ARRAYS, None)
    assert samples.get(A) is None


PUT_ON_AND_ON = """
import pathlib, sys
import numpy as np
from segcore.data.decoded import DecodedSamples
arrays = {"image_HW3": np.arange(48, dtype=np.uint8).reshape(4, 4, 3)}
while True:
    DecodedSamples(pathlib.Path(sys.argv[1])).put("a" * 64, arrays, [1, 2])
"""


def test_who_is_killed_while_writing_spoils_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PUT_ON_AND_ON, str(tmp_path)]
    writers = [subprocess.Popen(command) for _ in range(2)]
    samples, seen = DecodedSamples(tmp_path), 0
    while seen < 50:
        if (found := samples.get(A)) is not None:
            seen += 1
            assert np.array_equal(found.arrays["image_HW3"], ARRAYS["image_HW3"])
            assert found.about == [1, 2]
    for writer in writers:
        writer.kill()
        writer.wait()
    assert samples.get(A) is not None


@pytest.mark.parametrize("variable", ["SEGTUNE_DECODED", "TMPDIR"])
def test_a_folder_of_somebody_else_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.delenv("SEGTUNE_DECODED")
    monkeypatch.setenv(variable, str(tmp_path))
    assert decoded_samples() is not None
    (own,) = tmp_path.iterdir()
    assert own.name == f"segtune-decoded-{os.getuid()}"
    assert own.stat().st_mode & 0o777 == 0o700
    own.rmdir()
    own.symlink_to(tmp_path)
    assert decoded_samples() is None
