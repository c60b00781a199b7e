"""Exported weights: SAM2's own classes read them and see what the trained network saw."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from sam2.build_sam import build_sam2
from sam2.modeling.backbones.hieradet import Hiera
from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
from sam2.modeling.position_encoding import PositionEmbeddingSine
from torch import Tensor, nn
from transformers import DINOv3ViTModel, Sam3VisionModel, SamModel, SamVisionModel

from segcore.batch import Batch, Prompts
from segcore.classes import ClassSpec
from segcore.config import TrainConfig
from segcore.data.sets.synthetic_polyps import SyntheticPolyps
from segcore.methods import METHODS
from segcore.methods.method import Method
from segcore.predict.export import export
from segcore.presets import imedsam_nano
from segcore.systems.dual_encoder.fusion import FusionConfig
from segcore.systems.dual_encoder.network import DualEncoder, DualEncoderConfig
from segcore.systems.imedsam.network import IMedSam
from segcore.systems.rgb_encoders.dinov3 import Dinov3Config
from segcore.systems.rgb_encoders.rgb_encoder import RgbEncoderConfig
from segcore.systems.rgb_encoders.sam import SamEncoderConfig
from segcore.systems.rgb_encoders.sam2 import Sam2Config
from segcore.systems.rgb_encoders.sam3 import Sam3EncoderConfig
from segcore.systems.rgb_encoders.timm_vit import TimmVitConfig
from segcore.systems.system import SystemConfig
from segcore.training.loop import Training
from segcore.training.restore import Restored, restore
from segcore.training.runtime import Runtime
from segcore.training.schedule import Schedule
from segtune import apply
from segtune.cli import main

MERGEABLE = tuple(name for name in METHODS if Method.named(name).mergeable)
CLASSES = ClassSpec(("polyp",), exclusive=False)
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
    training.advance().save(folder)
    assert isinstance(training.system, DualEncoder)
    return training.system.eval()


def test_averaged_adapters_are_merged_exported_and_predicted_with(
    tiny: TrainConfig, tmp_path: Path
) -> None:
    """With `optim.ema` a checkpoint's best weights are the running mean, not the last step's."""
    seen = []
    for decay in (None, 0.9):
        config = dataclasses.replace(
            tiny,
            method=Method.named("lora", lr=0.05),
            schedule=Schedule(epochs=1, batch_size=3, warmup_steps=0),
            optim=dataclasses.replace(tiny.optim, ema=decay),
        )
        torch.manual_seed(0)
        (folder := tmp_path / str(decay)).mkdir()
        Training(config, Runtime(test=False)).advance().save(folder)
        export(restore(folder), folder / "sam2.safetensors")
        plain = Sam2().eval()
        plain.load_state_dict(load_file(folder / "sam2.safetensors"))
        system = restore(folder).system.eval()
        assert isinstance(system, DualEncoder)
        with torch.no_grad():
            levels, _ = system.rgb(image())
            alone = plain.image_encoder((image() - MEAN) / STD)["backbone_fpn"]
        assert torch.allclose(alone[2], levels[16], atol=1e-4)
        seen.append(levels[16])
    last, mean = seen
    assert not torch.allclose(last, mean, atol=1e-3), "the mean is not what the last step left"


def image() -> Tensor:
    return torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))


def from_pt(path: Path) -> dict[str, Tensor]:
    content = torch.load(path, weights_only=True)  # noqa: TID251
    assert list(content) == ["model"]
    tensors: dict[str, Tensor] = content["model"]
    return tensors


@pytest.mark.parametrize(("suffix", "read"), [(".safetensors", load_file), (".pt", from_pt)])
@pytest.mark.parametrize("method", MERGEABLE)
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
        seen, _ = system.rgb(image())
        alone = plain.image_encoder((image() - MEAN) / STD)["backbone_fpn"]
        begun, _ = Sam2Config().build()(image())
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
        encoder = restored.system.pretrained()["rgb"].state_dict()
        for name, tensor in model.state_dict().items():
            if name.startswith("image_encoder."):
                assert torch.equal(tensor, encoder[name])
            elif config.pretrained == "checkpoint":
                assert torch.equal(tensor, begun[name])


def network(sam2: Sam2Config) -> Restored:
    """Weights as they are after training: moved."""
    fusion = FusionConfig(mode="rgb_only")
    config = DualEncoderConfig(rgb=sam2, fusion=fusion)
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
    assert "is written as .safetensors or .pt" in message
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


@pytest.mark.parametrize("method", MERGEABLE)
def test_sam_alone_sees_what_the_trained_network_saw(tmp_path: Path, method: str) -> None:
    """Its encoder and its mask head, by transformers' own class, with a box."""
    data = SyntheticPolyps(train=4, val=2, test=2, images_per_patient=2, size=64)
    changes = {"system.decoder": "masks", "system.frequency.map": "none", "system.image_size": 64}
    config = dataclasses.replace(
        apply(imedsam_nano(), changes),
        data=data,
        method=Method.named(method),
        schedule=Schedule(epochs=1, batch_size=2, warmup_steps=0),
    )
    training = Training(config, Runtime(test=False))
    (tmp_path / "checkpoint").mkdir()
    training.advance().save(tmp_path / "checkpoint")
    restored = restore(tmp_path / "checkpoint")
    assert export(restored, tmp_path / "sam") > 100
    plain = SamModel.from_pretrained(tmp_path / "sam")
    plain.train(False)
    begun = imedsam_nano().system.build(CLASSES)
    image_B3HW = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    box = torch.tensor([[[0.25, 0.25, 0.75, 0.75]]])
    batch = Batch(
        image_B3HW=image_B3HW,
        target_BKHW=torch.empty(1, 1, 0, 0),
        sample_ids=("a",),
        patient_ids=("a",),
        prompts=Prompts(box, torch.ones(1, 1, dtype=torch.bool)),
    )
    with torch.no_grad():
        ours = restored.system(batch, (32, 32)).extras["native"]
        theirs = plain(
            pixel_values=(image_B3HW - MEAN) / STD, input_boxes=box * 64, multimask_output=False
        ).pred_masks[:, 0]
    assert torch.allclose(ours, theirs, atol=1e-4)
    assert isinstance(begun, IMedSam)
    moved = any(
        not torch.equal(x, plain.state_dict()[n])
        for n, x in begun.sam.state_dict().items()
        if n.startswith("vision_encoder.layers") and x.shape == plain.state_dict()[n].shape
    )
    assert moved == (method != "frozen")


