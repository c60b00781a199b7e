"""`segtune data noise`: what is kept for a study, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.report_tables import write_trial
from support.studies.tiny_studies import ABLATION

from segtune.cli import main
from segtune.results import label_noise
from segtune.study import catalog


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def squares(tmp_path: Path) -> Path:
    """Six images with a square each; all of them are test."""
    root = tmp_path / "squares"
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    for n in range(6):
        image = np.random.default_rng(n).integers(0, 255, (64, 64, 3), np.uint8)
        Image.fromarray(image).save(root / "images" / f"{n}.png")
        mask = np.zeros((64, 64), np.uint8)
        mask[16:48, 16:48] = 255
        Image.fromarray(mask).save(root / "masks" / f"{n}.png")
    return root


def test_a_studys_floor_is_kept_and_grows_with_the_shift(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("mine.py").write_text(ABLATION)
    study = catalog.find("mine.py").study
    data = study.baseline.data.open()
    write_trial(Path("results"), "mine", "frozen-s0", 0.5, role="arm", arm="frozen", seed=0,
                data_hash=data.content_hash())  # fmt: skip
    assert main(["data", "noise", "mine.py", "--shift", "2", "1"]) == 0
    output = capsys.readouterr().out
    assert "two annotators whose outlines are 2 px apart disagree by 0." in output
    assert main(["data", "noise", "mine.py", "--lines", "1%"]) == 0
    found = label_noise.read("results", "mine")
    assert found is not None
    assert found.content_hash == data.content_hash()
    assert [(n.kind, n.amount, n.percent) for n in found.levels] == [
        ("lines", 1.0, True),
        ("shift", 1.0, False),
        ("shift", 2.0, False),
    ]
    floors = [
        {(s.metric, s.protocol, s.class_name): s.floor for s in n.scores} for n in found.levels
    ]
    key = ("dice", "per_image", "macro")
    assert 0 < (floors[1][key] or 0) < (floors[2][key] or 0) < 1
    scored = {(s.metric, s.protocol) for s in found.levels[0].scores}
    own = study.baseline.evaluation.rows(study.baseline.data, test=True)
    assert scored == {(m.name, m.protocol) for m in own if m.needs == "labels"}
    assert {s.resolution for s in found.levels[0].scores} == {"128x128"}


def test_a_second_annotators_masks_are_scored(
    squares: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Squares that are two columns to the side overlap in 30 of 32 columns."""
    other = squares.parent / "other"
    shutil.copytree(squares, other)
    for file in (other / "masks").iterdir():
        Image.fromarray(np.roll(np.asarray(Image.open(file)), 2, axis=1)).save(file)
    command = ["data", "noise", "folder", "--root", str(squares), "--set", "fractions=(0, 0, 1)"]
    assert main([*command, "--second", str(other), "--out", "noise.json"]) == 0
    kept = json.loads(Path("noise.json").read_text())
    [level] = kept["levels"]
    values = {(s["metric"], s["class_name"]): s["value"] for s in level["scores"]}
    assert values["dice", "macro"] == pytest.approx(30 / 32)
    assert "the first and the second annotator" in capsys.readouterr().out
    (other / "images" / "3.png").unlink()
    (other / "masks" / "3.png").unlink()
    assert main([*command, "--second", str(other)]) == 2
    told = capsys.readouterr().err
    assert "image of test that the second annotator has not drawn: 1" in told


def test_what_cannot_be_is_refused_at_once(
    squares: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["data", "noise", "folder", "--root", str(squares), "--set", "fractions=(0, 0, 1)"]
    for asked, told in (
        (["--shift", "2", "-1", "much"], "-1: give pixels"),
        (["--shift", "30"], "30 px is more than 5 % of the diagonal"),
        (["--lines", "1"], "the labels of folder are masks, no lines"),
        (["--split", "val"], "folder has no image in val"),
    ):
        assert main([*command, *asked]) == 2
        assert told in capsys.readouterr().err
    assert main(["data", "noise", "demo", "--root", "x"]) == 2
    assert "say --set data.root=DIR in place of --root" in capsys.readouterr().err
