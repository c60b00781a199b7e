"""Sets of volumes: what they hold, how they are divided, and every fault of them at once."""

from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pytest
from support.volumes import SPACING_MM, discs, save_volume, units_of

from segcore.data.dataset import SPLITS
from segcore.data.faults import DataError
from segcore.data.scenes import organ_atlas
from segcore.data.sets.amos import AMOS
from segcore.data.sets.amos import ORGANS as AMOS_ORGANS
from segcore.data.sets.bcv import BCV, TRANSUNET_TEST
from segcore.data.sets.bcv import ORGANS as BCV_ORGANS
from segcore.data.sets.bcv_transunet import SAMED, BCVTransUNet
from segcore.data.sets.nifti_folder import NiftiFolder
from segcore.data.sets.synthetic_organs import SyntheticOrgans
from segcore.data.survey import survey
from segcore.data.volumes.volume_folder import windowed

STORED = ("LPS", "RAS", "LAS", "PIR", "SLA")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGTUNE_CACHE", str(tmp_path / "cache"))


def write_bcv(root: Path, count: int = 8) -> None:
    for n in range(1, count + 1):
        labels = discs((6, 13), slices=4)
        stored = STORED[n % len(STORED)]
        save_volume(root / "img" / f"img{n:04d}.nii.gz", units_of(labels, n), stored=stored)
        # Labels may be stored in another order than their volume.
        other = STORED[(n + 1) % len(STORED)] if n % 2 else stored
        path = root / "label" / f"label{n:04d}.nii.gz"
        save_volume(path, labels, stored=other)
        image, label = (nib.nifti1.load(p) for p in (root / "img" / f"img{n:04d}.nii.gz", path))
        assert (image.affine != label.affine).any() == bool(n % 2)


def write_amos(root: Path) -> None:
    for part, numbers in (("Tr", (1, 4, 5, 7, 9, 507)), ("Va", (8, 13, 540))):
        for n in numbers:
            labels = discs((6, 14), slices=3)
            name = f"amos_{n:04d}.nii.gz"
            save_volume(root / f"images{part}" / name, units_of(labels, n))
            save_volume(root / f"labels{part}" / name, labels.astype(np.float64))


def test_a_slice_is_what_was_drawn_whatever_the_order_of_axes(tmp_path: Path) -> None:
    write_bcv(tmp_path)
    data = BCV(root=str(tmp_path)).open()
    labels = discs((6, 13), slices=4)
    for split in SPLITS:
        for sample_id in data.ids(split):
            sample = data.load(split, sample_id, None)
            number, index = int(sample.case_id[3:]), sample.slice
            np.testing.assert_array_equal(sample.labels_HW, labels[index])
            expected = windowed(units_of(labels, number)[index], (-125, 275))
            np.testing.assert_array_equal(sample.image_HW3, expected)
            assert sample.spacing_mm == pytest.approx(SPACING_MM)
            assert sample.patient_id == sample.case_id
            small = data.load(split, sample_id, (16, 8))
            assert small.spacing_mm == pytest.approx((5.0, 3.0, 8.0))


def test_cases_are_whole_and_training_is_on_labelled_slices(tmp_path: Path) -> None:
    write_bcv(tmp_path)
    config = BCV(root=str(tmp_path))
    data = config.open()
    cases = {split: {i[:-5] for i in data.ids(split)} for split in SPLITS}
    assert sum(map(len, cases.values())) == len(set.union(*cases.values())) == 8
    assert all(cases.values())
    assert len(data.ids("train")) == 3 * len(cases["train"]), "the lowest slice holds no organ"
    assert len(data.ids("test")) == 4 * len(cases["test"])
    every = BCV(root=str(tmp_path), train_slices="all").open()
    assert len(every.ids("train")) == 4 * len(cases["train"])
    assert "assd.per_case_mm" in config.metrics
    assert "dice.per_image" in config.metrics


