"""Pixels whose truth nobody knows: declared in every kind of file, and in no loss and no score."""

import json
from pathlib import Path

import numpy as np
import pytest
from support.data_folders import HEIGHT, WIDTH, nifti_folder, nnunet, picture, save
from support.volumes import discs, save_volume

from segcore.data import nnunet_layout
from segcore.data.dataset import DataConfig, Sample
from segcore.data.faults import DataError
from segcore.data.loader import collate
from segcore.data.sets.folder import Folder
from segcore.data.sets.nifti_folder import NiftiFolder
from segcore.data.sets.nnunet import NnUnet


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGTUNE_CACHE", str(tmp_path / "cache"))


def partly(root: Path, *, unknown: int = 255, colours: bool = False) -> None:
    """Six images: an object on the left, and the rows from 30 on not looked at."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[10:40, 5:20] = 1
    mask[30:] = unknown
    table = np.zeros((256, 3), np.uint8)
    table[1], table[unknown] = (255, 0, 0), (255, 255, 255)
    for n in range(6):
        picture(root / "images" / f"{n}.png", n)
        save(root / "masks" / f"{n}.png", table[mask] if colours else mask)


def first(config: DataConfig, size: tuple[int, int] | None = None) -> Sample:
    data = config.open()
    return data.load("train", data.ids("train")[0], size)


@pytest.mark.parametrize(
    ("colours", "classes"),
    [
        (False, ("polyp=1", "ignore=255")),
        (False, ("polyp=1", "background=0", "ignore=250..255|99")),
        (True, ("polyp=#ff0000", "ignore=#ffffff")),
    ],
)
def test_masks_of_a_folder_say_what_nobody_knows(
    tmp_path: Path, colours: bool, classes: tuple[str, ...]
) -> None:
    partly(tmp_path, colours=colours)
    config = Folder(root=str(tmp_path), classes=classes)
    sample = first(config)
    assert config.class_spec().names == ("polyp",)
    assert sample.ignore_HW is not None
    assert sample.ignore_HW[30:].all()
    assert not sample.ignore_HW[:30].any()
    assert sample.labels_HW.sum() == 20 * 15
    batch = collate([first(config, (24, 32))], config.class_spec())
    assert batch.ignore_B1HW is not None
    assert batch.ignore_B1HW.sum() == 9 * 32


def test_without_such_a_value_there_is_no_mask_and_the_level_is_odd(tmp_path: Path) -> None:
    partly(tmp_path)
    with pytest.raises(DataError, match=r"levels of no class: 255"):
        Folder(root=str(tmp_path), classes=("polyp=1",)).open()
    partly(tmp_path, unknown=0)
    assert first(Folder(root=str(tmp_path), classes=("polyp=1",))).ignore_HW is None


def test_zero_may_be_what_nobody_knows(tmp_path: Path) -> None:
    partly(tmp_path, unknown=2)
    sample = first(Folder(root=str(tmp_path), classes=("polyp=1", "background=2", "ignore=0")))
    assert sample.ignore_HW is not None
    assert sample.ignore_HW[0].all()
    assert not sample.ignore_HW[30:].any()


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("ignore=255",), "no class but the background"),
        (("polyp=128..255", "ignore=255"), "polyp and ignore .they share values"),
    ],
)
def test_values_that_cannot_be_told_apart_are_refused(
    classes: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Folder(root="nowhere", classes=classes)


def with_unknown(path: Path, label: int) -> None:
    labels = discs((1, 9) if label == 200 else (1, 2))
    labels[:, :5] = label
    save_volume(path, labels)


def test_labels_of_volumes_too(tmp_path: Path) -> None:
    nifti_folder(tmp_path)
    for n in range(6):
        with_unknown(tmp_path / "labels" / f"p{n}.nii.gz", 200)
    classes = ("liver=1", "tumour=9")
    with pytest.raises(DataError, match="labels beyond the list"):
        NiftiFolder(root=str(tmp_path), classes=classes).open()
    config = NiftiFolder(root=str(tmp_path), classes=(*classes, "ignore=200"))
    sample = first(config)
    assert config.class_spec().foreground == ("liver", "tumour")
    assert sample.ignore_HW is not None
    assert sample.ignore_HW[:5].all()
    assert not sample.ignore_HW[5:].any()
    assert first(NiftiFolder(root=str(tmp_path), classes=config.classes, organs=("liver",)))
    with pytest.raises(ValueError, match="organs: no ignore: choose of liver, tumour"):
        NiftiFolder(root=str(tmp_path), classes=config.classes, organs=("ignore",))


def test_nnunets_ignore_label_is_read_and_written(tmp_path: Path) -> None:
    root = tmp_path / "Dataset001_Liver"
    nnunet(root)
    for path in sorted(root.glob("labels*/*.nii.gz")):
        with_unknown(path, 3)
    about = json.loads((root / "dataset.json").read_text())
    about["labels"]["ignore"] = 3
    (root / "dataset.json").write_text(json.dumps(about))
    config = NnUnet(root=str(root))
    sample = first(config)
    assert sample.ignore_HW is not None
    assert sample.ignore_HW[:5].all()
    assert not sample.ignore_HW[5:].any()
    with pytest.raises(DataError, match="no ignore: choose of liver, tumour"):
        NnUnet(root=str(root), classes=("ignore",)).open()
    written = nnunet_layout.write(config.open(), tmp_path / "Dataset002_Again", channel="CT")
    again = json.loads((written.folder / "dataset.json").read_text())
    assert again["labels"] == {"background": 0, "liver": 1, "tumour": 2, "ignore": 3}
    copied = first(NnUnet(root=str(written.folder)))
    np.testing.assert_array_equal(copied.labels_HW, sample.labels_HW)
    np.testing.assert_array_equal(copied.ignore_HW, sample.ignore_HW)


def test_pictures_in_nnunets_layout_have_it_too(tmp_path: Path) -> None:
    partly(tmp_path / "mine", unknown=2)
    mine = Folder(root=str(tmp_path / "mine"), classes=("polyp=1", "ignore=2"))
    written = nnunet_layout.write(mine.open(), tmp_path / "Dataset003_Polyps", channel="CT")
    again = first(NnUnet(root=str(written.folder), kind="pictures", test_labels=True))
    assert again.ignore_HW is not None
    assert again.ignore_HW[30:].all()
    assert again.labels_HW.sum() == 20 * 15
