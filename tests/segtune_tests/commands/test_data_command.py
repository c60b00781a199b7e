"""`segtune data make`, `check` and `augment`, and what they tell about a faulty folder."""

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from support.report_tables import write_trial
from support.studies.tiny_studies import ABLATION
from support.volumes import discs, save_volume, units_of

from search_spaces.augmentation_nano import GEOMETRY
from segcore.data.sets.folder import Folder
from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.data.survey import survey
from segtune.cli import main
from segtune.commands.datasets.describe import describe_once
from segtune.results import data_facts
from segtune.results.storage import Place
from segtune.study import catalog
from segtune.study.overrides import apply


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def polyps(tmp_path: Path) -> Path:
    """Ten images with white squares of known size, each twice as wide as high."""
    root = tmp_path / "polyps"
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    for n in range(10):
        image = np.random.default_rng(n).integers(0, 255, (20, 40, 3), np.uint8)
        Image.fromarray(image).save(root / "images" / f"{n}.png")
        mask = np.zeros((20, 40), np.uint8)
        mask[:10, :20] = 255 * (n > 0)
        Image.fromarray(mask).save(root / "masks" / f"{n}.png")
    return root


def test_what_is_made_can_be_checked_and_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--train", "4", "--val", "2", "--test", "2", "--images-per-patient", "2"]
    root = str(tmp_path / "made")
    assert main(["data", "make", root, *options, "--size", "64", "--domain", "b"]) == 0
    output = capsys.readouterr().out
    assert "4 train, 2 val, 2 test images" in output
    same = SyntheticLiver(
        train=4, val=2, test=2, images_per_patient=2, size=64, domain="b", root=root
    )
    assert same.open().content_hash()[:16] in output
    assert main(["data", "check", "l3d", "--root", root, "--sheet", "deep/er/sheet.png"]) == 0
    output = capsys.readouterr().out
    assert "64x64 (8)" in output
    assert "in order" in output
    assert "ridge" in output
    with Image.open(tmp_path / "deep" / "er" / "sheet.png") as sheet:
        assert np.array(sheet).std() > 10


def test_make_leaves_another_folder_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    assert main(["data", "make", str(tmp_path / "mine")]) == 2
    assert "name another root" in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    assert main(["data", "make", str(tmp_path / "new"), "--train", "0", "--domain", "c"]) == 2
    output = capsys.readouterr().err
    assert "train = 0" in output
    assert "domain = 'c'" in output
    assert not (tmp_path / "new").exists()


MINE = """
kind: ablation
question: What if nothing is there?
baseline: {{preset: polyps_nano, set: {{data: folder, data.root: {root}}}}}
arms: {{lora: {{method: lora}}}}
seeds: [0]
"""


def test_a_survey_counts_images_classes_and_sizes(polyps: Path) -> None:
    found = survey(Folder(root=str(polyps), classes=("polyp=255",)))
    assert sum(count.images for count in found.splits.values()) == 10
    assert sum(count.labelled["polyp"] for count in found.splits.values()) == 9
    full = [c.share["polyp"] for c in found.splits.values() if c.labelled["polyp"] == c.images]
    assert full
    np.testing.assert_allclose(full, 0.25)
    assert found.sizes == {(40, 20): 10}
    assert not found.faults
    assert found.content_hash == Folder(root=str(polyps)).open().content_hash()


