"""The L3D reader on a small folder, in order and with one of every fault."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segcore.data import labelme
from segcore.data.faults import SHOWN, DataError
from segcore.data.sets.l3d import CLASSES, L3D

HEIGHT, WIDTH = 54, 96
RIDGE = {"label": "Ridge", "points": [[8, 40], [88, 40]]}
SILHOUETTE = {"label": "silhouette_1", "points": [[8, 10], [48, 8], [88, 10]]}
FALCIFORM = {"label": "falciform", "points": [[48, 8], [48, 40]]}


def write_frame(
    split_folder: Path,
    stem: str,
    shapes: tuple[dict[str, Any], ...] = (FALCIFORM, RIDGE, SILHOUETTE),
    depth: str = "depth_AdelaiDepth",
) -> None:
    for name in ("images", "labels", depth):
        (split_folder / name).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(stem))
    image = rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    Image.fromarray(image).save(split_folder / "images" / f"{stem}.jpg")
    ramp = np.linspace(0, 255, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint8)
    Image.fromarray(ramp).save(split_folder / depth / f"{stem}.png")
    label = {"shapes": list(shapes), "imageHeight": HEIGHT, "imageWidth": WIDTH}
    (split_folder / "labels" / f"{stem}.json").write_text(json.dumps(label))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two patients to train on, one to choose by, one to test."""
    for split, patients in (("Train", "12"), ("Val", "3"), ("Test", "4")):
        for patient in patients:
            for frame in (7, 12):
                write_frame(tmp_path / split, f"patient_{patient}_{frame:04d}")
    return tmp_path


def test_samples_carry_image_depth_and_landmarks(root: Path) -> None:
    data = L3D(root=str(root), line_width=0.1).open()
    assert data.classes is CLASSES
    assert data.ids("val") == ("patient_3_0007", "patient_3_0012")
    sample = data.load("val", "patient_3_0012", (48, 48))
    assert sample.patient_id == "patient_3"
    assert sample.image_HW3.shape == (48, 48, 3)
    assert sample.labels_HW.shape == (48, 48)
    assert sample.depth_HW is not None
    assert sample.depth_HW.dtype == np.uint8
    assert sample.depth_HW[-1, -1] > 200 > sample.depth_HW[0, 0]
    x, y = 48 * 24 // WIDTH, 48 / HEIGHT
    assert sample.labels_HW[int(40 * y), x] == 1
    assert sample.labels_HW[int(9 * y), x] == 2
    assert sample.labels_HW[int(25 * y), 24] == 3
    assert set(np.unique(sample.labels_HW)) == {0, 1, 2, 3}


