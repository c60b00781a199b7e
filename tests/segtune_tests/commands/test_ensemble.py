"""Ensembles of seeds in `evaluate` and `predict`: by the name of an arm, told as what they are."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from support.untrained import save

from segcore.config import TrainConfig
from segcore.data.sets.synthetic_polyps import SyntheticPolyps
from segcore.data.splits import fold_of
from segcore.predict import Predictor
from segcore.presets import nano
from segtune import apply
from segtune.cli import main
from segtune.results import read

DATA = SyntheticPolyps(train=5, val=5, test=5, size=64)


@pytest.fixture(scope="module")
def arm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the trials `mine-s0`, `mine-s1`, `mine-s10` lie beside one of another arm."""
    torch.set_num_threads(1)
    config: TrainConfig = apply(
        nano(), {"system": "hiera_unet", "data": DATA, "system.image_size": 64}
    )
    folder = tmp_path_factory.mktemp("results") / "polyps" / "train"
    folder.mkdir(parents=True)
    for seed, name in enumerate(("mine-s0", "mine-s1", "mine-s10", "mine-deep-s0")):
        path = save(config, DATA.open().classes, folder / name)
        tensors = load_file(path / "best.safetensors")
        draw = torch.Generator().manual_seed(seed)
        moved = {n: x + 0.1 * torch.randn(x.shape, generator=draw) for n, x in tensors.items()}
        save_file(moved, path / "best.safetensors")
    return folder / "mine"


def found(words: list[str], capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    capsys.readouterr()
    command = ["evaluate", *words, "--json", "--metrics", "dice.per_image", "mae.probabilities"]
    assert main(command) == 0
    told: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return told


def test_an_arms_name_is_all_its_seeds(arm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    each = found([str(arm)], capsys)
    assert [one["trial_id"] or one["study"] for one in each] == [None] * 3
    (together,) = found([str(arm), "--ensemble"], capsys)
    assert together["source"] == "ensemble"
    assert together["arm"] == "mine-ensemble"
    assert together["members"] == ["mine-s0", "mine-s1", "mine-s10"]
    assert together["study"] == "polyps"
    errors = [one["scores"][-1]["value"] for one in each]
    assert together["scores"][-1]["value"] == pytest.approx(np.mean(errors), abs=0.1)
    assert together["scores"][-1]["value"] not in errors


def test_order_changes_neither_scores_nor_rows(
    arm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [str(arm.with_name(f"mine-s{seed}")) for seed in (0, 1)]
    (one,) = found([*paths, "--ensemble"], capsys)
    (other,) = found([*reversed(paths), "--ensemble"], capsys)
    assert {k: v for k, v in one.items() if k != "scores"} == {
        k: v for k, v in other.items() if k != "scores"
    }
    for mine, its in zip(one["scores"], other["scores"], strict=True):
        assert mine["value"] == pytest.approx(its["value"], abs=1e-6)
    rows = read(arm.parents[2], "polyps", "evaluations").to_pylist()
    own = [r for r in rows if r["members"] == ["mine-s0", "mine-s1"]]
    assert len({r["evaluation"] for r in own}) == 1
    assert {r["source"] for r in own} == {"ensemble"}


def test_the_title_says_of_what(arm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["evaluate", str(arm), "--ensemble", "--metrics", "dice.per_image"]
    assert main(command) == 0
    assert "mine-ensemble (ensemble of mine-s0, mine-s1, mine-s10) on synthetic_polyps" in (
        capsys.readouterr().out
    )


def test_what_is_no_ensemble_is_refused(
    arm: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    one = str(arm.with_name("mine-s0"))
    elsewhere = shutil.copytree(one, tmp_path / "copy")
    values = json.loads((elsewhere / "config.json").read_text())
    values["config"]["data"]["domain"] = "b"
    values["config"]["prompts"] = {}
    values["config"]["precision"] = "bfloat16"
    (elsewhere / "config.json").write_text(json.dumps(values))
    named = ["--data", "synthetic_polyps", "--set", "data.size=64"]
    named += [word for n in ("train", "val", "test") for word in ("--set", f"data.{n}=5")]
    for words, message in (
        ([one], "--ensemble: give at least two checkpoints, each once"),
        ([str(tmp_path / "nowhere")], "nowhere: there is no such folder"),
        ([one, one], "--ensemble: give at least two checkpoints, each once"),
        ([str(arm), "--study", "x", "--as", "y", "--seed", "1"], "an ensemble has none of its own"),
        ([one, str(elsewhere)], "would be scored otherwise than"),
        ([one, str(elsewhere), *named], "its precision is 'bfloat16'"),
    ):
        assert main(["evaluate", *words, "--ensemble"]) == 2
        err = capsys.readouterr().err
        assert message in err
        assert ("at least two" in err) == ("at least two" in message)


def test_predict_averages_an_arm_and_others(
    arm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    out = tmp_path / "out"
    other = str(arm.with_name("mine-deep-s0"))
    command = ["predict", str(arm), str(tmp_path / "a.png"), "--out", str(out), "--write", "masks"]
    assert main([*command, "--with", other, "--device", "cpu"]) == 0
    assert "the mean of 4 networks" in capsys.readouterr().out
    names = ("mine-s0", "mine-s1", "mine-s10", "mine-deep-s0")
    predictor = Predictor.load(*(arm.with_name(name) for name in names), device="cpu")
    (wanted,) = predictor([image])
    np.testing.assert_array_equal(np.array(Image.open(out / "masks" / "a.png")), wanted.labels_HW)
    assert main([*command, "--with", str(arm)]) == 2
    assert "--with: give each checkpoint once" in capsys.readouterr().err


@pytest.fixture(scope="module")
def folds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the folds of a seed lie: `lora-s1-f0`, `lora-s1-f1`."""
    torch.set_num_threads(1)
    changes = {"system": "hiera_unet", "data": DATA, "system.image_size": 64}
    folder = tmp_path_factory.mktemp("results") / "divided" / "train"
    folder.mkdir(parents=True)
    for number in range(2):
        config: TrainConfig = apply(nano(), {**changes, "fold": (number, 2)})
        save(config, DATA.open().classes, folder / f"lora-s1-f{number}")
    return folder


@pytest.mark.parametrize("name", ["lora", "lora-s1"])
def test_an_arms_or_seeds_name_is_all_its_folds(
    folds: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (together,) = found([str(folds / name), "--ensemble"], capsys)
    assert together["members"] == ["lora-s1-f0", "lora-s1-f1"]
    assert together["arm"] == "lora-ensemble"


def test_val_of_a_fold_is_what_it_was_not_trained_on(
    folds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(2):
        part = fold_of(DATA.open(), number, 2)
        place = str(folds / f"lora-s1-f{number}")
        for split in ("train", "val"):
            (own,) = found([place, "--split", split], capsys)
            assert own["data_hash"] == part.content_hash()
            assert own["scores"][-1]["n"] == len(part.ids(split))
        (own,) = found([place], capsys)
        assert own["data_hash"] == DATA.open().content_hash()
    assert main(["evaluate", str(folds / "lora"), "--ensemble", "--split", "val"]) == 2
    assert "say how with --split test" in capsys.readouterr().err