def test_a_class_that_no_training_image_has_is_a_fault(
    polyps: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (polyps / "masks").iterdir():
        with Image.open(path) as mask:
            mask.point([v // 255 for v in range(256)]).save(path)
    assert main(["data", "check", "folder", "--root", str(polyps)]) == 2
    told = "class that no image of train has: 1\n    object (masks hold 0, 1)"
    assert told in capsys.readouterr().out
    file = polyps / "mine.yaml"
    file.write_text(MINE.format(root=polyps))
    told = "images of train shows any of the classes object"
    main(["show", str(file)])
    assert told in " ".join(capsys.readouterr().out.split())
    assert main(["run", str(file), "--storage", str(polyps / "results")]) == 2
    assert told in " ".join(capsys.readouterr().err.split())
    # A set that is all test has nothing to learn.
    assert not survey(Folder(root=str(polyps), fractions=(0, 0, 1))).faults


def test_an_empty_picture_is_called_so(polyps: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = sorted((polyps / "images").iterdir())[:2]
    one.write_bytes(b"")
    other.write_bytes(b"no picture")
    assert main(["data", "check", "folder", "--root", str(polyps)]) == 2
    told = capsys.readouterr().out
    assert f"{one.name}: the file is empty" in told
    assert f"{other.name}: no picture that can be read" in told


def test_a_sheet_that_is_no_picture_is_refused_before_the_work(
    polyps: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["data", "check", "folder", "--root", str(polyps), "--sheet", "sheet.txt"])
    assert refused.value.code == 2
    told = capsys.readouterr()
    assert "end it in .png or .jpg" in told.err
    assert not told.out


def test_images_that_are_there_twice_are_told(polyps: Path) -> None:
    config = Folder(root=str(polyps), classes=("polyp=255",))
    data = config.open()
    first, second = data.ids("train")[:2]
    shutil.copy(polyps / "images" / f"{first}.png", polyps / "images" / f"{second}.png")
    found = survey(config)
    assert found.repeated == (f"{first} (train), {second} (train)",)
    assert not found.faults
    leaked = data.ids("test")[0]
    shutil.copy(polyps / "images" / f"{first}.png", polyps / "images" / f"{leaked}.png")
    output = "\n".join(survey(config).faults.lines())
    assert "same image in two splits: 1" in output
    assert f"{leaked} (test)" in output


def test_all_faults_are_told_at_once_and_the_rest_is_counted_and_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "scenes"
    SyntheticLiver(train=4, val=2, test=2, images_per_patient=2, size=64, root=str(root)).open()
    frames = sorted(p.stem for p in (root / "Train" / "images").iterdir())
    label = root / "Train" / "labels" / f"{frames[0]}.json"
    values = json.loads(label.read_text())
    values["shapes"][0]["label"] = "vessel"
    label.write_text(json.dumps(values))
    image = root / "Train" / "images" / f"{frames[1]}.jpg"
    image.write_bytes(image.read_bytes()[:200])
    (root / "Train" / "depth_AdelaiDepth" / f"{frames[2]}.png").unlink()
    for part, suffix in (("images", "jpg"), ("labels", "json"), ("depth_AdelaiDepth", "png")):
        shutil.copy(
            root / "Val" / part / f"val000_000.{suffix}",
            root / "Test" / part / f"val000_000.{suffix}",
        )
    assert main(["data", "check", "l3d", "--root", str(root)]) == 2
    output = capsys.readouterr().out
    for fault in (
        "unknown label",
        "'vessel'",
        "unreadable image: 1",
        "image without depth: 1",
        "patient in more than one split: 1",
        "same image in two splits: 1",
    ):
        assert fault in output
    assert "in order" not in output
    assert "64x64 (8)" in output
    assert (tmp_path / "l3d-sheet.png").is_file()


def test_fields_and_places_that_cannot_be_are_refused(
    polyps: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command, output in (
        (["folder"], "say where it lies with --root DIR"),
        (["polyps", "--root", str(polyps)], "unknown data set 'polyps': choose one of"),
        (["folder", "--root", str(polyps), "--set", "classes"], "write FIELD=VALUE"),
        (["folder", "--root", str(polyps), "--set", "colour=3"], "unknown field colour"),
        (["folder", "--root", str(polyps / "x")], "no such folder"),
    ):
        assert main(["data", "check", *command]) == 2
        assert output in capsys.readouterr().err
    classes = "classes=('polyp=255',)"
    assert main(["data", "check", "folder", "--root", str(polyps), "--set", classes]) == 0
    assert "polyp" in capsys.readouterr().out


def test_augmentation_of_a_study_and_of_a_data_set_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three samples, each as it is and as five epochs see it; what is seen is what trains."""
    study = ["data", "augment", "augmentation_nano", "--arm", "geometry", "--out", "a/b.png"]
    sizes = ["--set", "data.train=4", "--set", "data.size=64"]
    assert main([*study, *sizes]) == 0
    assert "picture: a/b.png" in capsys.readouterr().out
    with Image.open(tmp_path / "a" / "b.png") as sheet:
        drawn = np.array(sheet)
    rows = [drawn[36 + 196 * r : 36 + 196 * r + 192] for r in range(9)]
    assert drawn.shape == (36 + 9 * 196 - 4, 6 * 196 - 4, 3)
    config = apply(
        catalog.find("augmentation_nano").study.baseline,
        {"augment.flip": 0.5, **GEOMETRY, "data.train": 4, "data.size": 64},
    )
    data, size = config.data.open(), config.system.input_size
    sample = data.load("train", data.ids("train")[1], size)
    seen = config.augment.apply(sample, seed=0, epoch=2, index=1)
    picture = Image.fromarray(seen.image_HW3).resize((192, 192), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(rows[3][:, 2 * 196 : 2 * 196 + 192], picture)
    flat = ["data", "augment", "synthetic_polyps", "--set", "augment.blur=1", *sizes]
    assert main(flat) == 0
    with Image.open(tmp_path / "synthetic_polyps-augment.png") as sheet:
        assert sheet.height == 36 + 6 * 196 - 4  # no depth
    capsys.readouterr()
    for wrong, message in (
        (["demo", "--arm", "x"], "demo has no arm 'x': choose one of frozen, full, lora, galore"),
        (["synthetic_polyps", "--arm", "x"], "is a data set: --arm is for studies"),
        (["synthetic_polyps", "--set", "augment.blurr=1"], "unknown field augment.blurr"),
        (["augmentation_nano"], "nothing is augmented: say what to show"),
        (["nobody"], "unknown study 'nobody'"),
    ):
        assert main(["data", "augment", *wrong]) == 2
        assert message in capsys.readouterr().err


def test_fields_that_a_set_cannot_do_without_are_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEGTUNE_CACHE", str(tmp_path / "cache"))
    for n in range(5):
        labels = discs((6, 1))
        save_volume(tmp_path / "volumes" / f"p{n}.nii.gz", units_of(labels, n))
        save_volume(tmp_path / "labels" / f"p{n}.nii.gz", labels)
    command = ["data", "check", "nifti_folder", "--root", str(tmp_path)]
    assert main(command) == 2
    assert "nifti_folder: say --set classes=..." in capsys.readouterr().err
    assert main([*command, "--set", "classes=('liver',)"]) == 2
    assert "write each as liver=6" in capsys.readouterr().err
    classes = "classes=('liver=6', 'spleen=1')"
    assert main([*command, "--set", classes, "--set", "organs=('liver',)"]) == 0
    assert "in order" in capsys.readouterr().out


def test_what_a_studys_data_hold_is_counted_once_and_of_the_data_that_ran(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Five images of a patient, none of whom is in two splits; other data are refused."""
    (tmp_path / "mine.py").write_text(ABLATION)
    assert main(["data", "describe", "mine.py"]) == 2
    assert "no trial of a study 'mine'" in capsys.readouterr().err
    study = catalog.find("mine.py").study
    data = study.baseline.data.open()
    write_trial(Path("results"), "mine", "frozen-s0", 0.5, role="arm", arm="frozen", seed=0,
                data_hash=data.content_hash())  # fmt: skip
    shown, storage = io.StringIO(), Place.of("results")
    console = Console(file=shown)
    describe_once(study, "mine", storage, console)
    [facts] = data_facts.read("results", "mine")
    assert facts.content_hash == data.content_hash()
    assert {s: (n.images, n.patients) for s, n in facts.splits.items()} == {
        "train": (8, 2),
        "val": (4, 1),
        "test": (4, 1),
    }
    share = [float((data.load("test", i, None).labels_HW == 1).mean()) for i in data.ids("test")]
    assert facts.splits["test"].share["ridge"] == pytest.approx(np.mean(share))
    assert {(p.splits, p.images, p.patients) for p in facts.shared} == {
        (("train", "val"), 0, 0),
        (("train", "test"), 0, 0),
        (("val", "test"), 0, 0),
    }
    shutil.rmtree("scenes")
    describe_once(study, "mine", storage, console)  # it is on record: nothing is rendered
    assert not Path("scenes").exists()
    assert main(["data", "describe", "mine.py", "--set", "data.seed=7"]) == 2
    assert "these are other data" in capsys.readouterr().err
    data_facts.write("results", "mine", [])
    describe_once(replace(study, baseline=apply(study.baseline, {"data.root": "mine.py"})), "mine",
                  storage, console)  # fmt: skip
    assert "what the data hold was not counted" in shown.getvalue()
