"""`segtune predict` of volumes: labels that lie on their scan, and every fault in one message."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image
from support.untrained import save
from support.volumes import discs, save_volume, units_of

from segcore.classes import ClassSpec
from segcore.data.sets.synthetic_organs import SyntheticOrgans
from segcore.data.volumes.nifti import Volume
from segcore.data.volumes.volume_folder import windowed
from segcore.predict import Predictor
from segcore.presets import imedsam_nano, nano
from segtune import apply
from segtune.cli import main

ORGANS = ("liver", "spleen")
CLASSES = ClassSpec(("background", *ORGANS), exclusive=True)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that is told by boxes, trained on volumes, its head random."""
    data = SyntheticOrgans(organs=ORGANS)
    config = apply(imedsam_nano(), {"data": data, "system.image_size": 64})
    return save(config, CLASSES, tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEGTUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    labels = discs((1, 2), slices=5, size=48)
    save_volume(tmp_path / "scan.nii.gz", units_of(labels, 0)[:, :40], stored="PIR")
    return tmp_path / "scan.nii.gz"


BOXES = {"1": {"liver": [4, 2, 40, 20]}, "3": {"liver": [4, 2, 40, 20], "spleen": [3, 20, 44, 39]}}


def test_labels_and_maps_lie_on_their_scan(checkpoint: Path, scan: Path) -> None:
    Path("boxes.json").write_text(json.dumps({scan.name: BOXES}))
    assert main(["predict", str(checkpoint), str(scan), "--boxes", "boxes.json"]) == 0
    before = nib.nifti1.load(scan)
    volume = Volume.open(scan)
    predictor = Predictor.load(checkpoint)
    assert predictor.window == (-125, 275)
    said = predictor(
        [windowed(volume.plane(i), (-125, 275)) for i in range(5)],
        boxes=[BOXES.get(str(i)) for i in range(5)],  # type: ignore[misc]
    )
    for name, expected in (
        ("scan.nii.gz", [p.labels_HW for p in said]),
        ("scan-uncertainty.nii.gz", [p.maps["uncertainty"] for p in said]),
    ):
        path = Path("predictions") / "volumes" / name
        after = nib.nifti1.load(path)
        assert after.shape == before.shape
        np.testing.assert_allclose(after.affine, before.affine)
        written = np.stack([Volume.open(path).plane(i) for i in range(5)])
        np.testing.assert_array_equal(written, np.stack(expected))
    labels = np.stack([p.labels_HW for p in said])
    assert labels[[1, 3]].any()
    assert not labels[[0, 2, 4]].any(), "no box points at anything there"
    assert Image.open("predictions/overlays/scan.png").size == (3 * 256, 256)
    assert not list(Path("predictions").rglob(".*"))


def test_a_window_of_the_users_own_is_used(checkpoint: Path, scan: Path) -> None:
    Path("boxes.json").write_text(json.dumps({scan.name: BOXES}))
    for window in ([], ["--window", "-1000", "3000"]):
        out = ["--out", f"out{len(window)}", "--boxes", "boxes.json"]
        assert main(["predict", str(checkpoint), str(scan), *out, *window]) == 0
    maps = [Path(f"out{n}/volumes/scan-uncertainty.nii.gz") for n in (0, 3)]
    one, other = (np.asarray(nib.nifti1.load(p).dataobj) for p in maps)
    assert (one != other).any()


def test_a_network_of_pictures_wants_a_window(
    tmp_path: Path, scan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = save(apply(nano(), {"system": "hiera_unet"}), CLASSES, tmp_path / "pictures")
    assert main(["predict", str(pictures), str(scan)]) == 2
    assert "was not trained on volumes: give --window BLACK WHITE" in capsys.readouterr().err
    assert main(["predict", str(pictures), str(scan), "--window", "5", "1"]) == 2
    assert "--window 5 1: give the lower value first" in capsys.readouterr().err
    assert main(["predict", str(pictures), str(scan), "--window", "-100", "200"]) == 0
    assert Path("predictions/volumes/scan.nii.gz").exists()
    with_depth = save(nano(), CLASSES, tmp_path / "depth")
    assert main(["predict", str(with_depth), str(scan), "--window", "-100", "200"]) == 2
    assert "slices of volumes have none" in capsys.readouterr().err


def test_a_box_is_missed_and_a_slice_without_one_is_empty_at_any_batch_size(
    checkpoint: Path, scan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(checkpoint), str(scan)]) == 2
    assert "does not find them by itself: give --boxes" in capsys.readouterr().err
    save_volume(Path("other.nii.gz"), units_of(discs((1,), slices=5), 1))
    Path("boxes.json").write_text(json.dumps({scan.name: {"3": {"liver": [4, 2, 40, 20]}}}))
    for size in ("2", "5"):
        arguments = [str(checkpoint), str(scan), "other.nii.gz", "--boxes", "boxes.json"]
        assert main(["predict", *arguments, "--batch-size", size, "--out", size]) == 0
    for name, there in (("scan", [3]), ("other", [])):
        found = [Volume.open(Path(n) / "volumes" / f"{name}.nii.gz") for n in ("2", "5")]
        slices = [np.stack([v.plane(i) for i in range(v.shape[0])]) for v in found]
        np.testing.assert_array_equal(slices[0], slices[1])
        assert np.flatnonzero(slices[0].any((1, 2))).tolist() == there
        unsure = Volume.open(Path("2") / "volumes" / f"{name}-uncertainty.nii.gz")
        assert [i for i in range(5) if unsure.plane(i).any()] == there
    Path("boxes.json").write_text("{}")
    assert main(["predict", str(checkpoint), str(scan), "--boxes", "boxes.json"]) == 2
    assert "no box in the file" in capsys.readouterr().err


def test_options_without_effect_on_volumes_are_refused(
    checkpoint: Path, scan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--depth", ".", "--write", "contours", "--window", "0", "inf"]
    assert main(["predict", str(checkpoint), str(scan), *options]) == 2
    told = capsys.readouterr().err
    for line in ("--depth has no effect", "of volumes there are maps, masks, overlays", "finite"):
        assert line in told


def test_every_fault_is_told_at_once(
    checkpoint: Path, scan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("more").mkdir()
    Path("more/damaged.nii.gz").write_bytes(scan.read_bytes()[:200])
    save_volume(Path("more/scan.nii"), discs((1,)))
    Path("empty").mkdir()
    Path("picture.png").write_bytes(b"")
    boxes = {
        "scan.nii.gz": {
            "7": {"liver": [0, 0, 5, 5]},
            "1": {"liver": [9, 0, 5, 5]},
            "2": {"heart": [0, 0, 5, 5]},
            "3": {"spleen": [0, 0, 49, 5]},
        },
        "other.nii.gz": {},
    }
    Path("boxes.json").write_text(json.dumps(boxes))
    arguments = [str(scan), "more", "empty", "gone.nii", "picture.png", "--boxes", "boxes.json"]
    assert main(["predict", str(checkpoint), *arguments]) == 2
    told = capsys.readouterr().err
    for line in (
        "unreadable volume: 1",
        "damaged.nii.gz: damaged gzip file",
        "files whose outputs would have one name: 1",
        "folder without volumes: 1",
        "no such file or folder: 1",
        "no volume: images and videos are predicted by themselves: 1",
        "boxes of no volume that was given: 1",
        "boxes of a slice that is not there: 1",
        "scan.nii.gz: 7 of 5",
        "slice 1: box (9.0, 0.0, 5.0, 5.0): give x0 < x1",
        "slice 2: boxes: no class heart",
        "slice 3: box (0.0, 0.0, 49.0, 5.0)",
    ):
        assert line in told, line
    assert not Path("predictions").exists()
    Path("boxes.json").write_text('{"scan.nii.gz": [1, 2, 3, 4]}')
    assert main(["predict", str(checkpoint), str(scan), "--boxes", "boxes.json"]) == 2
    assert '{"VOLUME": {"SLICE": [x0, y0, x1, y1]}}' in capsys.readouterr().err
