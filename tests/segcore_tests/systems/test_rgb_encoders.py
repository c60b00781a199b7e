"""Encoders of images: published files give the features that the libraries' own models give, and
what does not fit is said."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from timm.models.eva import checkpoint_filter_fn
from torch import Tensor, nn
from transformers import (
    DINOv3ViTModel,
    Sam3VisionConfig,
    Sam3VisionModel,
    Sam3ViTConfig,
    SamModel,
)

from segcore.batch import FINISHED
from segcore.presets import nano
from segcore.systems.depth_encoders.depth_anything_v2 import DepthAnythingV2Config
from segcore.systems.dual_encoder.fusion import FusionConfig
from segcore.systems.dual_encoder.network import DualEncoderConfig
from segcore.systems.pixels import Standardise, standardise
from segcore.systems.rgb_encoders import dinov3, sam3
from segcore.systems.rgb_encoders.dinov3 import Dinov3Config
from segcore.systems.rgb_encoders.pyramid import FeaturePyramid, multiple_for, side_seen, stride_of
from segcore.systems.rgb_encoders.rgb_encoder import STRIDES, RgbEncoderConfig
from segcore.systems.rgb_encoders.sam import SamEncoderConfig
from segcore.systems.rgb_encoders.sam3 import Sam3EncoderConfig, build_sam3
from segcore.systems.rgb_encoders.sam_model import build_sam
from segcore.systems.rgb_encoders.timm_vit import TimmVitConfig
from segcore.testing import LANDMARKS, noise
from segtune import apply

SIDE = 64
PYRAMIDS = ("sam", "dinov3", "timm_vit")


def image(side: int = SIDE) -> Tensor:
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))


def changed(module: nn.Module) -> dict[str, Tensor]:
    """A network's tensors, none with a value that it starts with."""
    generator = torch.Generator().manual_seed(3)
    return {
        name: torch.randn(x.shape, generator=generator) / 8
        for name, x in module.state_dict().items()
    }


def close(found: Tensor, expected: Tensor) -> None:
    assert expected.std() > 0.05, "there is something to compare"
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@given(patch=st.integers(4, 40), steps=st.integers(1, 40))
def test_every_patch_stands_for_a_power_of_two(patch: int, steps: int) -> None:
    """So that each level of the pyramid has whole features, at strides 4, 8 and 16."""
    side, stride = steps * multiple_for(patch), stride_of(patch)
    assert side_seen(side, patch) == patch * (side // stride)
    assert all(side % level == 0 for level in (*STRIDES, stride))
    assert 2**-0.51 < patch / stride < 2**0.51
    assert (stride == patch) == (patch.bit_count() == 1)


def test_what_an_encoder_sees_of_an_image() -> None:
    assert [side_seen(1024, patch) for patch in (8, 14, 16, 32)] == [1024, 896, 1024, 1024]
    assert side_seen(1152, 14) == 1008, "SAM3's own size"


@pytest.mark.parametrize("stride", [8, 16])
def test_the_pyramid_is_sam3s_neck_with_norms(stride: int) -> None:
    """SAM3's neck is ViTDet's pyramid without norms: with the same weights, and no norms, the same
    levels."""
    torch.manual_seed(0)
    ours = FeaturePyramid(32, 16, stride)
    vit = Sam3ViTConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=1)
    theirs: Any = Sam3VisionModel(
        Sam3VisionConfig(
            backbone_config=vit, fpn_hidden_size=16, scale_factors=[stride / s for s in STRIDES]
        )
    ).neck
    for stride_, level in zip(STRIDES, theirs.fpn_layers, strict=True):
        own = ours.levels[str(stride_)]
        for name, module in [*own.named_modules()]:
            if type(module).__name__ == "LayerNorm2d":
                own.set_submodule(name, nn.Identity())
        pairs = zip(weights(own), weights(level), strict=True)
        for mine, its in pairs:
            its.weight.data.copy_(mine.weight)
            its.bias.data.zero_() if mine.bias is None else its.bias.data.copy_(mine.bias)
    x_BChw = torch.randn(2, 32, 8, 8)
    with torch.no_grad():
        found, (expected, _) = ours(x_BChw), theirs(x_BChw)
    for stride_, level in zip(STRIDES, expected, strict=True):
        assert level.shape[-1] == 8 * stride // stride_
        close(found[stride_], level)


