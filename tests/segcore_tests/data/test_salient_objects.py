"""Sets in a training and a test half: every layout in use, and val taken from train."""

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from segcore.data import DATASETS
from segcore.data.dataset import SPLITS, DataConfig
from segcore.data.faults import DataError
from segcore.data.frames import Frame
from segcore.data.sets.folder import Folder
from segcore.data.sets.kvasir_sessile import KvasirSessile
from segcore.data.sets.salient_objects import CAMO, COD10K, EORSSD, MMSEG, SalientObjects
from segcore.data.splits import val_from_train
from segcore.metrics import METRICS

NAMES = ("orssd", "eorssd", "orsi_4199", "camo", "cod10k")
PREFIXES = {"camo": "camourflage_", "cod10k": "COD10K-CAM-1-Aquatic-1-BatFish-"}
LAYOUTS = [(name, layout) for name in NAMES for layout in DATASETS[name].load().known]


def save(path: Path, values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, np.uint8)).save(path)


def write(
    root: Path, folders: Sequence[str], stems: tuple[list[str], list[str]], white: int = 255
) -> None:
    """A photograph and a mask with a square of each stem, of train and of test."""
    for half, (images, masks) in enumerate((folders[:2], folders[2:])):
        for n, stem in enumerate(stems[half]):
            rng = np.random.default_rng((half, n))
            save(root / images / f"{stem}.jpg", rng.integers(0, 255, (24, 32, 3)))
            mask = np.zeros((24, 32))
            mask[4:14, 3 + half : 13 + n % 8] = white
            save(root / masks / f"{stem}.png", mask)


def stems(name: str, train: int = 30, test: int = 4) -> tuple[list[str], list[str]]:
    prefix = PREFIXES.get(name, "")
    numbers = [f"{prefix}{n:04d}" for n in range(train + test)]
    return numbers[:train], numbers[train:]


def config(name: str, root: Path, **fields: Any) -> SalientObjects:
    found = DataConfig.named(name, root=str(root), **fields)
    assert isinstance(found, SalientObjects)
    return found


@pytest.mark.parametrize(("name", "layout"), LAYOUTS)
def test_every_layout_in_use_is_found(name: str, layout: Sequence[str], tmp_path: Path) -> None:
    write(tmp_path, layout, stems(name), white=1 if layout == MMSEG else 255)
    masks: Any = "indices" if layout == MMSEG else "black_white"
    data = config(name, tmp_path, masks=masks, val_from_train=0.3).open()
    train, val, test = (list(data.ids(split)) for split in SPLITS)
    assert sorted(train + val) == stems(name)[0]
    assert test == stems(name)[1]
    assert 2 <= len(val) <= 18
    sample = data.load("test", test[0], None)
    assert sample.labels_HW.sum() == 10 * 9
    assert len(data.classes.foreground) == 1


def test_letters_may_be_of_either_case(tmp_path: Path) -> None:
    write(tmp_path, ("Train/Image", "Train/gt", "Test/Image", "Test/gt"), stems("eorssd"))
    assert len(config("eorssd", tmp_path).open().ids("test")) == 4


def test_any_other_layout_can_be_named(tmp_path: Path) -> None:
    mine = ("a/rgb", "masks", "b/rgb", "masks")
    write(tmp_path, mine, stems("orssd"))
    with pytest.raises(DataError, match="missing folder: 1\n    there is none of any known layout"):
        config("orssd", tmp_path).open()
    data = config("orssd", tmp_path, folders=mine).open()
    assert len(data.ids("test")) == 4


def test_two_layouts_in_one_folder_are_a_fault(tmp_path: Path) -> None:
    first, second = EORSSD.known[0], EORSSD.known[2]
    for layout in (first, second):
        write(tmp_path, layout, stems("eorssd"))
    with pytest.raises(DataError, match="more than one layout: name one of them with `folders`"):
        config("eorssd", tmp_path).open()
    assert config("eorssd", tmp_path, folders=second).open().ids("test")


def test_both_halves_may_count_from_one(tmp_path: Path) -> None:
    numbers = [f"{n:04d}" for n in range(20)]
    write(tmp_path, EORSSD.known[2], (numbers, numbers[:5]))
    data = config("eorssd", tmp_path).open()
    assert list(data.ids("test")) == numbers[:5]


def test_images_of_other_sets_are_passed_over(tmp_path: Path) -> None:
    """SINet's training folder has CAMO and COD10K together; COD10K's has images of nothing."""
    train = [*stems("camo")[0], *stems("cod10k")[0], "COD10K-NonCAM-3-Flying-1"]
    write(tmp_path, CAMO.known[1], (train, stems("camo")[1]))
    write(tmp_path, COD10K.known[1], (train, stems("cod10k")[1]))
    for name in ("camo", "cod10k"):
        data = config(name, tmp_path).open()
        assert sorted([*data.ids("train"), *data.ids("val")]) == stems(name)[0]
        assert list(data.ids("test")) == stems(name)[1]