def test_chosen_organs(tmp_path: Path) -> None:
    write_bcv(tmp_path)
    liver = BCV(root=str(tmp_path), organs=("liver",)).open()
    assert liver.classes.names == ("liver",)
    assert not liver.classes.exclusive
    sample = liver.load("test", liver.ids("test")[2], None)
    np.testing.assert_array_equal(sample.labels_HW > 0, discs((6, 13))[2] == 6)
    two = BCV(root=str(tmp_path), organs=("left_adrenal", "liver")).open()
    assert two.classes.names == ("background", "left_adrenal", "liver")
    labels = two.load("test", two.ids("test")[2], None).labels_HW
    assert ((labels == 1) == (discs((6, 13))[2] == 13)).all()
    assert ((labels == 2) == (discs((6, 13))[2] == 6)).all()


def test_bcvs_organs_and_transunets_choice_of_them(tmp_path: Path) -> None:
    assert len(BCV_ORGANS) == 13
    assert len(AMOS_ORGANS) == 15
    assert sorted(AMOS_ORGANS.keys() & BCV_ORGANS.keys()) == sorted(
        BCV_ORGANS.keys() - {"portal_splenic_vein"}
    )
    assert len(TRANSUNET_TEST) == 12
    write_bcv(tmp_path, count=10)
    named = ("img0001", "img0002", "img0003")
    data = BCV(root=str(tmp_path), organs=SAMED, test=named).open()
    assert {data.sources("test")[i].patient_id for i in data.ids("test")} == set(named)
    assert len({data.sources("val")[i].patient_id for i in data.ids("val")}) == 2
    with pytest.raises(DataError, match=r"volume that test names and that is not there: 8"):
        BCV(root=str(tmp_path), test=TRANSUNET_TEST[2:] + ("img0099",)).open()


