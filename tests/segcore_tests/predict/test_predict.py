"""Prediction from checkpoints: what a training scored is what a predictor sees."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from segcore.classes import ClassSpec
from segcore.config import TrainConfig
from segcore.data.loader import evaluation_batches
from segcore.data.pixels import read_depth, read_image
from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.methods import METHODS
from segcore.methods.method import Method
from segcore.predict import Predictor
from segcore.systems.dual_encoder.fusion import FusionConfig
from segcore.systems.dual_encoder.network import DualEncoderConfig
from segcore.systems.imedsam.network import IMedSamConfig
from segcore.systems.rgb_encoders.sam2 import Sam2Config
from segcore.training.checkpoint import CheckpointError, restore_tensors, trained_tensors
from segcore.training.loop import Training
from segcore.training.restore import find, restore
from segcore.training.runtime import Runtime
from segcore.training.schedule import Schedule

SIZE = 128


def trained(tiny: TrainConfig, folder: Path, **fields: Any) -> Training:
    """A training after one epoch, its checkpoint in `folder`."""
    schedule = Schedule(epochs=1, batch_size=3, warmup_steps=0)
    training = Training(dataclasses.replace(tiny, schedule=schedule, **fields), Runtime(test=False))
    folder.mkdir(parents=True, exist_ok=True)
    training.advance().save(folder)
    return training


def pictures(*shapes: tuple[int, int]) -> tuple[list[Any], list[Any]]:
    """Images and depth maps of these heights and widths."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]
    return images, [rng.integers(0, 256, shape, dtype=np.uint8) for shape in shapes]


@pytest.mark.parametrize("method", METHODS)
def test_a_predictor_sees_what_evaluation_sees(
    tiny: TrainConfig, tmp_path: Path, method: str
) -> None:
    training = trained(tiny, tmp_path, method=Method.named(method))
    predictor = Predictor.load(tmp_path, device="cpu")
    batches = evaluation_batches(training.dataset, "val", (SIZE, SIZE), 2, rank=0, world=1)
    for samples, batch in batches:
        with torch.no_grad():
            logits_BKHW = training.system.eval()(batch, (SIZE, SIZE)).logits_BKhw
        depths = [s.depth_HW for s in samples if s.depth_HW is not None]
        found = predictor([s.image_HW3 for s in samples], depths, probabilities=True)
        for wanted_KHW, predicted in zip(logits_BKHW.softmax(1), found, strict=True):
            assert predicted.probabilities_KHW is not None
            assert np.allclose(predicted.probabilities_KHW, wanted_KHW.numpy(), atol=1e-4)


def test_files_are_read_and_resized_as_in_training(tiny: TrainConfig, tmp_path: Path) -> None:
    training = trained(tiny, tmp_path, method=Method.named("frozen"))
    assert isinstance(tiny.data, SyntheticLiver)
    scenes = tiny.data.folder() / "Val"
    predictor = Predictor.load(tmp_path, device="cpu")
    for samples, batch in evaluation_batches(
        training.dataset, "val", (SIZE, SIZE), 1, rank=0, world=1
    ):
        image = read_image(scenes / "images" / f"{samples[0].sample_id}.jpg")
        depth = read_depth(scenes / "depth_AdelaiDepth" / f"{samples[0].sample_id}.png")
        (predicted,) = predictor([image], [depth], probabilities=True)
        assert image.shape[0] != SIZE, "or nothing is resized"
        with torch.no_grad():
            own_size = training.system.eval()(batch, image.shape[:2]).logits_BKhw
        wanted = own_size.softmax(1)[0]
        assert predicted.probabilities_KHW is not None
        assert np.allclose(predicted.probabilities_KHW, wanted.numpy(), atol=1e-4)


def test_encoders_that_stayed_random_are_made_again(tiny: TrainConfig, tmp_path: Path) -> None:
    system = DualEncoderConfig(rgb=Sam2Config(pretrained="random"))
    training = trained(tiny, tmp_path, system=system, method=Method.named("frozen"), seed=3)
    state = torch.get_rng_state()
    restored = restore(tmp_path)
    assert torch.equal(torch.get_rng_state(), state), "restoring draws no random number"
    wanted = training.system.state_dict()
    assert all(torch.equal(x, wanted[n]) for n, x in restored.system.state_dict().items())


