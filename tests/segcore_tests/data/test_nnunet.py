"""nnU-Net's raw layout, read and written."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from support.data_folders import folder as folder_of_pictures
from support.data_folders import nifti_folder, nnunet, synthetic_liver
from support.volumes import discs, save_volume, units_of

from segcore.data import nnunet_layout
from segcore.data.dataset import SPLITS, Dataset, Split
from segcore.data.faults import DataError
from segcore.data.sets.nnunet import NnUnet


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGTUNE_CACHE", str(tmp_path / "cache"))


def cases(dataset: Dataset, split: Split) -> set[str]:
    return {s.case_id or i for i, s in dataset.sources(split).items()}


def test_volumes_are_divided_as_the_fold_says(tmp_path: Path) -> None:
    config = nnunet(tmp_path / "Dataset001_Liver")
    data = config.open()
    assert [sorted(cases(data, split)) for split in SPLITS] == [
        ["p0", "p1", "p2", "p3"],
        ["p4", "p5"],
        ["p6", "p7"],
    ]
    assert str(data.classes) == "background, liver, tumour"
    sample = data.load("test", "p6_0002", None)
    assert sample.spacing_mm == (5.0, 1.5, 2.0)
    np.testing.assert_array_equal(sample.labels_HW, discs((1, 2))[2])
    one = NnUnet(root=str(tmp_path / "Dataset001_Liver"), classes=("tumour",)).open()
    np.testing.assert_array_equal(one.load("test", "p6_0002", None).labels_HW, discs((1, 2))[2] > 1)


def test_the_decathlons_labels_channels_and_missing_test(tmp_path: Path) -> None:
    root = tmp_path / "Dataset001_Liver"
    nnunet(root)
    (root / "splits_final.json").unlink()
    shutil.rmtree(root / "labelsTs")
    about = {"labels": {"0": "background", "1": "liver", "2": "tumour"}, "modality": {"0": "CT"}}
    (root / "dataset.json").write_text(json.dumps(about))
    for n in range(6):
        save_volume(root / "imagesTr" / f"p{n}_0001.nii.gz", units_of(discs((2, 1)), 10 + n))
    with pytest.raises(DataError, match="missing folder: 1\n    labelsTs"):
        NnUnet(root=str(root)).open()
    config = NnUnet(root=str(root), channel=1, test_labels=False, val_from_train=0.4)
    data = config.open()
    assert len(data.ids("test")) == 0
    assert cases(data, "train") | cases(data, "val") == {f"p{n}" for n in range(6)}
    assert cases(data, "val")
    first = next(iter(data.sources("train").values())).file
    assert first is not None
    assert first.name.endswith("_0001.nii.gz")


def test_every_fault_is_named(tmp_path: Path) -> None:
    root = tmp_path / "Dataset001_Liver"
    nnunet(root)
    (root / "imagesTr" / "p0_0000.nii.gz").unlink()
    (root / "labelsTs" / "p7.nii.gz").unlink()
    (root / "splits_final.json").write_text(json.dumps([{"train": ["p1", "p9"], "val": ["p2"]}]))
    with pytest.raises(DataError) as error:
        NnUnet(root=str(root)).open()
    for message in (
        "labels without image: 1\n    labelsTr/p0.nii.gz",
        "image without labels: 1\n    imagesTs/p7_0000.nii.gz",
        "case of splits_final.json that is not in imagesTr and labelsTr: 1\n    p9",
    ):
        assert message in str(error.value)
    for changes, message in (
        ({"fold": 3}, "no train and val of fold 3"),
        ({"classes": ("heart",)}, "classes: no heart: choose of liver, tumour"),
        ({"kind": "pictures"}, "its files end in .nii.gz: give kind='volumes'"),
        ({"channel": 4}, "folder without images that end in _0004"),
    ):
        with pytest.raises(DataError, match=message):
            NnUnet(root=str(root), **changes).open()
    with pytest.raises(ValueError, match="channel has no effect"):
        NnUnet(root="x", kind="pictures", channel=1)
    (root / "dataset.json").write_text(json.dumps({"labels": {"whole": [1, 2], "ignore": 0}}))
    with pytest.raises(DataError, match=r"label 'whole' = \[1, 2\](.|\n)*label 'ignore' = 0"):
        NnUnet(root=str(root)).open()


@pytest.mark.parametrize("write", [nifti_folder, folder_of_pictures, synthetic_liver])
def test_what_is_written_is_read_back_the_same(tmp_path: Path, write: object) -> None:
    assert callable(write)
    data = write(tmp_path / "source").open()
    root = tmp_path / "raw" / "Dataset501_Own"
    written = nnunet_layout.write(data, root, channel="CT")
    kind = "volumes" if write is nifti_folder else "pictures"
    again = NnUnet(root=str(root), kind=kind).open()  # type: ignore[arg-type]
    assert again.classes == data.classes
    assert [len(cases(again, split)) for split in SPLITS] == [*written.cases.values()]
    for split in SPLITS:
        assert cases(again, split) == cases(data, split)
        for sample_id in data.ids(split):
            one, other = (d.load(split, sample_id, None) for d in (data, again))
            np.testing.assert_array_equal(one.image_HW3, other.image_HW3)
            np.testing.assert_array_equal(one.labels_HW, other.labels_HW)
            assert one.spacing_mm == other.spacing_mm
    about = json.loads((root / "dataset.json").read_text())
    assert about["labels"] == {"background": 0} | {
        name: n for n, name in enumerate(data.classes.foreground, start=1)
    }
    assert about["numTraining"] == len(list((root / "labelsTr").iterdir()))


def test_files_are_as_nnunet_has_them(tmp_path: Path) -> None:
    data = nifti_folder(tmp_path / "source").open()
    root = tmp_path / "Dataset501_Own"
    nnunet_layout.write(data, root, channel="MR")
    about = json.loads((root / "dataset.json").read_text())
    assert about["channel_names"] == {"0": "MR"}
    (fold,) = json.loads((root / "splits_final.json").read_text())
    named = {p.name for p in (root / "imagesTr").iterdir()}
    assert named == {f"{case}_0000.nii.gz" for case in [*fold["train"], *fold["val"]]}
    case = fold["train"][0]
    image, label = (
        nib.nifti1.load(root / part)
        for part in (f"imagesTr/{case}_0000.nii.gz", f"labelsTr/{case}.nii.gz")
    )
    np.testing.assert_allclose(image.affine, label.affine)
    assert image.shape == label.shape
    source = nib.nifti1.load(tmp_path / "source" / "volumes" / f"{case}.nii")
    np.testing.assert_array_equal(np.asarray(image.dataobj), np.asarray(source.dataobj))
    assert set(np.unique(np.asarray(label.dataobj))) == {0, 1, 2}, "9 of the source is the second"
    with pytest.raises(DataError, match="there already"):
        nnunet_layout.write(data, root, channel="CT")


def test_pictures_are_rgb_with_labels_from_one(tmp_path: Path) -> None:
    data = folder_of_pictures(tmp_path / "source").open()
    root = tmp_path / "Dataset502_Own"
    nnunet_layout.write(data, root, channel="CT")
    case = data.ids("test")[0]
    with Image.open(root / "imagesTs" / f"{case}_0000.png") as image:
        assert image.mode == "RGB"
    with Image.open(root / "labelsTs" / f"{case}.png") as label:
        assert label.mode == "L"
        assert {*np.unique(np.array(label))} <= {0, 1, 2}
    assert json.loads((root / "dataset.json").read_text())["channel_names"] == {
        "0": "R",
        "1": "G",
        "2": "B",
    }