def test_amos_is_divided_as_published(tmp_path: Path) -> None:
    write_amos(tmp_path)
    data = AMOS(root=str(tmp_path), val_from_train=0.5).open()
    cases = {split: {i[:-5] for i in data.ids(split)} for split in SPLITS}
    assert cases["test"] == {"amos_0008", "amos_0013"}
    assert cases["train"] | cases["val"] == {f"amos_{n:04d}" for n in (1, 4, 5, 7, 9)}
    assert cases["val"] == {"amos_0005", "amos_0009"}, "by the hash of their names"
    external = AMOS(root=str(tmp_path), organs=("liver",), test="training").open()
    assert not external.ids("train")
    assert not external.ids("val")
    assert len(external.ids("test")) == 5 * 3
    write_amos(tmp_path)
    (tmp_path / "labelsVa" / "amos_0540.nii.gz").unlink()
    with pytest.raises(DataError, match=r"volume without labels: 1\n.*imagesVa/amos_0540"):
        AMOS(root=str(tmp_path)).open()


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    write_bcv(tmp_path)
    images, labels = tmp_path / "img", tmp_path / "label"
    (labels / "label0001.nii.gz").unlink()
    save_volume(labels / "label0077.nii.gz", discs((1,)))
    save_volume(labels / "label0002.nii.gz", discs((6,), slices=5))
    save_volume(labels / "label0003.nii.gz", discs((6,)), origin_mm=(30, 0, 0))
    save_volume(labels / "label0004.nii.gz", discs((6, 14, 200)))
    save_volume(labels / "label0005.nii.gz", discs((6,)) + 0.25)
    content = (images / "img0006.nii.gz").read_bytes()
    (images / "img0006.nii.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError) as caught:
        BCV(root=str(tmp_path)).open()
    for line in (
        "volume without labels: 1\n    img/img0001.nii.gz",
        "labels without volume: 1\n    label/label0077.nii.gz",
        "label0002.nii.gz: 5x32x32 (slices, rows, columns), its volume has 4x32x32",
        "label0003.nii.gz: its affine puts a corner 30.00 mm from where that of its volume does",
        "label/label0004.nii.gz: 14, 200",
        "labels beyond the list (name all that there are, and choose with organs): 1",
        "unreadable labels: 1\n    label/label0005.nii.gz: the value 0.25 is no label",
        "unreadable volume: 1\n    img/img0006.nii.gz: damaged gzip file",
        "expected layout",
    ):
        assert line in str(caught.value), line


def test_an_organ_that_no_volume_has_is_in_the_survey(tmp_path: Path) -> None:
    write_bcv(tmp_path)
    found = survey(BCV(root=str(tmp_path), organs=("liver", "pancreas")))
    assert found.splits["train"].labelled == {"liver": 15, "pancreas": 0}
    assert found.faults.lines() == ["- class that no image of train has: 1", "    pancreas"]
    assert dict(found.sizes) == {(32, 32): 8}, "a volume counts once"


def test_any_folder_of_volumes(tmp_path: Path) -> None:
    for n in range(5):
        labels = discs((1, 9))
        save_volume(tmp_path / "ct" / f"p{n}.nii", units_of(labels, n))
        save_volume(tmp_path / "seg" / f"p{n}.nii.gz", labels)
    config = NiftiFolder(
        root=str(tmp_path),
        volume_folder="ct",
        label_folder="seg",
        classes=("liver=1", "tumour=9"),
        fractions=(0.6, 0.2, 0.2),
    )
    data = config.open()
    assert data.classes.names == ("background", "liver", "tumour")
    assert set(np.unique(data.load("train", data.ids("train")[0], None).labels_HW)) == {0, 1, 2}
    split = NiftiFolder(
        root=str(tmp_path),
        volume_folder="{split}/ct",
        label_folder="{split}/seg",
        classes=("liver=1",),
    )
    with pytest.raises(DataError, match="missing folder: 6\n    train/ct\n    train/seg"):
        split.open()


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"classes": ("liver",)}, "write each as liver=6"),
        ({"classes": ("liver=1", "tumour=1")}, "every name and every label once"),
        ({"classes": ("liver=300",)}, "from 1 to 255"),
        ({"classes": ("liver=1",), "window": (5, 5)}, "give the lower value first"),
        ({"classes": ("liver=1",), "organs": ("spleen",)}, "no spleen: choose of liver"),
        ({"classes": ("liver=1",), "organs": ()}, "name at least one"),
        ({"classes": ("liver=1",), "volume_folder": "{split}/v"}, "in neither"),
    ],
)
def test_what_cannot_be_meant_is_refused(fields: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        NiftiFolder(root="data", **fields)  # type: ignore[arg-type]


def write_transunet(root: Path) -> None:
    for folder in ("train_npz", "test_vol_h5"):
        (root / folder).mkdir(parents=True)
    for case in (5, 6, 7, 9, 10):
        labels = discs((1, 8), slices=3)
        image = (labels / 8).astype(np.float32)
        for index in range(3):
            path = root / "train_npz" / f"case{case:04d}_slice{index:03d}.npz"
            np.savez(path, image=image[index], label=labels[index].astype(np.float32))
    with h5py.File(root / "test_vol_h5" / "case0001.npy.h5", "w") as file:
        file["image"], file["label"] = (discs((2, 3)) / 8).astype(np.float32), discs((2, 3))


def test_transunets_form_has_slices_to_train_on_and_volumes_to_test_on(tmp_path: Path) -> None:
    write_transunet(tmp_path)
    config = BCVTransUNet(root=str(tmp_path), val_from_train=0.5)
    data = config.open()
    assert data.classes.foreground == SAMED
    cases = {split: {s.patient_id for s in data.sources(split).values()} for split in SPLITS}
    assert cases["train"] | cases["val"] == {f"case{n:04d}" for n in (5, 6, 7, 9, 10)}
    assert cases["train"]
    assert cases["val"]
    assert data.ids("test") == tuple(f"case0001_{i:04d}" for i in range(4))
    sample = data.load("test", "case0001_0002", None)
    np.testing.assert_array_equal(sample.labels_HW, discs((2, 3))[2])
    np.testing.assert_array_equal(sample.image_HW3[..., 0], np.rint(discs((2, 3))[2] / 8 * 255))
    assert sample.case_id == "case0001"
    assert sample.spacing_mm is None
    trained = data.load("train", data.ids("train")[1], None)
    np.testing.assert_array_equal(trained.labels_HW, discs((1, 8), slices=3)[trained.slice])
    assert "dice.per_case" in config.metrics
    assert "assd.per_case_mm" not in config.metrics


def test_faults_of_transunets_form_are_told_at_once(tmp_path: Path) -> None:
    write_transunet(tmp_path)
    train, test = tmp_path / "train_npz", tmp_path / "test_vol_h5"
    np.savez(train / "case0005_slice001.npz", image=np.zeros((4, 4)), label=np.full((4, 4), 9))
    np.savez(train / "case0006_slice001.npz", image=np.zeros((4, 4)), label=np.zeros((4, 5)))
    np.savez(train / "case0007_slice001.npz", image=np.zeros((4, 4)))
    np.savez(train / "case0009_slice001.npz", image=np.array([print]), label=np.zeros((4, 4)))
    (train / "slice.npz").write_bytes(b"")
    (test / "case0001.npy.h5").write_bytes(b"no h5")
    with pytest.raises(DataError) as caught:
        BCVTransUNet(root=str(tmp_path)).open()
    for line in (
        "file name without case and slice: 1\n    train_npz/slice.npz",
        "unreadable file: 5",
        "case0005_slice001.npz: labels beyond the list: 9",
        "case0006_slice001.npz: image (4, 4) and label (4, 5)",
        "case0007_slice001.npz",
        "case0009_slice001.npz: Object arrays cannot be loaded",
        "case0001.npy.h5",
    ):
        assert line in str(caught.value), line


def small(tmp_path: Path, **fields: object) -> SyntheticOrgans:
    values = {"train": 12, "val": 6, "test": 6, "images_per_patient": 6, "size": 64}
    return SyntheticOrgans(**{**values, "root": str(tmp_path / "organs"), **fields})  # type: ignore[arg-type]


def test_rendered_organs_are_volumes_with_a_geometry(tmp_path: Path) -> None:
    config = small(tmp_path)
    data = config.open()
    assert data.classes.foreground == tuple(BCV_ORGANS)
    assert "dice.per_case" in config.metrics
    sample = data.load("test", data.ids("test")[3], None)
    assert sample.spacing_mm == pytest.approx((40.0, 380 / 64, 380 / 64))
    files = sorted((tmp_path / "organs").rglob("*/volumes/*.nii.gz"))
    orders = {nib.aff2axcodes(nib.nifti1.load(p).affine) for p in files}
    assert len(files) == 4
    assert len(orders) > 1
    liver = small(tmp_path, organs=("liver",)).open()
    assert liver.classes.names == ("liver",)
    with pytest.raises(ValueError, match="train = 13: give multiples of images_per_patient = 6"):
        small(tmp_path, train=13)


def test_every_organ_is_in_nearly_every_patient_and_domains_differ() -> None:
    names = tuple(BCV_ORGANS)
    seen = np.zeros(len(names) + 1)
    levels = {}
    for key, domain in organ_atlas.DOMAINS.items():
        for who in range(8):
            scan = organ_atlas.render(np.random.default_rng(who), names, 12, 64, domain)
            seen[np.unique(scan.labels_SHW)] += 1
        kidney = scan.labels_SHW == names.index("right_kidney") + 1
        levels[key] = scan.units_SHW[kidney].mean(), scan.units_SHW[kidney].std()
    assert (seen >= 14).all(), dict(zip(("background", *names), seen, strict=True))
    assert levels["a"][0] > levels["b"][0] + 40, "less contrast agent"
    assert levels["a"][1] < levels["b"][1], "more noise"
