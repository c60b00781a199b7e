"""Exported weights: SAM2's own classes read them and see what the trained network saw."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from sam2.build_sam import build_sam2
from sam2.modeling.backbones.hieradet import Hiera
from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
from sam2.modeling.position_encoding import PositionEmbeddingSine
from torch import Tensor, nn

from segcore.classes import ClassSpec
from segcore.config import TrainConfig
from segcore.methods import METHODS
from segcore.methods.method import Method
from segcore.predict.export import export
from segcore.systems.dual_encoder.fusion import FusionConfig
from segcore.systems.dual_encoder.network import DualEncoder, DualEncoderConfig
from segcore.systems.sam2_encoder import Sam2Config
from segcore.training.loop import Training
from segcore.training.restore import Restored, restore
from segcore.training.runtime import Runtime
from segcore.training.schedule import Schedule
from segtune.cli import main

TINY = "configs/sam2.1/sam2.1_hiera_t.yaml"
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


class Sam2(nn.Module):
    """The nano image encoder in the sam2 package's classes alone."""

    def __init__(self) -> None:
        super().__init__()
        trunk = Hiera(
            embed_dim=32,
            num_heads=1,
            stages=(1, 2, 3, 1),
            window_spec=(8, 4, 8, 4),
            global_att_blocks=(5,),
            window_pos_embed_bkg_spatial_size=(7, 7),
        )
        neck = FpnNeck(
            position_encoding=PositionEmbeddingSine(num_pos_feats=64),
            d_model=64,
            backbone_channel_list=trunk.channel_list,
            fpn_top_down_levels=[2, 3],
            fpn_interp_model="nearest",
        )
        self.image_encoder = ImageEncoder(trunk=trunk, neck=neck, scalp=1)


def trained(tiny: TrainConfig, method: str, folder: Path) -> DualEncoder:
    """A network after one epoch, its checkpoint in `folder`."""
    config = dataclasses.replace(
        tiny,
        method=Method.named(method),
        schedule=Schedule(epochs=1, batch_size=3, warmup_steps=0),
    )
    training = Training(config, Runtime(test=False))
    folder.mkdir(exist_ok=True)
    training.run_epoch(1).save(folder)
    assert isinstance(training.system, DualEncoder)
    return training.system.eval()


def image() -> Tensor:
    return torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))


def from_pt(path: Path) -> dict[str, Tensor]:
    content = torch.load(path, weights_only=True)  # noqa: TID251
    assert list(content) == ["model"]
    tensors: dict[str, Tensor] = content["model"]
    return tensors


@pytest.mark.parametrize(("suffix", "read"), [(".safetensors", load_file), (".pt", from_pt)])
@pytest.mark.parametrize("method", METHODS)
def test_sam2_alone_sees_what_the_trained_network_saw(
    tiny: TrainConfig,
    tmp_path: Path,
    method: str,
    suffix: str,
    read: Callable[[Path], dict[str, Tensor]],
) -> None:
    system = trained(tiny, method, tmp_path / "checkpoint")
    path = tmp_path / f"sam2{suffix}"
    export(restore(tmp_path / "checkpoint"), path)
    plain = Sam2().eval()
    plain.load_state_dict(read(path))
    with torch.no_grad():
        seen, _ = system.sam2(image())
        alone = plain.image_encoder((image() - MEAN) / STD)["backbone_fpn"]
        begun, _ = DualEncoderConfig().sam2.build()(image())
    for stride, features in zip((4, 8, 16), alone, strict=True):
        assert torch.allclose(features, seen[stride], atol=1e-5)
    moved = not torch.allclose(seen[16], begun[16], atol=1e-3)
    assert moved == (method != "frozen"), "an untrained network would pass this test"


def test_what_began_from_metas_file_is_a_whole_sam2(tmp_path: Path) -> None:
    """`build_sam2` wants every tensor of its model, and no other."""
    begun = build_sam2(TINY, device="cpu").state_dict()
    file = tmp_path / "meta.pt"
    torch.save({"model": begun}, file)
    for config in (
        Sam2Config(size="hiera_tiny", pretrained="checkpoint", checkpoint=str(file)),
        Sam2Config(size="hiera_tiny", pretrained="random"),
    ):
        restored = network(config)
        count = export(restored, tmp_path / "sam2.pt")
        model = build_sam2(TINY, device="cpu")
        if config.pretrained == "checkpoint":
            assert count == len(begun)
            model = build_sam2(TINY, str(tmp_path / "sam2.pt"), device="cpu")
        else:
            left = model.load_state_dict(from_pt(tmp_path / "sam2.pt"), strict=False)
            assert not left.unexpected_keys
            assert not any(n.startswith("image_encoder.") for n in left.missing_keys)
        encoder = restored.system.pretrained()["sam2"].state_dict()
        for name, tensor in model.state_dict().items():
            if name.startswith("image_encoder."):
                assert torch.equal(tensor, encoder[name])
            elif config.pretrained == "checkpoint":
                assert torch.equal(tensor, begun[name])


def network(sam2: Sam2Config) -> Restored:
    """Weights as they are after training: moved."""
    fusion = FusionConfig(mode="rgb_only")
    config = DualEncoderConfig(sam2=sam2, fusion=fusion)
    classes = ClassSpec(("liver",), exclusive=False)
    system = config.build(classes).requires_grad_(False)
    for parameter in system.parameters():
        parameter.add_(1.0)
    return Restored(system, config, Method.named("frozen"), classes, None)


def test_the_file_says_what_it_expects(tiny: TrainConfig, tmp_path: Path) -> None:
    trained(tiny, "frozen", tmp_path / "checkpoint")
    export(restore(tmp_path / "checkpoint"), tmp_path / "sam2.safetensors")
    with safe_open(tmp_path / "sam2.safetensors", "pt") as file:
        assert "128 x 128" in file.metadata()["input"]
        assert "ImageNet's mean" in file.metadata()["input"]


def test_faults_are_told_together_and_nothing_is_written(
    tiny: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(tiny, "frozen", tmp_path / "checkpoint")
    before = sorted(tmp_path.rglob("*"))
    out = tmp_path / "absent" / "sam2.onnx"
    assert main(["export", str(tmp_path / "checkpoint"), "--out", str(out)]) == 2
    message = capsys.readouterr().err
    assert "is neither .safetensors nor .pt" in message
    assert "is not a folder" in message
    assert sorted(tmp_path.rglob("*")) == before


def test_the_command_writes_a_file(
    tiny: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(tiny, "lora", tmp_path / "checkpoint")
    out = tmp_path / "sam2.pt"
    assert main(["export", str(tmp_path / "checkpoint"), "--out", str(out)]) == 0
    assert str(out) in capsys.readouterr().out
    Sam2().load_state_dict(from_pt(out))
    assert not list(tmp_path.glob(".*"))