def test_depth_in_millimetres_needs_its_range(root: Path) -> None:
    for path in root.glob("*/depth_AdelaiDepth/*.png"):
        ramp = np.linspace(60, 180, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
        Image.fromarray(ramp).save(path)
    with pytest.raises(DataError, match=r"depth of 16 bits, from 60 to 180.* data.depth_range"):
        L3D(root=str(root)).open()
    sample = L3D(root=str(root), depth_range=(60, 180)).open().load("val", "patient_3_0012", None)
    assert sample.depth_HW is not None
    assert (sample.depth_HW[0, 0], sample.depth_HW[-1, -1]) == (0, 255)


def test_crossing_lines_keep_the_later_class_whatever_their_order(root: Path) -> None:
    data = L3D(root=str(root), line_width=0.1).open()
    forward = data.load("val", "patient_3_0007", (54, 54)).labels_HW
    write_frame(root / "Val", "patient_3_0007", (SILHOUETTE, RIDGE, FALCIFORM))
    backward = L3D(root=str(root), line_width=0.1).open().load("val", "patient_3_0007", (54, 54))
    np.testing.assert_array_equal(forward, backward.labels_HW)
    assert forward[40, 27] == 3


@pytest.mark.parametrize(("width", "rows"), [(5 / HEIGHT, 5), (11 / HEIGHT, 11)])
def test_line_width_is_a_share_of_the_height(root: Path, width: float, rows: int) -> None:
    data = L3D(root=str(root), line_width=width).open()
    labels = data.load("val", "patient_3_0012", (HEIGHT, HEIGHT)).labels_HW
    assert (labels[:, 12] == 1).sum() == rows


@pytest.mark.parametrize("size", [37, 54, 200])
def test_resizing_never_blends_class_indices(root: Path, size: int) -> None:
    """D2GPLand's own reader does: fringes of ridge and silhouette around every ligament."""
    write_frame(root / "Val", "patient_3_0007", (FALCIFORM,))
    labels = L3D(root=str(root), line_width=0.1).open().load("val", "patient_3_0007", (size, size))
    assert set(np.unique(labels.labels_HW)) == {0, 3}


def test_the_canvas_is_the_size_that_the_label_states() -> None:
    label = {"shapes": [RIDGE], "imageHeight": 200, "imageWidth": 300}
    drawn = labelme.draw(labelme.parse(json.dumps(label)), [1], width=3)
    assert drawn.shape == (200, 300)
    assert drawn.dtype == np.uint8


def test_lower_case_folders_and_depth_are_read_too(root: Path) -> None:
    before = L3D(root=str(root)).open()
    for split in ("Train", "Val", "Test"):
        (root / split / "depth_AdelaiDepth").rename(root / split / "depth")
        (root / split).rename(root / split.lower())
    after = L3D(root=str(root)).open()
    assert after.ids("train") == before.ids("train")
    assert after.content_hash() == before.content_hash()


def test_the_hash_is_of_the_content_not_of_the_place(root: Path, tmp_path: Path) -> None:
    first = L3D(root=str(root)).open().content_hash()
    copy = tmp_path / "elsewhere"
    shutil.copytree(root, copy, ignore=shutil.ignore_patterns("elsewhere"))
    assert L3D(root=str(copy)).open().content_hash() == first
    write_frame(copy / "Train", "patient_2_0007", (RIDGE,))
    assert L3D(root=str(copy)).open().content_hash() != first


def test_a_sample_is_decoded_once(root: Path) -> None:
    data = L3D(root=str(root)).open()
    first = data.load("train", "patient_1_0007", (32, 32))
    shutil.rmtree(root / "Train")
    assert data.load("train", "patient_1_0007", (32, 32)) is first
    with pytest.raises(OSError, match="patient_1_0007"):
        data.load("train", "patient_1_0007", (64, 64))


def test_the_patient_may_be_written_otherwise(root: Path) -> None:
    data = L3D(root=str(root), patient=r"patient_(\d)_.*").open()
    assert data.load("test", data.ids("test")[0], (16, 16)).patient_id == "4"
    with pytest.raises(ValueError, match="no regular expression"):
        L3D(root=str(root), patient="(")
    with pytest.raises(ValueError, match=r"no \(group\)"):
        L3D(root=str(root), patient="patient")


def test_a_name_in_which_the_patient_is_left_out_is_a_fault(root: Path) -> None:
    with pytest.raises(DataError, match=r"file name without a patient .*: 8\n    Train/images"):
        L3D(root=str(root), patient=r"(case\d)?.*").open()


def test_a_missing_root_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder") as caught:
        L3D(root=str(tmp_path / "nowhere")).open()
    assert "images/<patient>_<frame>.jpg" in str(caught.value)
    assert "synthetic_liver" in str(caught.value)


def damage(root: Path) -> list[str]:
    """One of every fault; returns what the error must say, kind by kind."""
    train, val = root / "Train", root / "Val"
    for i in range(1, 9):
        write_frame(train, f"patient_5_{i:04d}")
    (train / "labels" / "patient_5_0001.json").unlink()
    (train / "images" / "patient_5_0002.jpg").unlink()
    (train / "depth_AdelaiDepth" / "patient_5_0003.png").unlink()
    image = train / "images" / "patient_5_0004.jpg"
    image.write_bytes(image.read_bytes()[:700])
    (train / "labels" / "patient_5_0005.json").write_text("{not json")
    (train / "labels" / "patient_5_0006.json").write_text('{"version": "5"}')
    write_frame(train, "patient_5_0007", ({**RIDGE, "label": "vessel"},))
    Image.new("RGB", (WIDTH, HEIGHT + 1)).save(train / "images" / "patient_5_0008.jpg")
    depth = train / "depth_AdelaiDepth" / "patient_1_0007.png"
    depth.write_bytes(depth.read_bytes()[:50])
    squashed = train / "depth_AdelaiDepth" / "patient_1_0012.png"
    Image.new("L", (WIDTH // 2, HEIGHT)).save(squashed)
    write_frame(train, "whole")
    write_frame(val, "patient_1_0099")
    write_frame(val, "patient_3_0050", ({"label": "ridge", "points": [[1, "x"]]},))
    shutil.rmtree(root / "Test" / "images")
    return [
        "image without label: 1\n    Train/images/patient_5_0001.jpg",
        "label without image: 1\n    Train/labels/patient_5_0002.json",
        "image without depth: 1\n    Train/images/patient_5_0003.jpg",
        "unreadable image: 1\n    Train/images/patient_5_0004.jpg",
        "not a labelme file: 3\n    Train/labels/patient_5_0005.json",
        "Train/labels/patient_5_0006.json: no list of shapes",
        "Val/labels/patient_3_0050.json: shape 'ridge': points are not",
        "unknown label (first letter: r ridge, s silhouette, l or f ligament): 1\n"
        "    Train/labels/patient_5_0007.json: 'vessel'",
        "label states another image size: 1\n"
        "    Train/labels/patient_5_0008.json: 96x54, image is 96x55",
        "unreadable depth: 1\n    Train/depth_AdelaiDepth/patient_1_0007.png",
        "depth map of another shape than its image: 1\n"
        "    Train/depth_AdelaiDepth/patient_1_0012.png: 48x54, image is 96x54",
        "file name without a patient (see the field `patient`): 1\n    Train/images/whole.jpg",
        "patient in more than one split: 1\n    patient_1: train, val",
        "missing folder: 1\n    Test/images",
    ]


def test_one_error_lists_every_fault(root: Path) -> None:
    expected = damage(root)
    with pytest.raises(DataError) as caught:
        L3D(root=str(root)).open()
    message = str(caught.value)
    for fault in expected:
        assert fault in message
    assert "expected layout" in message


def test_missing_and_empty_splits_are_faults(root: Path) -> None:
    shutil.rmtree(root / "Test")
    for image in (root / "Val" / "images").iterdir():
        image.unlink()
    with pytest.raises(DataError) as caught:
        L3D(root=str(root)).open()
    assert "missing folder: 1\n    Test" in str(caught.value)
    assert "split without images: 1\n    Val/images/*.jpg" in str(caught.value)


def test_two_folders_for_a_split_are_a_fault(root: Path) -> None:
    (root / "train").mkdir()
    if len(list(root.iterdir())) == 3:
        pytest.skip("this file system does not tell Train from train")
    with pytest.raises(DataError, match="two folders for one split: 1\n    Train and train"):
        L3D(root=str(root)).open()


def test_long_lists_are_cut_short(root: Path) -> None:
    for i in range(SHOWN + 5):
        write_frame(root / "Train", f"patient_5_{i:04d}", ({**RIDGE, "label": "?"},))
    with pytest.raises(DataError, match="and 5 more"):
        L3D(root=str(root)).open()