def test_any_size_and_any_batch(tiny: TrainConfig, tmp_path: Path) -> None:
    trained(tiny, tmp_path, method=Method.named("frozen"))
    predictor = Predictor.load(tmp_path, device="cpu")
    images, depths = pictures((96, 130), (SIZE, SIZE), (301, 200))
    together = predictor(images, depths, probabilities=True)
    for n, (image, depth) in enumerate(zip(images, depths, strict=True)):
        (alone,) = predictor([image], [depth], probabilities=True)
        one, other = together[n].probabilities_KHW, alone.probabilities_KHW
        assert one is not None
        assert other is not None
        assert one.shape == (4, *image.shape[:2])
        assert np.allclose(one, other, atol=1e-5)
        assert np.allclose(one.sum(0), 1, atol=1e-5)
        assert (together[n].labels_HW == one.argmax(0)).all()
        assert (together[n].mask("silhouette") == (one.argmax(0) == 2)).all()
        assert together[n].depth_HW is depth
    assert predictor([], []) == []
    with pytest.raises(ValueError, match="no class 'liver': there are background, ridge"):
        together[0].mask("liver")


def test_classes_that_may_overlap_are_bits(tiny: TrainConfig) -> None:
    classes = ClassSpec(("liver", "tool"), exclusive=False)
    torch.manual_seed(0)
    system = tiny.system.build(classes).eval()
    predictor = Predictor(system, tiny.system, classes, torch.device("cpu"), "float32")
    (predicted,) = predictor(*pictures((SIZE, SIZE)), probabilities=True)
    shares = predicted.probabilities_KHW
    assert shares is not None
    for k, name in enumerate(classes.names):
        assert (predicted.mask(name) == (shares[k] > 0.5)).all()
    assert (predicted.labels_HW == 3).any(), "somewhere both classes are"


def test_it_predicts_in_the_precision_that_it_was_trained_in(
    tiny: TrainConfig, tmp_path: Path
) -> None:
    trained(tiny, tmp_path)
    assert Predictor.load(tmp_path, device="cpu").precision == "float32"
    described = json.loads((tmp_path / "config.json").read_text())
    assert described["config"]["precision"] == "float32"
    described["config"]["precision"] = "bfloat16"
    (tmp_path / "config.json").write_text(json.dumps(described))
    assert Predictor.load(tmp_path, device="cpu").precision == "bfloat16"
    del described["config"]["precision"]  # as before it was a field
    (tmp_path / "config.json").write_text(json.dumps(described))
    assert Predictor.load(tmp_path, device="cpu").precision == "float32"


def test_bfloat16_is_close(tiny: TrainConfig, tmp_path: Path) -> None:
    trained(tiny, tmp_path)
    exact = Predictor.load(tmp_path, device="cpu")
    coarse = Predictor.load(tmp_path, device="cpu", precision="bfloat16")
    one = exact(*pictures((SIZE, SIZE)), probabilities=True)[0].probabilities_KHW
    other = coarse(*pictures((SIZE, SIZE)), probabilities=True)[0].probabilities_KHW
    assert one is not None
    assert other is not None
    assert 0 < np.abs(one - other).max() < 0.1