def test_what_cannot_be_exported_says_why(tmp_path: Path) -> None:
    config = imedsam_nano()
    gated = Restored(
        config.system.build(CLASSES),
        config.system,
        Method.named("lora_qv", gate=True),
        CLASSES,
        None,
    )
    with pytest.raises(ValueError, match="can't be folded into plain weights") as caught:
        export(gated, tmp_path / "sam.pt")
    assert "SAM is written as a folder, without a suffix" in str(caught.value)
    box = SystemConfig.named("filled_box")
    shape = Restored(box.build(CLASSES), box, Method.named("frozen"), CLASSES, None)
    with pytest.raises(ValueError, match="filled_box has no pretrained model"):
        export(shape, tmp_path / "box.safetensors")
    assert not list(tmp_path.iterdir())


def by_sam(path: Path) -> Callable[[Tensor], Tensor]:
    model: Any = SamVisionModel.from_pretrained(path)
    return lambda pixels: model(pixels).last_hidden_state


def by_sam3(path: Path) -> Callable[[Tensor], Tensor]:
    model: Any = Sam3VisionModel.from_pretrained(path)
    return lambda pixels: model(pixels).fpn_hidden_states[0]


def by_dinov3(path: Path) -> Callable[[Tensor], Tensor]:
    model = DINOv3ViTModel.from_pretrained(path)
    return lambda pixels: (
        model(pixels).last_hidden_state[:, 5:].transpose(1, 2).unflatten(2, (8, 8))
    )


def by_timm(path: Path) -> Callable[[Tensor], Tensor]:
    model: Any = timm.create_model("vit_tiny_patch16_224", img_size=64, num_classes=0)
    model.load_state_dict(load_file(path))
    model.train(False)
    return lambda pixels: model.forward_intermediates(
        pixels, indices=1, norm=True, intermediates_only=True
    )[-1]


@pytest.mark.parametrize("method", ["lora", "lora_qv"])
@pytest.mark.parametrize(
    ("rgb", "suffix", "load"),
    [
        (SamEncoderConfig(), "", by_sam),
        (Sam3EncoderConfig(), "", by_sam3),
        (Dinov3Config(), "", by_dinov3),
        (TimmVitConfig(model="vit_tiny_patch16_224", pretrained="random"), ".safetensors", by_timm),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_other_encoders_see_in_their_libraries_what_the_network_saw(
    rgb: RgbEncoderConfig,
    suffix: str,
    load: Callable[[Path], Callable[[Tensor], Tensor]],
    method: str,
    tmp_path: Path,
) -> None:
    config = DualEncoderConfig(image_size=64, rgb=rgb, fusion=FusionConfig(mode="rgb_only"))
    torch.manual_seed(0)
    system = config.build(CLASSES)
    chosen = Method.named(method)
    chosen.adapt(system)
    for parameter in system.pretrained().values():
        for moved in parameter.parameters():
            if moved.requires_grad:
                moved.data.add_(0.01)  # as training would
    chosen.merge(system)
    system.requires_grad_(False).eval()
    export(Restored(system, config, chosen, CLASSES, None), path := tmp_path / f"rgb{suffix}")
    encoder: Any = system.rgb
    pixels = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        seen = (
            encoder.look(pixels)
            if hasattr(encoder, "look")
            else encoder.model(pixels).fpn_hidden_states[0]
        )
        expected = load(path)(pixels)
    assert expected.std() > 1e-3
    torch.testing.assert_close(seen, expected, rtol=1e-5, atol=1e-5)