def weights(module: nn.Module) -> list[Any]:
    return [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]


@pytest.mark.parametrize("name", PYRAMIDS)
def test_the_pyramid_is_begun_here_and_belongs_to_the_head(name: str) -> None:
    config = DualEncoderConfig(
        image_size=SIDE,
        rgb=RgbEncoderConfig.named(name),
        fusion=FusionConfig(mode="rgb_only"),
    )
    torch.manual_seed(0)
    system = config.build(LANDMARKS)
    roles = {path: part.role for path, part in system.parts().items()}
    assert roles == {"rgb.vit": "pretrained", "rgb.pyramid": "head", "decoder": "head"}
    system.get_submodule("rgb.vit").requires_grad_(False)
    batch = noise(1, (SIDE, SIDE))
    system.loss(system(batch, (SIDE, SIDE)), batch, FINISHED).backward()
    moved = {n.split(".")[1] for n, p in system.named_parameters() if p.grad is not None}
    assert "pyramid" in moved
    assert "vit" not in moved


def test_a_studys_arm_takes_another_encoder_by_name() -> None:
    changes = {"system.rgb": "dinov3", "system.depth": "depth_anything_3"}
    config = apply(nano(), {**changes, "system.image_size": 112})
    assert config.system.rgb == Dinov3Config()
    assert config.system.depth.name == "depth_anything_3"
    # Another test's plug-in may have added a row to the table.
    with pytest.raises(ValueError, match="unknown RGB encoder 'dino': choose one of dinov3, "):
        apply(nano(), {"system.rgb": "dino"})
    sizes = {"system.rgb": "sam2", "system.image_size": 112}
    with pytest.raises(ValueError, match="image_size = 112: give a multiple of 32, as the RGB"):
        apply(config, sizes)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Sam3EncoderConfig(pretrained="packaged"), "sam3: no weights are packaged"),
        (lambda: Dinov3Config(pretrained="hub", hub="a/b"), "use pretrained='random'"),
        (lambda: Dinov3Config(size="vitb16", pretrained="checkpoint"), "needs checkpoint=PLACE"),
        (lambda: SamEncoderConfig(size="vit_b"), "packaged weights exist for size 'nano'"),
        (lambda: TimmVitConfig(model="vit_tiny"), "timm has no 'vit_tiny': choose one that"),
        (lambda: TimmVitConfig(model="vit_tiny_patch16_224"), "packaged weights exist for size"),
        (
            lambda: TimmVitConfig(model="vit_relpos_small_patch16_224", pretrained="random"),
            "is a VisionTransformerRelPos, and no plain vision transformer",
        ),
        (lambda: TimmVitConfig(checkpoint="x"), "checkpoint has no effect with pretrained='pack"),
    ],
)
def test_sources_that_cannot_be_are_refused(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


# SAM.


def test_sam_sees_what_transformers_model_sees(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build_sam("nano", SIDE)
    code = {n: x for n, x in model.state_dict().items() if "shared" in n}
    model.load_state_dict(changed(model) | code)
    model.save_pretrained(tmp_path)
    config = SamEncoderConfig(pretrained="checkpoint", checkpoint=str(tmp_path))
    with torch.no_grad():
        seen = config.build(SIDE).look(standardise(image()))
        expected = model.vision_encoder(standardise(image())).last_hidden_state
    close(seen, expected)
    assert isinstance(model, SamModel)


# SAM3.


def whole_sam3() -> Any:
    """SAM3's vision model as published, with its level at stride 32, of nano's size."""
    vit = Sam3ViTConfig(image_size=SIDE, **sam3._VIT["nano"])
    torch.manual_seed(0)
    model = Sam3VisionModel(
        Sam3VisionConfig(
            backbone_config=vit, fpn_hidden_size=64, scale_factors=[2.0, 1.0, 0.5, 0.5]
        )
    )
    model.load_state_dict(changed(model))
    model.train(False)
    return model


def as_meta_has_sam3(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Under the names of `sam3.pt`, as facebookresearch/sam3's classes give them: q, k and v fused,
    the position of a class token in front, and what belongs to text and tracker beside it."""
    trunk, convs = (f"detector.backbone.vision_backbone.{x}." for x in ("trunk", "convs"))
    out: dict[str, Tensor] = {}
    names = {
        "embeddings.patch_embeddings.projection.": "patch_embed.proj.",
        "layer_norm1.": "norm1.",
        "layer_norm2.": "norm2.",
        "attention.o_proj.": "attn.proj.",
    }
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        if part == "neck":
            level, kind, *tail = rest.removeprefix("fpn_layers.").split(".")
            deep = f"neck.fpn_layers.{level}.scale_layers.2.weight" in tensors
            step = "_0" if deep and tail[0] == "0" else "_1" if tail[0] == "2" else ""
            own = {"proj1": "conv_1x1", "proj2": "conv_3x3"}.get(kind, f"dconv_2x2{step}")
            out[f"{convs}{level}.{own}.{tail[-1]}"] = tensor
            out[f"{convs.replace('convs', 'sam2_convs')}{level}.{own}.{tail[-1]}"] = -tensor
        elif "q_proj" in rest:
            fused = torch.cat([tensors[name.replace("q_proj", f"{x}_proj")] for x in "qkv"])
            block = rest.replace("layers.", "blocks.").replace("attention.q_proj", "attn.qkv")
            out[trunk + block] = fused
            out[trunk + block.rpartition("qkv.")[0] + "freqs_cis"] = torch.ones(2, 2)
        elif rest == "embeddings.position_embeddings":
            out[f"{trunk}pos_embed"] = torch.cat([torch.ones_like(tensor[:, :1]), tensor], dim=1)
        elif "k_proj" not in rest and "v_proj" not in rest:
            for ours, its in names.items():
                rest = rest.replace(ours, its)
            rest = rest.replace("layers.", "blocks.").replace("layer_norm.", "ln_pre.")
            out[trunk + rest] = tensor
    return out | {
        "detector.backbone.language_backbone.encoder.ln_final.bias": torch.zeros(2),
        "tracker.maskmem_tpos_enc": torch.zeros(2),
    }


@pytest.mark.parametrize("layout", ["meta", "folder", "whole", "video"])
def test_sam3_sees_what_transformers_model_sees(layout: str, tmp_path: Path) -> None:
    model = whole_sam3()
    tensors = model.state_dict()
    place = tmp_path / "sam3.safetensors"
    if layout == "meta":
        place = tmp_path / "sam3.pt"
        torch.save(as_meta_has_sam3(tensors), place)
    elif layout == "folder":
        model.save_pretrained(place := tmp_path / "folder")
    else:
        prefix = {"whole": "vision_encoder.", "video": "detector_model.vision_encoder."}[layout]
        others = {"tracker_neck.x": torch.zeros(1), "text_encoder.y": torch.zeros(1)}
        save_file({f"{prefix}{n}": x.contiguous() for n, x in tensors.items()} | others, place)
    encoder = Sam3EncoderConfig(pretrained="checkpoint", checkpoint=str(place)).build(SIDE)
    with torch.no_grad():
        found, codes = encoder(image())
        expected = model((image() - 0.5) / 0.5)
    for i, stride in enumerate(STRIDES):
        close(found[stride], expected.fpn_hidden_states[i])
        close(codes[stride], expected.fpn_position_encoding[i])


def test_the_published_sam3_has_the_parameters_of_metas() -> None:
    """1024 channels, 32 blocks, MLPs 4.625 times as wide, 256 channels in the neck."""
    with torch.device("meta"):
        model = build_sam3("vit_l", 1008)
    width, inside = 1024, 4736
    block = 4 * (width**2 + width) + 2 * width * inside + width + inside + 4 * width
    embedding = width * (3 * 14**2 + 24**2) + 2 * width
    neck = (
        (4 * width * 512 + 512 + 4 * 512 * 256 + 256)
        + (4 * width * 512 + 512)
        + sum(c * 256 + 256 + 9 * 256**2 + 256 for c in (256, 512, 1024))
    )
    assert sum(p.numel() for p in model.parameters()) == 32 * block + embedding + neck


def test_a_sam3_that_does_not_fit_names_every_fault(tmp_path: Path) -> None:
    tensors = as_meta_has_sam3(whole_sam3().state_dict())
    trunk = "detector.backbone.vision_backbone.trunk."
    del tensors[f"{trunk}blocks.1.norm2.bias"]
    tensors[f"{trunk}blocks.7.attn.qkv.bias"] = torch.zeros(6)
    torch.save(tensors, place := tmp_path / "sam3.pt")
    config = Sam3EncoderConfig(pretrained="checkpoint", checkpoint=str(place))
    with pytest.raises(ValueError, match="do not fit the network") as refused:
        config.build(SIDE)
    assert "missing: backbone.layers.1.layer_norm2.bias;" in str(refused.value)
    assert "unused: backbone.layers.7.attention.k_proj.bias, " in str(refused.value)
    torch.save({"cls_token": torch.zeros(1)}, place)
    with pytest.raises(ValueError, match="is no SAM3 checkpoint: none of its tensors is called"):
        config.build(SIDE)


# DINOv3.

TIMMS = {
    "vits16": "vit_small_patch16_dinov3_qkvb",
    "vits16plus": "vit_small_plus_patch16_dinov3_qkvb",
    "vitb16": "vit_base_patch16_dinov3_qkvb",
    "vitl16": "vit_large_patch16_dinov3_qkvb",
    "vith16plus": "vit_huge_plus_patch16_dinov3_qkvb",
    "vit7b16": "vit_7b_patch16_dinov3",
}


@pytest.mark.parametrize("size", TIMMS)
def test_every_size_of_dinov3_is_timms(size: Any) -> None:
    """timm leaves out one thing: the token that stands in for hidden patches."""
    with torch.device("meta"):
        ours = DINOv3ViTModel(dinov3.vit_config(size))
        theirs = timm.create_model(TIMMS[size], num_classes=0)
    count, timms = (sum(p.numel() for p in m.parameters()) for m in (ours, theirs))
    assert count == timms + ours.config.hidden_size


def metas_dinov3(vit: Any) -> dict[str, Tensor]:
    """What Meta's file of a transformer of timm's would hold, with random values."""
    random = torch.Generator().manual_seed(0)
    width = vit.embed_dim
    tensors = {
        "cls_token": (1, 1, width),
        "storage_tokens": (1, 4, width),
        "mask_token": (1, width),
        "patch_embed.proj.weight": tuple(vit.patch_embed.proj.weight.shape),
        "patch_embed.proj.bias": (width,),
        "rope_embed.periods": (8,),
        "norm.weight": (width,),
        "norm.bias": (width,),
        "local_cls_norm.weight": (width,),
        "local_cls_norm.bias": (width,),
    }
    gated = "blocks.0.mlp.fc1_g.weight" in vit.state_dict()
    hidden = vit.blocks[0].mlp.fc2.in_features
    mlp = {"w1": hidden, "w2": hidden, "w3": width} if gated else {"fc1": hidden, "fc2": width}
    for i in range(len(vit.blocks)):
        block = f"blocks.{i}."
        for name in ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"):
            tensors[block + name] = (width,)
        for name in ("ls1.gamma", "ls2.gamma", "attn.proj.bias"):
            tensors[block + name] = (width,)
        tensors[f"{block}attn.qkv.weight"] = (3 * width, width)
        tensors[f"{block}attn.qkv.bias"] = tensors[f"{block}attn.qkv.bias_mask"] = (3 * width,)
        tensors[f"{block}attn.proj.weight"] = (width, width)
        for name, outputs in mlp.items():
            inputs = width if outputs == hidden else hidden
            tensors[f"{block}mlp.{name}.weight"] = (outputs, inputs)
            tensors[f"{block}mlp.{name}.bias"] = (outputs,)
    return {name: torch.randn(shape, generator=random) / 8 for name, shape in tensors.items()}


@pytest.mark.parametrize(
    ("size", "gated"), [("vits16", False), ("vits16plus", True)], ids=["mlp", "gated"]
)
def test_metas_dinov3_is_read_as_timm_reads_it(
    size: Any, gated: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meta's names by two libraries, whose transformers share no code: the same features."""
    short = {**dinov3._VIT[size], "num_hidden_layers": 2}
    monkeypatch.setitem(dinov3._VIT, size, short)
    vit: Any = timm.create_model(
        TIMMS[size], num_classes=0, img_size=SIDE, depth=2, pretrained=False
    )
    tensors = metas_dinov3(vit)
    assert ("blocks.0.mlp.w3.weight" in tensors) == gated
    torch.save(tensors, place := tmp_path / "dinov3.pth")
    vit.load_state_dict(checkpoint_filter_fn(dict(tensors), vit))
    encoder = Dinov3Config(size=size, pretrained="checkpoint", checkpoint=str(place)).build(SIDE)
    pixels = standardise(image())
    with torch.no_grad():
        seen = encoder.eval().look(pixels)
        expected = vit.eval().forward_features(pixels)[:, vit.num_prefix_tokens :]
    close(seen.flatten(2).transpose(1, 2), expected)
    del tensors["blocks.1.ls2.gamma"]
    tensors["blocks.1.mlp.extra"] = torch.zeros(1)
    torch.save(tensors, place)
    with pytest.raises(ValueError, match="missing: model.layer.1.layer_scale2.lambda1") as told:
        Dinov3Config(size=size, pretrained="checkpoint", checkpoint=str(place)).build(SIDE)
    assert "unused: model.layer.1.mlp.extra" in str(told.value)


@pytest.mark.parametrize("older", [False, True])
def test_a_folder_of_dinov3_is_read(older: bool, tmp_path: Path) -> None:
    """In today's names and in those of before version 5 of transformers."""
    model: Any = DINOv3ViTModel(dinov3.vit_config("nano"))
    model.load_state_dict(changed(model))
    if older:
        names = {n.replace("model.layer.", "layer."): x for n, x in model.state_dict().items()}
        save_file(names, tmp_path / "model.safetensors")
    else:
        model.save_pretrained(tmp_path)
    config = Dinov3Config(pretrained="checkpoint", checkpoint=str(tmp_path))
    pixels = standardise(image())
    with torch.no_grad():
        seen = config.build(SIDE).look(pixels)
        expected = model(pixels).last_hidden_state[:, 5:]
    close(seen.flatten(2).transpose(1, 2), expected)
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="is no DINOv3 checkpoint: it has no tensor storage_to"):
        config.build(SIDE)


# timm.


@pytest.mark.parametrize(
    ("model", "side"),
    [
        ("vit_tiny_patch16_224.augreg_in21k", 96),
        ("vit_small_patch14_dinov2.lvd142m", 64),
        ("vit_base_patch32_clip_224.openai", 64),
        ("vit_small_patch16_dinov3.lvd1689m", 64),
        ("eva02_tiny_patch14_224.mim_in22k", 64),
    ],
)
def test_timms_file_gives_what_timm_gives(model: str, side: int, tmp_path: Path) -> None:
    """Positions resized by timm itself, pixels standardised as timm says of the name."""
    torch.manual_seed(0)
    whole: Any = timm.create_model(model, depth=2)
    whole.load_state_dict(changed(whole))
    save_file(whole.state_dict(), place := tmp_path / "model.safetensors")
    config = TimmVitConfig(model=model, pretrained="checkpoint", checkpoint=str(tmp_path))
    seen_side = side_seen(side, whole.patch_embed.patch_size[0])
    file = {"file": str(place)}  # in the place of a download
    vit: Any = timm.create_model(
        model, depth=2, img_size=seen_side, pretrained=True, pretrained_cfg_overlay=file
    )
    cfg: Any = timm.get_pretrained_cfg(model)
    with pytest.MonkeyPatch.context() as patch:
        create = timm.create_model
        patch.setattr(timm, "create_model", lambda name, **kw: create(name, depth=2, **kw))
        encoder = config.build(side).eval()
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (cfg.mean, cfg.std))
    pixels = (image(seen_side) - mean) / std
    with torch.no_grad():
        maps = vit.eval().forward_intermediates(
            pixels, indices=1, norm=True, intermediates_only=True
        )
        close(encoder.look(Standardise(cfg.mean, cfg.std)(image(seen_side))), maps[-1])
    if stride_of(whole.patch_embed.patch_size[0]) == 16:
        levels, _ = encoder(image(side))
        assert {s: x.shape[-1] for s, x in levels.items()} == {s: side // s for s in STRIDES}


def test_a_file_of_timm_that_does_not_fit_names_every_fault(tmp_path: Path) -> None:
    model = "vit_tiny_patch16_224"
    tensors = timm.create_model(model, img_size=SIDE).state_dict()
    del tensors["blocks.0.norm1.bias"]
    tensors["blocks.12.norm1.bias"] = torch.zeros(192)
    tensors["norm.weight"][0] = torch.inf
    save_file(tensors, tmp_path / "model.safetensors")
    config = TimmVitConfig(model=model, pretrained="checkpoint", checkpoint=str(tmp_path))
    with pytest.raises(ValueError, match="do not fit the network") as refused:
        config.build(SIDE)
    for fault in (
        "missing: blocks.0.norm1.bias",
        "unused: blocks.12.norm1.bias",
        "with NaN or infinity: norm.weight",
    ):
        assert fault in str(refused.value)


def test_packaged_weights_are_wefts_and_sams() -> None:
    """And are there: two builds see the same, random ones do not."""
    for packaged, random in (
        (TimmVitConfig(), TimmVitConfig(pretrained="random")),
        (SamEncoderConfig(), SamEncoderConfig(pretrained="random")),
    ):
        with torch.no_grad():
            one, two = (packaged.build(SIDE).look(image()) for _ in range(2))
            others = [random.build(SIDE).look(image()) for _ in range(2)]
        assert torch.equal(one, two)
        assert not torch.equal(*others)


def test_all_weights_are_read_beforehand_and_their_faults_told_together(tmp_path: Path) -> None:
    places = [str(tmp_path / name) for name in ("a", "b")]
    config = DualEncoderConfig(
        image_size=SIDE,
        rgb=Dinov3Config(size="vits16", pretrained="checkpoint", checkpoint=places[0]),
    )
    depth = DepthAnythingV2Config(pretrained="checkpoint", checkpoint=places[1])
    with pytest.raises(ValueError, match=f"no DINOv3 checkpoint at {places[0]}") as refused:
        dataclasses.replace(config, depth=depth).check_weights()
    assert f"no weights at {places[1]}" in str(refused.value)
