"""`segtune weights`: what a study starts from, and whether it is there and whole."""

import hashlib
from pathlib import Path

import pytest
import timm
from safetensors.torch import save_file

from segcore.systems.weight_files import WeightFile
from segtune.cli import main

STUDY = """
from segcore.presets import unet_nano
from segtune import Ablation

FILE = {"system.encoder.pretrained": "checkpoint", "system.encoder.checkpoint": "PLACE"}


def study() -> Ablation:
    return Ablation(
        question="Do pretrained weights help?",
        baseline=unet_nano(),
        baseline_arm="random",
        arms={"pretrained": FILE},
        seeds=(0, 1),
    )
"""


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "from_file.py"
    file.write_text(STUDY.replace("PLACE", str(tmp_path / "mobilenet.safetensors")))
    return tmp_path


def test_a_file_is_listed_and_checked(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Absent, damaged, of another network, and right; nothing is downloaded."""
    command = ["weights", "from_file.py"]
    place = study / "mobilenet.safetensors"
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "mobilenet.safetensors  (system.encoder of pretrained)" in shown
    assert f"MISSING: put it at {place}" in shown
    assert "0 of 1 files are there" in shown
    assert main([*command, "--check"]) == 2
    assert f"system.encoder: {place} is not there" in capsys.readouterr().err
    place.write_bytes(b"no tensors")
    assert main([*command, "--check"]) == 2
    assert "can't be read as safetensors" in capsys.readouterr().err
    model = timm.create_model("mobilenetv3_small_100")
    tensors = {name: x.contiguous() for name, x in model.state_dict().items()}
    save_file(tensors | {"conv_stem.weight": tensors["conv_stem.weight"][:1]}, place)
    assert main([*command, "--check"]) == 2
    assert "misshapen: conv_stem.weight" in capsys.readouterr().err.replace("model.", "")
    save_file(tensors, place)
    assert main([*command, "--check"]) == 0
    shown = capsys.readouterr().out
    assert hashlib.sha256(place.read_bytes()).hexdigest() in shown
    assert "Every file is whole and fits its network" in shown


def test_hashes_that_names_say_are_held_against_the_file(tmp_path: Path) -> None:
    """torch.hub's names end in SHA-256, those of SAM's files in MD5, the hub's cache has both."""
    content = b"weights"
    sha256 = hashlib.sha256(content).hexdigest()
    for name, whole in (
        (f"resnet34-{sha256[:8]}.pth", True),
        ("resnet34-0123456789.pth", False),
        ("sam_vit_b_01ec64.pth", False),
        ("weights.pth", True),
    ):
        (tmp_path / name).write_bytes(content)
        fault = WeightFile("system.rgb", str(tmp_path / name), on_hub=False).fault()
        assert (fault is None) == whole, name
        assert whole or "download it again" in str(fault)


def test_files_of_the_hub_are_looked_for_in_its_cache_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"weights"
    repository = tmp_path / "models--some--model"
    blob = repository / "blobs" / hashlib.sha256(content).hexdigest()
    snapshot = repository / "snapshots" / ("0" * 40)
    for folder in (blob.parent, snapshot, repository / "refs"):
        folder.mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    blob.write_bytes(content)
    (snapshot / "model.safetensors").symlink_to(blob)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    file = WeightFile("system.rgb", "some/model", on_hub=True)
    assert file.is_there
    assert file.fault() is None
    blob.write_bytes(b"other")
    assert "is damaged" in str(file.fault())
    assert "not there in the hub's cache" in str(
        WeightFile("system.rgb", "some/other", on_hub=True).fault()
    )


def test_every_study_of_the_paper_scale_names_known_files(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["weights", "encoders"]) == 0
    shown = capsys.readouterr().out
    assert "0 of 9 files are there" in shown
    assert "CC-BY-NC-4.0" in shown
    assert "not known by this name" not in shown


def test_a_study_of_packaged_weights_needs_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "demo", "--check"]) == 0
    assert "needs no file" in capsys.readouterr().out