def test_every_fault_stands_in_one_message(tmp_path: Path) -> None:
    layout = EORSSD.known[0]
    write(tmp_path, layout, stems("eorssd"))
    (tmp_path / "train-labels" / "0003.png").unlink()
    (tmp_path / "train-images" / "0005.jpg").unlink()
    save(tmp_path / "train-labels" / "0007.png", np.full((24, 32), 120))
    save(tmp_path / "train-labels" / "0009.png", np.zeros((8, 8)))
    shutil.rmtree(tmp_path / "test-images")
    with pytest.raises(DataError) as caught:
        config("eorssd", tmp_path).open()
    told = str(caught.value)
    for fault in (
        "image without mask: 1\n    train-images/0003.jpg",
        "mask without image: 1\n    train-labels/0005.png",
        "odd mask values: 1\n    train-labels/0007.png",
        "mask of another size: 1\n    train-labels/0009.png: 8x8, image is 32x24",
        "missing folder: 1\n    test-images",
        "split without images: 1\n    test",
        "expected layout",
    ):
        assert fault in told


def test_masks_of_ones_say_what_to_set(tmp_path: Path) -> None:
    write(tmp_path, MMSEG, stems("orssd"), white=1)
    with pytest.raises(DataError, match="holds nothing lighter than 1"):
        config("orssd", tmp_path).open()


def test_turned_copies_stay_together(tmp_path: Path) -> None:
    train = [f"{n:03d}_{turn}" for n in range(25) for turn in (0, 90, 180)]
    write(tmp_path, EORSSD.known[0], (train, ["900_0"]))
    data = config("eorssd", tmp_path, group="([0-9]+)_[0-9]+", val_from_train=0.4).open()
    sides = [{i.partition("_")[0] for i in data.ids(split)} for split in ("train", "val")]
    assert all(sides)
    assert not sides[0] & sides[1]


@pytest.mark.parametrize("name", NAMES)
def test_what_does_nothing_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no val half"):
        config(name, tmp_path, val_from_train=0.0)
    with pytest.raises(ValueError, match="group: .* has no .group."):
        config(name, tmp_path, group=".+")
    with pytest.raises(ValueError, match="names: .* is no regular expression"):
        config(name, tmp_path, names="(")
    assert all(key in METRICS for key in config(name, tmp_path).metrics)


def frames(names: Sequence[str]) -> dict[str, Frame]:
    return {n: Frame(n.partition("_")[0], Path(n), Path(n)) for n in names}


patients = st.lists(st.integers(0, 60).map(lambda n: f"p{n // 3}_{n}"), unique=True)


@given(patients, patients, st.floats(0.05, 0.95))
def test_images_that_are_added_move_no_other(few: list[str], more: list[str], share: float) -> None:
    before = val_from_train(frames(few), {}, share)
    after = val_from_train(frames(sorted({*few, *more})), {}, share)
    for split in ("train", "val"):
        assert set(before[split]) <= set(after[split])
    assert {*before["train"], *before["val"]} == set(few)
    groups = [{f.patient for f in after[s].values()} for s in ("train", "val")]
    assert not groups[0] & groups[1]


def test_about_as_many_are_taken_as_asked() -> None:
    taken = val_from_train(frames([f"p{n}" for n in range(3000)]), {}, 0.2)
    assert len(taken["val"]) / 3000 == pytest.approx(0.2, abs=0.03)


def test_folders_of_two_splits_get_their_val_from_train(tmp_path: Path) -> None:
    layout = ("train/images", "train/masks", "test/images", "test/masks")
    write(tmp_path, layout, ([f"p{n // 3}-{n}" for n in range(30)], ["q1-0", "q2-0"]))
    fields: Any = {"root": str(tmp_path), "images": "{split}/images", "masks": "{split}/masks"}
    mine = Folder(**fields, patient="(.+)-.+")
    kvasir = KvasirSessile(root=str(tmp_path))
    for refused in (mine, kvasir):
        with pytest.raises(DataError, match=r"missing folder(.|\n)*val_from_train=0"):
            refused.open()
        data = dataclasses.replace(refused, val_from_train=0.3).open()
        assert data.ids("val")
        assert len(data.ids("train")) + len(data.ids("val")) == 30
        if refused is mine:
            sides = [{s.patient_id for s in data.sources(x).values()} for x in ("train", "val")]
            assert not sides[0] & sides[1]
    shutil.copytree(tmp_path / "test", tmp_path / "val")
    for config_ in (mine, kvasir):
        with pytest.raises(DataError, match="changes nothing where there is a folder of val"):
            dataclasses.replace(config_, val_from_train=0.3).open()
    with pytest.raises(ValueError, match="val_from_train changes nothing without folders"):
        Folder(root=str(tmp_path), val_from_train=0.1)
    shutil.rmtree(tmp_path / "val")
    shutil.rmtree(tmp_path / "test")
    flat = KvasirSessile(root=str(tmp_path / "train"), val_from_train=0.1)
    with pytest.raises(DataError, match="changes nothing without folders of train and test"):
        flat.open()
