"""`segtune evaluate` of volumes and of nnU-Net's files, and in an object store."""

import json
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from support.data_folders import nnunet
from support.untrained import save
from support.volumes import discs, save_volume

from segcore.classes import ClassSpec
from segcore.data.sets.nnunet import NnUnet
from segcore.metrics.table import OF_CASES
from segcore.presets import nano
from segtune import apply
from segtune.cli import main
from segtune.results import read, tables
from segtune.results.storage import Place

CLASSES = ClassSpec(("background", "liver", "tumour"), exclusive=True)
METRICS = ("dice.per_image", *OF_CASES)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGTUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)


@pytest.fixture
def data(tmp_path: Path) -> list[str]:
    """Two volumes to test on, in nnU-Net's layout."""
    nnunet(tmp_path / "Dataset001_Liver")
    return ["--data", "nnunet", "--set", f"data.root={tmp_path / 'Dataset001_Liver'}"]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A network of volumes that nobody trained."""
    config = apply(
        nano(), {"system": "hiera_unet", "system.image_size": 64, "data": NnUnet(root="x")}
    )
    return save(config, CLASSES, tmp_path / "checkpoint")


def scored(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["evaluate", *words, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    return dict(found)


def test_volumes_of_predict_score_as_the_checkpoint_does(
    checkpoint: Path, data: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(checkpoint), "Dataset001_Liver/imagesTs", "--write", "masks"]) == 0
    of_predict = scored(capsys, "--predictions", "predictions/volumes", *data)
    for file in Path("predictions/volumes").iterdir():  # as nnU-Net calls them
        file.rename(file.with_name(file.name.replace("_0000", "")))
    assert scored(capsys, "--predictions", "predictions/volumes", *data) == of_predict
    common = [*data, "--metrics", *METRICS]
    of_masks = scored(capsys, "--predictions", "predictions/volumes", *common)
    of_network = scored(capsys, str(checkpoint), *common, "--resolutions", "image")
    assert of_masks["scores"] == of_network["scores"]
    values = {(s["metric"], s["protocol"], s["class"]): s for s in of_masks["scores"]}
    assert 0 < values["dice", "per_case", "macro"]["value"] < 1
    assert values["dice", "per_case", "macro"]["n"] == 2
    assert values["assd", "per_case_mm", "macro"]["unit"] == "mm"


def test_from_its_layout_to_nnunet_and_back(
    data: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["data", "to-nnunet", "nnunet", "--root", "Dataset001_Liver", "--out", "raw"]
    assert main([*command, "--number", "501", "--called", "Liver"]) == 0
    told = capsys.readouterr().out
    assert "4 train, 2 val, 2 test cases" in told
    assert "nnUNetv2_train 501 2d 0" in told
    shutil.copytree("raw/Dataset501_Liver/labelsTs", "predicted")
    Path("predicted/plans.json").write_text("{}")
    found = scored(capsys, "--predictions", "predicted", *data, "--metrics", *METRICS)
    best = {"dice": 1.0, "assd": 0.0}
    assert {s["value"] for s in found["scores"] if s["metric"] == "dice"} == {1.0}
    assert all(s["value"] == best[s["metric"]] for s in found["scores"])
    assert main([*command, "--number", "501", "--called", "Liver"]) == 2
    assert "there already" in capsys.readouterr().err
    assert main([*command, "--number", "0", "--called", "a b"]) == 2
    told = capsys.readouterr().err
    assert "--number 0: give one from 1 to 999" in told
    assert "--called a b" in told


def test_masks_that_lie_elsewhere_are_refused(
    data: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("predicted").mkdir()
    labels = discs((1, 2))
    save_volume(Path("predicted/p6.nii.gz"), labels, origin_mm=(40, 0, 0))
    save_volume(Path("predicted/p7.nii"), np.where(labels == 2, 7, labels).astype(np.uint8))
    save_volume(Path("predicted/p99.nii"), labels)
    assert main(["evaluate", "--predictions", "predicted", *data]) == 2
    told = capsys.readouterr().err
    assert "mask that lies elsewhere than its volume: 1\n    p6.nii.gz: its affine puts" in told
    assert "label beyond 2 (of background, liver, tumour; say with --values" in told
    assert "p7.nii: 7" in told
    values = ["--values", "liver=1", "tumour=7"]
    save_volume(Path("predicted/p6.nii.gz"), np.where(labels == 2, 7, labels).astype(np.uint8))
    found = scored(capsys, "--predictions", "predicted", *data, *values)
    dice = {s["value"] for s in found["scores"] if s["metric"] == "dice"}
    assert dice == {1.0}
    Path("predicted/p6.nii.gz").unlink()
    assert main(["evaluate", "--predictions", "predicted", *data, *values]) == 2
    assert "nothing for images or volumes of test: 1\n    p6" in capsys.readouterr().err
    assert nib.nifti1.load("predicted/p7.nii").shape == (32, 32, 4)


def test_a_trial_in_any_storage_keeps_its_scores_there(
    storage: Place, checkpoint: Path, data: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"trial_id": "lora-s0", "attempt": 1, "arm": "lora", "seed": 0, "status": "finished"}
    tables.write(storage, "mine", "trials", [row])
    trial = storage / "mine" / "train" / "lora-s0"
    for file in checkpoint.iterdir():
        (trial / "epoch-3" / file.name).write(file.read_bytes())
    found = scored(capsys, str(trial), *data, "--metrics", "dice.per_case")
    again = scored(capsys, str(trial / "epoch-3"), *data, "--metrics", "dice.per_case")
    assert again["evaluation"] == found["evaluation"]
    rows = read(storage, "mine", "evaluations").to_pylist()
    assert [r["value"] for r in rows] == [s["value"] for s in found["scores"]]
    assert {(r["trial_id"], r["arm"], r["seed"]) for r in rows} == {("lora-s0", "lora", 0)}
    images = read(storage, "mine", "evaluated_images", trial_id="lora-s0").to_pylist()
    assert {i["case_id"] for i in images} == {"p6", "p7"}
    assert read(storage, "mine", "evaluated_images", trial_id="lora-s1").num_rows == 0