@pytest.mark.gpu
def test_a_gpu_predicts_what_a_cpu_does(tiny: TrainConfig, tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    trained(tiny, tmp_path)
    images, depths = pictures((SIZE, SIZE), (90, 200))
    cpu = Predictor.load(tmp_path, device="cpu")(images, depths)
    gpu = Predictor.load(tmp_path, device="cuda", precision="float32")(images, depths)
    for one, other in zip(cpu, gpu, strict=True):
        assert (one.labels_HW == other.labels_HW).mean() > 0.995


def test_arrays_of_another_form_are_named_together(tiny: TrainConfig, tmp_path: Path) -> None:
    trained(tiny, tmp_path, method=Method.named("frozen"))
    predictor = Predictor.load(tmp_path, device="cpu")
    (image,), _ = pictures((SIZE, SIZE))
    with pytest.raises(ValueError, match="looks at depth maps") as refused:
        predictor([image[..., 0], image.astype(np.float32)])
    assert "image 0 is uint8 (128, 128)" in str(refused.value)
    assert "image 1 is float32" in str(refused.value)
    with pytest.raises(ValueError, match="2 depth maps for 1 images"):
        predictor([image], [image[..., 0], image])


def test_a_network_that_needs_no_depth_is_given_none(tiny: TrainConfig, tmp_path: Path) -> None:
    system = DualEncoderConfig(fusion=FusionConfig(mode="rgb_only"))
    trained(tiny, tmp_path, system=system, method=Method.named("frozen"))
    predictor = Predictor.load(tmp_path, device="cpu")
    assert not predictor.needs_depth
    (predicted,) = predictor(pictures((SIZE, SIZE))[0])
    assert predicted.depth_HW is None


def test_the_latest_checkpoint_of_a_trial_is_found(tmp_path: Path) -> None:
    trial = tmp_path / "results" / "demo" / "train" / "lora-s0"
    for epoch in (9, 10):
        folder = trial / f"epoch-{epoch}"
        folder.mkdir(parents=True)
        for name in ("best.safetensors", "config.json"):
            (folder / name).touch()
    (trial / "epoch-11").mkdir()  # not yet written
    assert find(trial) == trial / "epoch-10"
    assert find(trial / "epoch-9") == trial / "epoch-9"
    with pytest.raises(CheckpointError, match="1 trials; give one of them") as refused:
        find(tmp_path / "results")
    assert str(trial) in str(refused.value)
    for nothing in (tmp_path / "absent", trial / "epoch-11"):
        with pytest.raises(CheckpointError, match="no checkpoint"):
            find(nothing)


def test_other_pretrained_weights_are_refused(tiny: TrainConfig, tmp_path: Path) -> None:
    trained(tiny, tmp_path, method=Method.named("frozen"))
    path = tmp_path / "config.json"
    described = json.loads(path.read_text())
    path.write_text(json.dumps(described | {"weights_hash": "0" * 64}))
    with pytest.raises(CheckpointError, match="other pretrained weights"):
        restore(tmp_path)
    path.write_text(json.dumps({k: v for k, v in described.items() if k != "classes"}))
    with pytest.raises(CheckpointError, match="does not say classes"):
        restore(tmp_path)
    others: list[Any] = ["x", {}, described["config"] | {"system": {"name": 3}}]
    for config in others:
        path.write_text(json.dumps(described | {"config": config}))
        with pytest.raises(CheckpointError, match=r"does not say config\.system\.name"):
            restore(tmp_path)
    path.write_text("{")
    with pytest.raises(CheckpointError, match="is damaged"):
        restore(tmp_path)


def test_places_of_weights_are_asked_for_together(tiny: TrainConfig, tmp_path: Path) -> None:
    trained(tiny, tmp_path, method=Method.named("frozen"))
    path = tmp_path / "config.json"
    described = json.loads(path.read_text())
    described["config"]["system"]["rgb"]["pretrained"] = "checkpoint"
    described["config"]["system"]["depth"]["pretrained"] = "checkpoint"
    path.write_text(json.dumps(described))
    with pytest.raises(ValueError, match=r"system.rgb.checkpoint=PLACE is needed") as refused:
        restore(tmp_path, {"system.image_size": "64"})
    assert "system.depth.checkpoint=PLACE is needed" in str(refused.value)
    assert "system.image_size is no place" in str(refused.value)


def test_weights_of_a_place_are_used(tiny: TrainConfig, tmp_path: Path) -> None:
    weights = tmp_path / "sam2.pt"
    torch.save({"model": Sam2Config(pretrained="random").build().state_dict()}, weights)
    sam2 = Sam2Config(pretrained="checkpoint", checkpoint=str(weights))
    trained(tiny, tmp_path / "checkpoint", system=DualEncoderConfig(rgb=sam2))
    moved = weights.rename(tmp_path / "elsewhere.pt")
    places = {"system.rgb.checkpoint": str(moved)}
    assert Predictor.load(tmp_path / "checkpoint", device="cpu", locations=places).needs_depth


def test_weights_from_the_hub_are_found_by_place_or_in_the_cache_and_never_downloaded(
    tiny: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    model = cache / "models--someone--tiny"
    folder = model / "snapshots" / ("0" * 40)
    folder.mkdir(parents=True)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("0" * 40)
    random = Sam2Config(size="hiera_tiny", pretrained="random").build()
    save_file(random.state_dict(), folder / "model.safetensors")
    hub = Sam2Config(size="hiera_tiny", pretrained="hub", hub="someone/tiny")
    fusion = FusionConfig(mode="rgb_only")
    checkpoint = tmp_path / "checkpoint"
    with monkeypatch.context() as offline:
        offline.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        system = DualEncoderConfig(image_size=64, rgb=hub, fusion=fusion)
        trained(tiny, checkpoint, system=system, method=Method.named("frozen"))
    # A hub that can be reached is not asked: any request would go to this address, and fail.
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    found = restore(checkpoint)
    elsewhere = model.rename(tmp_path / "elsewhere") / "snapshots" / ("0" * 40)
    placed = restore(checkpoint, {"system.rgb.checkpoint": str(elsewhere)})
    for name, tensor in found.system.state_dict().items():
        assert torch.equal(tensor, placed.system.state_dict()[name])
    with pytest.raises(ValueError, match="run `hf download someone/tiny` first, or give the place"):
        restore(checkpoint)


def test_all_weights_that_are_not_in_the_hubs_cache_are_told_at_once(
    tiny: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint may be anybody's: a name in it starts no download, only a person does."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    trained(tiny, tmp_path, method=Method.named("frozen"))
    path = tmp_path / "config.json"
    described = json.loads(path.read_text())
    for part, size in (("rgb", "hiera_tiny"), ("depth", "small")):
        hub = {"size": size, "pretrained": "hub", "hub": f"someone/{part}"}
        described["config"]["system"][part].update(hub)
    path.write_text(json.dumps(described))
    with pytest.raises(ValueError, match="a checkpoint alone starts no download") as refused:
        restore(tmp_path)
    for part in ("rgb", "depth"):
        assert f"`hf download someone/{part}` first" in str(refused.value)
        assert f"system.{part}.checkpoint=FOLDER" in str(refused.value)


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="no device 'cuda:99' on this machine: choose cpu"):
        Predictor.load(Path("anywhere"), device="cuda:99")


def test_a_checkpoint_keeps_running_statistics() -> None:
    def network() -> nn.Module:
        return nn.Sequential(nn.Linear(3, 4).requires_grad_(False), nn.BatchNorm1d(4))

    first, second = network(), network()
    second[0].load_state_dict(first[0].state_dict())  # type: ignore[index]
    for _ in range(3):
        first(torch.randn(8, 3) * 5)
    tensors = trained_tensors(first)
    assert set(tensors) == {
        f"1.{n}" for n in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    }
    restore_tensors(second, tensors)
    x = torch.randn(2, 3)
    assert torch.equal(first.eval()(x), second.eval()(x))


def test_a_system_that_is_told_by_boxes_is_told_them() -> None:
    torch.manual_seed(0)
    config = IMedSamConfig(image_size=64)
    classes = ClassSpec(("polyp",), exclusive=False)
    predictor = Predictor(config.build(classes), config, classes, torch.device("cpu"), "float32")
    assert predictor.takes_prompts
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype(np.uint8)
    (box,) = predictor([image], boxes=[(10, 20, 60, 80)], probabilities=True)
    (other,) = predictor([image], boxes=[(70, 5, 110, 50)], probabilities=True)
    assert box.probabilities_KHW is not None
    assert other.probabilities_KHW is not None
    assert box.probabilities_KHW.shape == (1, 90, 120)
    assert box.maps["uncertainty"].shape == (90, 120)
    assert not np.allclose(box.probabilities_KHW, other.probabilities_KHW, atol=1e-3)
