"""The baselines of segmentation_models_pytorch: the library's own networks are the reference."""

import dataclasses
import functools
from pathlib import Path
from typing import Any, cast

import pytest
import segmentation_models_pytorch as library
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from segcore.batch import FINISHED, Batch
from segcore.systems.pixels import standardise
from segcore.systems.rgb_encoders.convolutional import EncoderConfig
from segcore.systems.smp import Smp, SmpConfig
from segcore.testing import LANDMARKS, noise

SMALL = "tu-test_resnet"
"""timm's smallest ResNet, of 0.4 M parameters."""


def theirs(architecture: str, encoder: str = SMALL, classes: int = 4, **widths: Any) -> Any:
    torch.manual_seed(1)
    return library.create_model(architecture, encoder, None, 3, classes, **widths)


def ours(**fields: Any) -> Smp:
    torch.manual_seed(0)
    name = fields.pop("encoder", SMALL)
    encoder = name if isinstance(name, EncoderConfig) else EncoderConfig(name=name)
    return SmpConfig(image_size=64, encoder=encoder, **fields).build(LANDMARKS)


def counted(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("architecture", ["unet", "unetplusplus", "manet", "fpn", "segformer"])
def test_an_image_alone_is_seen_as_the_library_sees_a_batch_of_one(architecture: Any) -> None:
    """BatchNorm of one image is our norm `instance`, so training there is the reference here."""
    dropout: dict[str, Any] = {"decoder_dropout": 0.0} if architecture == "fpn" else {}
    network = theirs(architecture, **dropout)
    system = ours(architecture=architecture, width=256, norm="instance")
    kept = system.network.load_state_dict(network.state_dict(), strict=False)
    assert not kept.missing_keys
    assert all("running" in n or "num_batches" in n for n in kept.unexpected_keys)
    batch = noise(2, (64, 64))
    with torch.no_grad():
        found = system.train()(batch, (64, 64)).logits_BKhw
        for i in range(2):
            alone = network.train()(standardise(batch.take([i]).image_B3HW))
            torch.testing.assert_close(found[i : i + 1], alone, rtol=1e-3, atol=1e-3)


@pytest.fixture(scope="module")
def encoder_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ResNet that has seen images, as a file with its classifier."""
    torch.manual_seed(2)
    network = timm.create_model("test_resnet", num_classes=5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            cast(Tensor, module.running_mean).uniform_(-0.3, 0.3)
            cast(Tensor, module.running_var).uniform_(0.5, 2)
    path = tmp_path_factory.mktemp("weights") / "encoder.safetensors"
    save_file(network.state_dict(), path)
    return path


def from_file(path: Path, name: str = SMALL) -> EncoderConfig:
    return EncoderConfig(name=name, pretrained="checkpoint", checkpoint=str(path))


def features(network: nn.Module, x: Tensor) -> list[Tensor]:
    with torch.no_grad():
        found: list[Tensor] = network(x)
    return found


def of_file(path: Path) -> Any:
    """timm's own features of the file's network."""
    network = timm.create_model("test_resnet", features_only=True, pretrained=False)
    network.load_state_dict({n: x for n, x in load_file(path).items() if n[:3] != "fc."})
    return network.eval()


def test_an_encoder_from_a_file_keeps_its_statistics_in_training(encoder_file: Path) -> None:
    system = ours(encoder=from_file(encoder_file))
    x = torch.rand(2, 3, 64, 64)
    expected = of_file(encoder_file)(x)
    for mode in (True, False):
        system.train(mode)
        found = features(system.get_submodule("network.encoder"), x)[1:]
        for one, other in zip(found, expected, strict=True):
            assert torch.equal(one, other)
    assert len(system.weights_hash()) == 64
    assert ours().weights_hash() == "none"


def test_where_depth_and_colours_are_equal_the_file_says_the_same(encoder_file: Path) -> None:
    system = ours(encoder=from_file(encoder_file), inputs="rgbd").eval()
    grey = torch.rand(2, 1, 64, 64)
    found = features(system.get_submodule("network.encoder"), grey.expand(-1, 4, -1, -1))
    expected = of_file(encoder_file)(grey.expand(-1, 3, -1, -1))
    for one, other in zip(found[1:], expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_file_may_be_of_a_whole_network_or_of_timms_stages(tmp_path: Path) -> None:
    network = theirs("unet")
    whole, stages = tmp_path / "whole.safetensors", tmp_path / "stages.pth"
    save_file(network.state_dict(), whole)
    loaded = ours(encoder=from_file(whole)).get_submodule("network.encoder").state_dict()
    assert all(torch.equal(x, network.encoder.state_dict()[n]) for n, x in loaded.items())
    torch.manual_seed(3)
    convnext = timm.create_model("test_convnext", num_classes=5).eval()
    forward_features: Any = convnext.forward_features
    torch.save({"state_dict": convnext.state_dict()}, stages)
    encoder = ours(encoder=from_file(stages, "tu-test_convnext"), architecture="fpn")
    x = torch.rand(1, 3, 64, 64)
    last = features(encoder.eval().get_submodule("network.encoder"), x)[-1]
    with torch.no_grad():
        torch.testing.assert_close(last, forward_features(x))


def test_a_file_that_does_not_fit_is_told_name_by_name(encoder_file: Path, tmp_path: Path) -> None:
    tensors = load_file(encoder_file)
    tensors["layer9.weight"] = tensors.pop("conv1.0.weight")
    tensors["layer1.0.conv1.weight"] = torch.zeros(1, 2, 3, 3)
    save_file(tensors, path := tmp_path / "odd.safetensors")
    config = SmpConfig(encoder=from_file(path))
    with pytest.raises(
        ValueError, match="missing: model.conv1.0.weight; unused: layer9.weight"
    ) as e:
        config.check_weights()
    assert "misshapen: model.layer1.0.conv1.weight (1, 2, 3, 3) instead of" in str(e.value)
    with pytest.raises(ValueError, match=f"no encoder checkpoint at {tmp_path}/gone: download"):
        SmpConfig(encoder=from_file(tmp_path / "gone")).check_weights()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "resnet35"}, "'resnet35' is no encoder: give 'tu-' and .* one of densenet121,"),
        ({"name": "tu-resnet35"}, "'tu-resnet35' is no encoder"),
        ({"name": "efficientnet-b0"}, "drops blocks at random"),
        ({"pretrained": "checkpoint"}, "go together: give both or neither"),
        ({"checkpoint": "place", "name": "timm-x"}, "go together: .*; encoder.name = 'timm-x'"),
    ],
)
def test_what_an_encoder_cannot_be_is_told(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EncoderConfig(**fields)


def test_what_the_library_does_not_put_together_is_told_beforehand() -> None:
    config = SmpConfig(architecture="unetplusplus", encoder=EncoderConfig(name="mit_b0"))
    message = "architecture = 'unetplusplus' does not go with .* = 'mit_b0': UnetPlusPlus"
    with pytest.raises(ValueError, match=message):
        config.check_weights()


def test_a_norm_that_would_change_nothing_is_refused() -> None:
    config = SmpConfig(architecture="fpn", norm="instance", encoder=EncoderConfig(name="mit_b0"))
    with pytest.raises(ValueError, match="system.norm = 'instance' has no effect"):
        config.check_weights()


@pytest.mark.parametrize(
    ("architecture", "encoder"), [("fpn", SMALL), ("deeplabv3plus", SMALL), ("segformer", "mit_b0")]
)
def test_nothing_is_dropped_in_training(architecture: Any, encoder: str) -> None:
    system, batch = ours(architecture=architecture, encoder=encoder).train(), noise(2, (64, 64))
    with torch.no_grad():
        torch.manual_seed(0)
        first = system(batch, (64, 64)).logits_BKhw
        torch.manual_seed(1)
        assert torch.equal(system(batch, (64, 64)).logits_BKhw, first)


@pytest.mark.parametrize("inputs", ["rgb", "rgbd"])
def test_depth_is_looked_at_where_it_is_a_channel(inputs: Any) -> None:
    system, batch = ours(inputs=inputs).eval(), noise(2, (64, 64))
    flat = without_depth(batch, torch.zeros(2, 1, 64, 64))
    with torch.no_grad():
        same = torch.equal(system(batch, (64, 64)).logits_BKhw, system(flat, (64, 64)).logits_BKhw)
    assert same == (inputs == "rgb")
    if inputs == "rgbd":
        with pytest.raises(ValueError, match="no depth maps: .* system.inputs='rgb'"):
            system(without_depth(batch, None), (64, 64), FINISHED)


def without_depth(batch: Batch, depth_B1HW: Tensor | None) -> Batch:
    return dataclasses.replace(batch, depth_B1HW=depth_B1HW)


@pytest.mark.parametrize(
    "architecture",
    ["unet", "unetplusplus", "manet", "fpn", "deeplabv3plus", "upernet", "segformer"],
)
def test_at_the_librarys_width_there_are_as_many_parameters(architecture: Any) -> None:
    with torch.device("meta"):
        found = ours(architecture=architecture, width=256, encoder="resnet18")
        assert counted(found) == counted(theirs(architecture, "resnet18"))


PUBLISHED = [
    # ResNet-34 has 21,797,672 (torchvision's table), of which its classifier has 513,000.
    ("unet", "resnet34", 1, 24.4, 21_797_672 - 513_000),
    # The card of smp-hub's SegFormer-B0 of 19 classes: 3.72 M.
    ("segformer", "mit_b0", 19, 3.72, None),
]


@pytest.mark.parametrize(("architecture", "name", "classes", "millions", "encoder"), PUBLISHED)
def test_published_sizes(
    architecture: Any,
    name: str,
    classes: int,
    millions: float,
    encoder: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    linspace = functools.partial(torch.linspace, device="cpu")
    monkeypatch.setattr(torch, "linspace", linspace)  # MiT reads its values
    config = SmpConfig(architecture=architecture, width=256, encoder=EncoderConfig(name=name))
    with torch.device("meta"):
        network = config.network(classes)
    assert counted(network) / 1e6 == pytest.approx(millions, rel=2e-3)
    if encoder is not None:
        assert counted(network.get_submodule("encoder")) == encoder
