"""Every row of the table of data sets keeps the contract, on a small folder in its exact layout."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from support.data_folders import (
    HEIGHT,
    WIDTH,
    WRITERS,
    cvc_clinicdb,
    disc,
    kvasir_sessile,
    l3d_2k,
    llsd,
    picture,
    save,
    stripes,
)

from segcore.classes import ClassSpec
from segcore.config import from_json, to_json
from segcore.data import DATASETS
from segcore.data.contact_sheet import contact_sheet
from segcore.data.dataset import SPLITS, DataConfig, Dataset, Split
from segcore.data.faults import DataError
from segcore.data.loader import collate
from segcore.data.scenes.rendered import RenderedConfig
from segcore.data.sets.cvc_clinicdb import LAST_FRAMES, CVCClinicDB, sequence_of
from segcore.data.sets.folder import Folder
from segcore.data.sets.kvasir_sessile import KvasirSessile
from segcore.data.sets.l3d import L3D
from segcore.data.sets.l3d_2k import L3D2K
from segcore.data.sets.llsd import LLSD
from segcore.data.splits import split_groups
from segcore.metrics import METRICS
from segcore.metrics.images import Scored, score
from segcore.presets import nano
from segcore.systems.dual_encoder.network import DualEncoderConfig
from segcore.training.evaluation import EvaluationConfig


@pytest.fixture(params=sorted(DATASETS))
def config(request: pytest.FixtureRequest, tmp_path: Path) -> DataConfig:
    return WRITERS[request.param](tmp_path / "data")


def turn_image(root: Path) -> None:
    """Turn the first image of a folder upside down."""
    files = sorted(root.rglob("*"))
    if volumes := [p for p in files if p.name.endswith((".nii", ".nii.gz"))]:
        image = nib.nifti1.load(volumes[0])
        turned = nib.nifti1.Nifti1Image(np.asarray(image.dataobj)[:, ::-1], image.affine)
        turned.to_filename(volumes[0])
        return
    if arrays := [p for p in files if p.suffix == ".npz"]:
        with np.load(arrays[0]) as found:
            np.savez(arrays[0], image=found["image"][::-1], label=found["label"])
        return
    path = next(p for p in files if p.suffix in (".jpg", ".png", ".tif"))
    with Image.open(path) as picture_:
        upside_down = np.array(picture_)[::-1]
    Image.fromarray(upside_down).save(path)


def everything(data: Dataset) -> list[tuple[Split, str]]:
    return [(split, i) for split in SPLITS for i in data.ids(split)]


def test_splits_are_there_and_share_no_patient(config: DataConfig) -> None:
    data = config.open()
    patients = [{data.load(s, i, (32, 32)).patient_id for i in data.ids(s)} for s in SPLITS]
    assert all(patients)
    assert len(set.union(*patients)) == sum(map(len, patients))
    assert [list(config.open().ids(s)) for s in SPLITS] == [list(data.ids(s)) for s in SPLITS]


def test_samples_have_the_promised_form(config: DataConfig) -> None:
    data = config.open()
    seen = set()
    for split, sample_id in everything(data):
        sample = data.load(split, sample_id, (40, 40))
        assert sample.sample_id == sample_id
        assert sample.image_HW3.shape == (40, 40, 3)
        assert sample.labels_HW.shape == (40, 40)
        assert sample.image_HW3.dtype == sample.labels_HW.dtype == np.uint8
        assert sample.depth_HW is None or sample.depth_HW.shape == (40, 40)
        seen |= set(np.unique(sample.labels_HW).tolist())
    names = data.classes.names
    assert seen == (set(range(len(names))) if data.classes.exclusive else {0, 1})
    with pytest.raises(KeyError):
        data.load("train", "no such sample", (40, 40))


def test_targets_fit_the_classes_and_truth_scores_full_marks(config: DataConfig) -> None:
    data = config.open()
    samples = [data.load("train", i, (40, 40)) for i in list(data.ids("train"))[:3]]
    batch = collate(samples, data.classes)
    assert batch.target_BKHW.shape[1] == len(data.classes.names)
    if data.classes.exclusive:
        assert (batch.target_BKHW.sum(1) == 1).all()
    labels = samples[0].labels_HW
    rows = [METRICS[key].load() for key in ("dice.per_image", "dice.stacked")]
    dice = [s.value for s in score(Scored(labels, labels), data.classes, rows, "image")]
    assert dice
    assert all(value == 1 or np.isnan(value) for value in dice)


def test_the_hash_is_of_content_and_splits_not_of_the_place(
    config: DataConfig, tmp_path: Path
) -> None:
    before = config.open().content_hash()
    values = to_json(config)
    there = tmp_path / "elsewhere"
    shutil.copytree(values["root"], there)
    moved = from_json(DataConfig, values | {"root": str(there)})
    assert moved.open().content_hash() == before
    assert to_json(moved, locations=False) == to_json(config, locations=False)
    turn_image(there)
    assert moved.open().content_hash() != before


def test_a_damaged_image_is_named(config: DataConfig) -> None:
    root = Path(to_json(config)["root"])
    kinds = {"images", "Original", "rgb", "train-images", "Train", "Image"}
    kinds |= {"img", "imagesTr", "volumes", "train_npz"}
    image = next(p for p in sorted(root.rglob("*")) if p.parent.name in kinds)
    image.write_bytes(image.read_bytes()[:60])
    with pytest.raises(DataError) as caught:
        config.open()
    assert image.relative_to(root).as_posix() in str(caught.value)
    assert "unreadable" in str(caught.value)


def test_a_missing_folder_says_what_was_expected(config: DataConfig, tmp_path: Path) -> None:
    if isinstance(config, RenderedConfig):
        pytest.skip("renders what is missing")
    values = to_json(config) | {"root": str(tmp_path / "nowhere")}
    with pytest.raises(DataError, match=r"no such folder\nexpected layout"):
        from_json(DataConfig, values).open()
    (tmp_path / "nowhere").mkdir()
    with pytest.raises(DataError, match="missing folder"):
        from_json(DataConfig, values).open()


def test_the_contact_sheet_draws_it(config: DataConfig) -> None:
    sheet = np.array(contact_sheet(config.open(), "train", 2, size=32))
    assert sheet.shape[1] == 2 * 3 * 32 + 4
    assert sheet.std() > 10


def test_whole_groups_are_divided_about_as_asked() -> None:
    images = {f"p{n}": 1 + n % 7 for n in range(60)}
    of = split_groups(images, (0.6, 0.2, 0.2))
    total = sum(images.values())
    shares = [sum(images[g] for g in images if of[g] == s) / total for s in SPLITS]
    np.testing.assert_allclose(shares, (0.6, 0.2, 0.2), atol=0.03)
    assert split_groups(dict(reversed(images.items())), (0.6, 0.2, 0.2)) == of
    assert set(split_groups(images, (0, 0, 1)).values()) == {"test"}


def test_l3d_2k_draws_wider_bands(tmp_path: Path) -> None:
    l3d_2k(tmp_path)
    narrow, wide = L3D(root=str(tmp_path)).open(), L3D2K(root=str(tmp_path)).open()
    sizes = [
        (d.load("val", "1_0000", (HEIGHT, HEIGHT)).labels_HW > 0).sum() for d in (narrow, wide)
    ]
    assert sizes[0] < sizes[1]


def test_llsd_reads_drawn_and_converted_masks_alike(tmp_path: Path) -> None:
    converted = llsd(tmp_path).open()
    drawn = LLSD(root=str(tmp_path), masks="masks_original").open()
    assert converted.ids("val") == ("patient3_f0", "patient3_f1")
    assert converted.ids("test") == ("patient4_f0", "patient4_f1")
    for data in (converted, drawn):
        labels = data.load("test", "patient4_f1", (WIDTH, WIDTH)).labels_HW
        rows = [8 * WIDTH // HEIGHT, 20 * WIDTH // HEIGHT, 32 * WIDTH // HEIGHT]
        assert labels[rows, 5].tolist() == [1, 2, 3]
        assert labels[rows, 60].tolist() == [1, 2, 3]


def test_llsd_wants_the_patients_that_it_is_told(tmp_path: Path) -> None:
    llsd(tmp_path)
    with pytest.raises(DataError, match="no folder of a patient.*: 1\n    patient9"):
        LLSD(root=str(tmp_path), test=("patient9",)).open()
    with pytest.raises(ValueError, match="both name patient1"):
        LLSD(root=str(tmp_path), val=("patient1",), test=("patient1",))
    other = LLSD(root=str(tmp_path), val=("patient1", "patient2"), test=("patient3",)).open()
    assert [len(other.ids(s)) for s in SPLITS] == [2, 4, 2]


def test_colours_of_no_class_are_a_fault(tmp_path: Path) -> None:
    llsd(tmp_path)
    mask = tmp_path / "patient1" / "masks_gt" / "f0_convert.png"
    save(mask, stripes(((255, 255, 0), (0, 255, 0), (0, 0, 255))))
    with pytest.raises(DataError, match=r"odd mask values: 1\n.*f0_convert.png: 16.7%.*#ffff00"):
        LLSD(root=str(tmp_path)).open()


@pytest.mark.parametrize(("value", "found"), [((0, 0, 0), "no"), ((254, 0, 0), "#fe0000")])
def test_a_thin_class_in_a_wrong_colour_is_a_fault(
    tmp_path: Path, value: tuple[int, int, int], found: str
) -> None:
    llsd(tmp_path)
    mask = stripes(((0, 0, 0), (0, 255, 0), (0, 0, 255)))
    mask[5:8, 5:15] = value  # 1.0 % of the pixels
    save(tmp_path / "patient1" / "masks_gt" / "f0_convert.png", mask)
    told = "\n".join(LLSD(root=str(tmp_path)).scan().faults.lines())
    assert told == "" if found == "no" else "1.0% of the pixels" in told and found in told


def small_squares(root: Path, *values: int, count: int = 20) -> None:
    """Masks with a square of 6 x 6 pixels, 1.2 % of all, in each grey level."""
    for n in range(count):
        picture(root / "images" / f"{n}.png", n)
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        for k, value in enumerate(values):
            mask[8 : 8 + 6, 8 + 20 * k : 14 + 20 * k] = value
        save(root / "masks" / f"{n}.png", mask)


def test_a_small_class_under_another_level_is_a_fault(tmp_path: Path) -> None:
    small_squares(tmp_path, 255)
    with pytest.raises(DataError, match=r"odd mask values: 20\n.*1.2%.*levels of no class: 255"):
        Folder(root=str(tmp_path), classes=("polyp=1",)).open()
    small_squares(tmp_path, 1, 2)
    with pytest.raises(DataError, match=r"odd mask values: 20\n.*levels of no class: 2\n"):
        Folder(root=str(tmp_path), classes=("liver=1", "vein=3")).open()
    with pytest.raises(DataError, match=r"odd mask values: 20\n.*nothing lighter than 2"):
        KvasirSessile(root=str(tmp_path)).open()


@pytest.mark.parametrize("pattern", [r"(x\d+)?.*", r"(x?).*"])
def test_a_name_in_which_the_patient_is_left_out_is_a_fault(tmp_path: Path, pattern: str) -> None:
    small_squares(tmp_path, 255, count=6)
    told = r"file name without a patient \(see the field `patient`\): 6\n    images/0.png"
    with pytest.raises(DataError, match=told):
        Folder(root=str(tmp_path), patient=pattern).open()


def test_soft_borders_are_no_fault(tmp_path: Path) -> None:
    small_squares(tmp_path, 255)
    for path in (tmp_path / "masks").iterdir():
        mask = np.zeros((2 * HEIGHT, 2 * WIDTH), np.uint8)
        mask[17:29, 17:29] = 255
        small = Image.fromarray(mask).resize((WIDTH, HEIGHT), Image.Resampling.BOX)
        assert len(np.unique(np.array(small))) == 4
        small.save(path)
    for white in ("255", "#ffffff"):
        assert Folder(root=str(tmp_path), classes=(f"polyp={white}",)).open().ids("train")


def test_kvasir_masks_are_cut_at_the_middle(tmp_path: Path) -> None:
    data = kvasir_sessile(tmp_path).open()
    assert data.classes == ClassSpec(("polyp",), exclusive=False)
    for n, sample_id in enumerate(sorted(i for s in SPLITS for i in data.ids(s))):
        split = next(s for s in SPLITS if sample_id in data.ids(s))
        labels = data.load(split, sample_id, (HEIGHT, HEIGHT)).labels_HW
        assert abs(int(labels.sum()) - disc(n).sum() * HEIGHT / WIDTH) < 20


def test_kvasir_reads_folders_of_splits_too(tmp_path: Path) -> None:
    kvasir_sessile(tmp_path / "flat")
    stems = sorted(p.name for p in (tmp_path / "flat" / "images").iterdir())
    for n, name in enumerate(stems):
        for part in ("images", "masks"):
            place = tmp_path / "divided" / SPLITS[n % 3] / part
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(tmp_path / "flat" / part / name, place)
    data = KvasirSessile(root=str(tmp_path / "divided")).open()
    assert [len(data.ids(s)) for s in SPLITS] == [7, 7, 6]
    whole = KvasirSessile(root=str(tmp_path / "flat"), fractions=(0, 0, 1)).open()
    assert [len(whole.ids(s)) for s in SPLITS] == [0, 0, 20]


def test_kvasir_fractions_for_folders_of_splits_are_a_fault(tmp_path: Path) -> None:
    for n in range(6):
        kvasir = tmp_path / SPLITS[n % 3]
        picture(kvasir / "images" / f"{n}.png", n)
        save(kvasir / "masks" / f"{n}.png", disc(n) * np.uint8(255))
    assert KvasirSessile(root=str(tmp_path)).open().ids("test")
    with pytest.raises(DataError, match=r"fractions change nothing.*: 1\n    \(0.0, 0.0, 1.0\)"):
        KvasirSessile(root=str(tmp_path), fractions=(0, 0, 1)).open()


def test_a_mask_of_class_indices_is_no_black_and_white_mask(tmp_path: Path) -> None:
    kvasir_sessile(tmp_path)
    for n, path in enumerate(sorted((tmp_path / "masks").iterdir())[:3]):
        path.unlink()
        values = (disc(n).astype(np.uint8), disc(n) * np.uint8(90), stripes(((0, 255, 0),)))[n]
        save(path.with_suffix(".png"), values)
    with pytest.raises(DataError) as caught:
        KvasirSessile(root=str(tmp_path)).open()
    for told in (
        "holds nothing lighter than 1, expected",
        "% of the pixels are neither",
        "has colours",
    ):
        assert told in str(caught.value)


def test_cvc_is_divided_by_sequence(tmp_path: Path) -> None:
    assert (sequence_of(1), sequence_of(25), sequence_of(26), sequence_of(612)) == (1, 1, 2, 29)
    assert sequence_of(0) is sequence_of(613) is None
    assert len(LAST_FRAMES) == 29
    data = cvc_clinicdb(tmp_path).open()
    split = next(s for s in SPLITS if "001" in data.ids(s))
    assert "025" in data.ids(split)
    counts = dict.fromkeys(SPLITS, 0)
    for s in SPLITS:
        for i in data.ids(s):
            n = int(data.load(s, i, (16, 16)).patient_id[-2:]) - 1
            counts[s] += 0 if i in ("001", "030") else LAST_FRAMES[n] - (0, *LAST_FRAMES)[n]
    assert counts == {"train": 372, "val": 124, "test": 116}


def test_cvc_refuses_names_that_are_no_frames(tmp_path: Path) -> None:
    cvc_clinicdb(tmp_path)
    for name in ("613", "polyp"):
        picture(tmp_path / "Original" / f"{name}.tif", 1)
        save(tmp_path / "Ground Truth" / f"{name}.tif", disc(1) * np.uint8(255))
    with pytest.raises(DataError, match="no frame of CVC-ClinicDB: 2"):
        CVCClinicDB(root=str(tmp_path)).open()


def test_cvc_refuses_two_pictures_of_one_frame(tmp_path: Path) -> None:
    cvc_clinicdb(tmp_path)
    picture(tmp_path / "Original" / "001.png", 999)
    save(tmp_path / "Ground Truth" / "001.png", disc(1) * np.uint8(255))
    told = "two pictures of one frame: 1\n    Original/001.png and 1.tif"
    with pytest.raises(DataError, match=told):
        CVCClinicDB(root=str(tmp_path)).open()


def write_divided(root: Path, pattern: str) -> None:
    for n, split in enumerate(("training", "Validation", "test")):
        for frame in range(2):
            picture(root / pattern.format("images", split) / f"{n}{frame}.jpg", 10 * n + frame)
            save(root / pattern.format("gt", split) / f"{n}{frame}.png", disc(n) * np.uint8(255))


@pytest.mark.parametrize("pattern", ["{0}/{1}", "{1}/{0}"])
def test_folders_of_splits_may_lie_either_way(tmp_path: Path, pattern: str) -> None:
    write_divided(tmp_path, pattern)
    config = Folder(
        root=str(tmp_path),
        images=pattern.format("images", "{split}"),
        masks=pattern.format("gt", "{split}"),
        classes=("polyp=255",),
    )
    data = config.open()
    assert [list(data.ids(s)) for s in SPLITS] == [["00", "01"], ["10", "11"], ["20", "21"]]
    assert data.classes == ClassSpec(("polyp",), exclusive=False)


def test_a_folder_may_be_the_external_set_of_another_with_the_same_numbers(
    tmp_path: Path,
) -> None:
    for name, first in (("here", 0), ("there", 100)):
        for n in range(12):
            picture(tmp_path / name / "images" / f"{n:03d}.png", first + n)
            save(tmp_path / name / "masks" / f"{n:03d}.png", disc(n) * np.uint8(255))
    there = Folder(root=str(tmp_path / "there"), fractions=(0, 0, 1))
    system = nano().system
    assert isinstance(system, DualEncoderConfig)
    config = replace(
        nano(),
        system=replace(system, fusion=replace(system.fusion, mode="rgb_only")),
        data=Folder(root=str(tmp_path / "here")),
        evaluation=EvaluationConfig(external=there),
    )
    _, external = config.open_data()
    assert external is not None
    assert len(external.ids("test")) == 12
    # The same images are still found, by content.
    same = Folder(root=str(tmp_path / "here"), fractions=(0, 0, 1))
    with pytest.raises(DataError, match="image in train and in external"):
        replace(config, evaluation=EvaluationConfig(external=same)).open_data()


def test_palette_pictures_are_indices_or_colours_as_asked(tmp_path: Path) -> None:
    for n in range(10):
        picture(tmp_path / "images" / f"{n}.jpg", n)
        mask = Image.fromarray(disc(n).astype(np.uint8), "P")
        mask.putpalette([0, 0, 0, 250, 10, 20])
        (tmp_path / "masks").mkdir(exist_ok=True)
        mask.save(tmp_path / "masks" / f"{n}.png")
    by_index = Folder(root=str(tmp_path), classes=("polyp=1",)).open()
    by_colour = Folder(root=str(tmp_path), classes=("polyp=#fa0a14",)).open()
    sample_id = by_index.ids("train")[0]
    labels = [d.load("train", sample_id, (HEIGHT, HEIGHT)).labels_HW for d in (by_index, by_colour)]
    np.testing.assert_array_equal(labels[0], labels[1])
    assert labels[0].any()
    with pytest.raises(DataError, match=r"odd mask values: 10\n.*levels of no class: 1"):
        Folder(root=str(tmp_path), classes=("polyp=2",)).open()


def test_a_folder_tells_all_its_faults_at_once(tmp_path: Path) -> None:
    for n in range(12):
        picture(tmp_path / "images" / f"{n:02d}.jpg", n)
        save(tmp_path / "masks" / f"{n:02d}.png", disc(n) * np.uint8(255))
    (tmp_path / "masks" / "00.png").unlink()
    (tmp_path / "images" / "01.jpg").unlink()
    shutil.copy(tmp_path / "images" / "02.jpg", tmp_path / "images" / "02.png")
    save(tmp_path / "masks" / "03.png", np.zeros((5, 5), np.uint8))
    (tmp_path / "masks" / "04.png").write_bytes(b"no picture")
    save(tmp_path / "masks" / "05.png", disc(5) * np.uint8(255))
    with pytest.raises(DataError) as caught:
        Folder(root=str(tmp_path), patient="([0-9]+)", depth="depth").open()
    for told in (
        "image without mask: 1\n    images/00.jpg",
        "mask without image: 1\n    masks/01.png",
        "two pictures of one name: 1\n    images/02.jpg and 02.png",
        "mask of another size: 1\n    masks/03.png: 5x5, image is 64x48",
        "unreadable mask: 1\n    masks/04.png",
        "missing folder: 1\n    depth",
    ):
        assert told in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"classes": ("polyp",)}, "cannot use 'polyp'"),
        ({"classes": ("a=1", "a=2")}, "there twice"),
        ({"classes": ("a=9..3",)}, "ends before it starts"),
        ({"classes": ("a=1", "b=#00ff00")}, "grey levels and colours together"),
        ({"classes": ("a=1..5", "b=3..9")}, r"a and b \(they share values\)"),
        ({"classes": ("a=1", "background=0..5")}, r"a and background \(they share values\)"),
        ({"classes": ("a=#ff0000", "b=#00ff00|#ff0000")}, r"a and b \(they share values\)"),
        ({"classes": ("pooled=1",)}, "'pooled'"),
        ({"classes": ("macro=1", "b=2")}, "'macro'"),
        ({"classes": ("background=0",)}, "no class but the background"),
        ({"images": "{split}/i"}, "images alone: write it in images, masks"),
        ({"patient": "abc"}, r"no \(group\)"),
        ({"fractions": (0.5, 0.5, 0.5)}, "do not add up"),
        (
            {"images": "{split}/i", "masks": "{split}/m", "fractions": (0.8, 0.1, 0.1)},
            "change nothing",
        ),
    ],
)
def test_a_description_that_cannot_be_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Folder(root="anywhere", **fields)
