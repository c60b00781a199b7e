"""The dual encoder: shapes, settings that all matter, adaptable projections, weights."""

import dataclasses
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import DPTImageProcessor

from segcore.batch import FINISHED, Batch
from segcore.classes import ClassSpec
from segcore.config import from_json, to_json
from segcore.methods.method import Method
from segcore.presets import paper_system
from segcore.systems.depth_encoders.depth_anything_v2 import DepthAnythingV2Config
from segcore.systems.depth_encoders.depth_encoder import DepthEncoder
from segcore.systems.dual_encoder.decoder import DecoderConfig
from segcore.systems.dual_encoder.fusion import FusionConfig
from segcore.systems.dual_encoder.network import DualEncoder, DualEncoderConfig
from segcore.systems.pixels import IMAGENET_MEAN, IMAGENET_STD, resize, standardise
from segcore.systems.rgb_encoders.sam2 import Sam2Config, build_hiera
from segcore.systems.system import SystemConfig
from segcore.training.schedule import OptimConfig

CLASSES = ClassSpec(("background", "ridge", "silhouette", "ligament"), exclusive=True)
ORGANS = ClassSpec(("liver", "tumour"), exclusive=False)


def batch(samples: int = 2, size: int = 128, classes: ClassSpec = CLASSES) -> Batch:
    random = torch.Generator().manual_seed(1)
    count = len(classes.names)
    labels = torch.randint(count, (samples, size, size), generator=random)
    ids = tuple(str(i) for i in range(samples))
    return Batch(
        image_B3HW=torch.rand(samples, 3, size, size, generator=random),
        target_BKHW=nn.functional.one_hot(labels, count).permute(0, 3, 1, 2).float(),
        sample_ids=ids,
        patient_ids=ids,
        depth_B1HW=torch.rand(samples, 1, size, size, generator=random),
    )


def built(config: DualEncoderConfig | None = None, classes: ClassSpec = CLASSES) -> DualEncoder:
    torch.manual_seed(0)
    return (config or DualEncoderConfig()).build(classes)


def fused(**fields: Any) -> DualEncoderConfig:
    return DualEncoderConfig(fusion=FusionConfig(**fields))


def shapes(system: nn.Module) -> Mapping[str, torch.Size]:
    return {name: p.shape for name, p in system.named_parameters()}


def flat(config: Any, prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        nested = dataclasses.is_dataclass(value)
        out |= flat(value, f"{field.name}.") if nested else {prefix + field.name: value}
    return out


DEFAULTS: dict[str, Any] = flat(DualEncoderConfig())


@pytest.mark.parametrize("size", [64, 128, 100])
def test_logits_have_the_size_asked_for(size: int) -> None:
    assert built()(batch(), size).logits_BKhw.shape == (2, 4, size, size)


def test_images_of_another_size_and_overlapping_classes() -> None:
    small = batch(size=96, classes=ORGANS)
    system = built(classes=ORGANS)
    prediction = system(small, (64, 64))
    assert prediction.logits_BKhw.shape == (2, 2, 64, 64)
    assert system.loss(prediction, small, FINISHED).isfinite()


@pytest.mark.parametrize(
    "config",
    [
        fused(mode="sum"),
        fused(mode="concatenation"),
        fused(mode="rgb_only"),
        fused(stride=4),
        fused(stride=16),
        fused(query="rgb"),
        fused(heads=4),
        fused(residual=False),
        DualEncoderConfig(decoder=DecoderConfig(layout="esanet")),
        DualEncoderConfig(decoder=DecoderConfig(layout="flat")),
        DualEncoderConfig(depth=DepthAnythingV2Config(shifted=True)),
        DualEncoderConfig(depth=DepthAnythingV2Config(source="image")),
        DualEncoderConfig(enlarging="nearest"),
        DualEncoderConfig(depth=DepthAnythingV2Config(pretrained="random")),
        DualEncoderConfig(rgb=Sam2Config(pretrained="random")),
        DualEncoderConfig(rgb=Sam2Config(standardise=False)),
        DualEncoderConfig(image_size=96),
    ],
    ids=lambda config: str({k: v for k, v in flat(config).items() if v != DEFAULTS[k]}),
)
def test_every_setting_changes_the_model(config: DualEncoderConfig) -> None:
    base, other = built(), built(config)
    # Shared parameters are made equal, so that only the setting can make the difference.
    same = {k: v for k, v in base.state_dict().items() if shapes(other).get(k) == v.shape}
    if config.rgb.pretrained == config.depth.pretrained == "packaged":
        other.load_state_dict(same, strict=False)
    with torch.no_grad():
        one, two = (system(batch(), (64, 64)).logits_BKhw for system in (base, other))
    assert not torch.allclose(one, two, atol=1e-3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mode": "sum", "heads": 4}, "heads has no effect with mode='sum'"),
        ({"mode": "concatenation", "query": "rgb"}, "query has no effect"),
        ({"mode": "sum", "residual": False}, "leave it at True"),
        ({"mode": "rgb_only", "stride": 16}, "stride has no effect with mode='rgb_only'"),
        ({"mode": "rgb_only", "train_depth_projection": False}, "train_depth_projection has no"),
        ({"heads": 5}, "choose one of 1, 2, 4, 8, 16, 32, 64"),
        ({"mode": "add"}, "cross_attention"),
        ({"stride": 32}, "16"),
        ({"heads": 0}, "greater than or equal to 1"),
    ],
)
def test_settings_without_effect_or_meaning_are_refused(
    fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fused(**fields)


def test_image_size_must_fit_the_windows() -> None:
    with pytest.raises(ValueError, match="multiple of 32"):
        DualEncoderConfig(image_size=100)


def test_layouts_that_add_features_as_they_are_need_their_width() -> None:
    with pytest.raises(ValueError, match="set decoder.width to theirs, 64"):
        DualEncoderConfig(decoder=DecoderConfig(layout="flat", width=32))


@pytest.mark.parametrize(
    ("layout", "sides"),
    [("pyramid", [8, 16, 32]), ("esanet", [8, 8, 16]), ("flat", [8, 8, 8])],
)
@pytest.mark.parametrize("fusion", [{"stride": 16}, {"stride": 4}, {"mode": "rgb_only"}])
def test_where_the_decoder_refines(layout: Any, sides: list[int], fusion: dict[str, Any]) -> None:
    system = built(
        DualEncoderConfig(decoder=DecoderConfig(layout=layout), fusion=FusionConfig(**fusion))
    )
    seen: list[int] = []
    for stride in ("16", "8", "4"):
        level = system.get_submodule(f"decoder.refine.{stride}")
        level.register_forward_hook(lambda module, inputs, out: seen.append(out.shape[-1]))
    prediction = system(batch(), (128, 128))
    assert seen == sides
    assert prediction.extras["native"].shape == (2, 4, 32, 32)
    assert prediction.logits_BKhw.shape == (2, 4, 128, 128)


def test_the_code_adds_the_finest_features_first() -> None:
    """SRFT-GaLore's forward pass, written out: `outs = [fused, fpn[0], fpn[1], fpn[2]]`, each of
    which the decoder's next module takes, all at the size of the fused features."""
    config = DualEncoderConfig(
        decoder=DecoderConfig(layout="flat"), fusion=FusionConfig(stride=16, residual=False)
    )
    system, data = built(config).eval(), batch()
    decoder = system.get_submodule("decoder")
    with torch.no_grad():
        features, positions = system.rgb(data.image_B3HW)
        assert data.depth_B1HW is not None
        assert system.depth is not None
        assert system.fusion is not None
        depth = system.depth(data.depth_B1HW.expand(-1, 3, -1, -1))
        x = system.fusion(features[16], depth, positions[16])
        for refine, skip in (("4", features[4]), ("8", features[8]), ("16", features[16])):
            x = decoder.get_submodule(f"refine.{refine}")(x)
            x = x + nn.functional.interpolate(skip, x.shape[-2:], mode="bilinear")
        x = decoder.get_submodule("out")(x)
        for _ in range(2):
            x = nn.functional.interpolate(x, scale_factor=2, mode="bilinear")
        found = system(data, (128, 128)).extras["native"]
    torch.testing.assert_close(found, x, rtol=0, atol=1e-5)


def test_depth_anything_sees_what_its_own_processor_makes_of_an_image() -> None:
    """As the published code calls it: images in [0, 1], which it does not rescale."""
    processor = DPTImageProcessor(
        do_rescale=False,
        size={"height": 518, "width": 518},
        keep_aspect_ratio=True,
        ensure_multiple_of=14,
        resample=3,
        do_normalize=True,
        image_mean=list(IMAGENET_MEAN),
        image_std=list(IMAGENET_STD),
    )
    image = torch.rand(1, 3, 1024, 1024, generator=torch.Generator().manual_seed(0))
    expected = processor(images=image, return_tensors="pt")["pixel_values"]
    ours = standardise(resize(image, (518, 518), "bicubic"))
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-4)
    assert (standardise(resize(image, (518, 518))) - expected).abs().max() > 0.1
    encoder = DepthAnythingV2Config(resampling="bicubic").build()
    plain = DepthAnythingV2Config().build()
    with torch.no_grad():
        assert not torch.equal(encoder(image), plain(image))


def test_shifted_features_are_one_place_late() -> None:
    plain, shifted = (DepthAnythingV2Config(shifted=s).build() for s in (False, True))
    with torch.no_grad():
        one, two = (e(batch().image_B3HW).flatten(2) for e in (plain, shifted))
    assert torch.equal(two[..., 1:], one[..., :-1])
    assert not torch.equal(two[..., 0], one[..., 0])


@pytest.mark.parametrize("name", ["full", "lora"])
def test_the_untrained_projection_is_one_for_all_seeds_and_stays(name: str) -> None:
    config = fused(train_depth_projection=False)
    system, reference = built(config), built()
    before = system.get_parameter("fusion.depth_in.0.weight").clone()
    assert not torch.equal(before, reference.get_parameter("fusion.depth_in.0.weight"))
    torch.manual_seed(7)
    other = config.build(CLASSES)
    assert torch.equal(before, other.get_parameter("fusion.depth_in.0.weight"))
    rest = {n: p for n, p in system.named_parameters() if "depth_in" not in n}
    assert all(torch.equal(p, reference.get_parameter(n)) for n, p in rest.items())
    method = Method.named(name)
    method.adapt(system)
    optimizer = method.optimizer(system, OptimConfig())
    data = batch()
    system.loss(system(data, (128, 128)), data, FINISHED).backward()
    optimizer.step()
    assert torch.equal(before, system.get_parameter("fusion.depth_in.0.weight"))
    head = "decoder.out.weight"
    assert not torch.equal(system.get_parameter(head), reference.get_parameter(head))


def test_configuration_survives_json_and_marks_places() -> None:
    config = fused(query="rgb", heads=4)
    assert from_json(SystemConfig, to_json(config)) == config
    for part in (Sam2Config, DepthAnythingV2Config):
        places = [f.name for f in dataclasses.fields(part) if f.metadata.get("location") is True]
        assert places == ["checkpoint"]


def test_missing_depth_maps_say_what_to_do() -> None:
    without = replace(batch(), depth_B1HW=None)
    with pytest.raises(ValueError, match="depth.source='image'"):
        built()(without, 64)
    built(DualEncoderConfig(depth=DepthAnythingV2Config(source="image")))(without, 64)


def test_rgb_only_neither_builds_nor_runs_the_depth_encoder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the depth encoder was touched")

    monkeypatch.setattr(DepthEncoder, "__init__", refuse)
    system = built(fused(mode="rgb_only"))
    system(replace(batch(), depth_B1HW=None), 64)
    assert list(system.pretrained()) == ["rgb"]
    assert not any("depth" in name for name in shapes(system))


def test_sam2_and_decoder_start_alike_with_and_without_depth() -> None:
    one, two = built().state_dict(), built(fused(mode="rgb_only")).state_dict()
    assert all(torch.equal(one[name], x) for name, x in two.items())


def test_adaptable_projections() -> None:
    system = built()
    attention, both = system.adaptable("attention"), system.adaptable("attention+mlp")
    assert len(attention) == 14
    assert len(both) == 28
    assert "rgb.image_encoder.trunk.blocks.6.attn.qkv" in attention
    assert "rgb.image_encoder.trunk.blocks.0.mlp.layers.1" in both
    for name, module in both.items():
        assert system.get_submodule(name) is module
    assert not any(name.endswith(f"blocks.{i}.proj") for name in both for i in range(7))


def test_hiera_large_has_the_matrices_that_the_paper_adapts() -> None:
    trunk = build_hiera("hiera_large").get_submodule("trunk")
    weights = [
        module.weight.numel()
        for name, module in trunk.named_modules()
        if isinstance(module, nn.Linear) and ".attn." in name
    ]
    assert len(weights) == 96
    assert sum(weights) / 1e6 == pytest.approx(68.55, abs=0.01)


def test_paper_system_is_complete_without_weights_only_by_name() -> None:
    assert paper_system(pretrained="random").depth.width == 384
    with pytest.raises(ValueError, match="needs checkpoint="):
        paper_system()


def test_loss_is_a_mean_over_samples() -> None:
    system = built().double()
    four = batch(4)
    four = replace(four, image_B3HW=four.image_B3HW.double(), depth_B1HW=_double(four.depth_B1HW))
    with torch.no_grad():
        whole = system.loss(system(four, (128, 128)), four, FINISHED)
        parts = [system.loss(system(one, (128, 128)), one, FINISHED) for one in split(four)]
    torch.testing.assert_close(whole, torch.stack(parts).mean(), rtol=1e-5, atol=0)


def _double(x: Tensor | None) -> Tensor:
    assert x is not None
    return x.double()


def split(batch: Batch) -> list[Batch]:
    return [
        Batch(
            image_B3HW=batch.image_B3HW[i : i + 1],
            target_BKHW=batch.target_BKHW[i : i + 1],
            sample_ids=(name,),
            patient_ids=(name,),
            depth_B1HW=_double(batch.depth_B1HW)[i : i + 1],
        )
        for i, name in enumerate(batch.sample_ids)
    ]


def test_gradients_reach_what_moves_and_nothing_else() -> None:
    system = built()
    for encoder in system.pretrained().values():
        encoder.requires_grad_(False)
    qkv = system.get_submodule("rgb.image_encoder.trunk.blocks.0.attn.qkv")
    weight = qkv.get_parameter("weight").requires_grad_(True)
    data = batch()
    system.loss(system(data, (128, 128)), data, FINISHED).backward()
    assert weight.grad is not None
    assert weight.grad.abs().max() > 0
    moved = {name for name, p in system.named_parameters() if p.grad is not None}
    trained = {name for name, p in system.named_parameters() if p.requires_grad}
    assert moved == trained


def test_frozen_encoders_record_no_graph() -> None:
    system = built()
    assert system.depth is not None
    assert system.depth(batch().image_B3HW).requires_grad
    system.depth.requires_grad_(False)
    assert not system.depth(batch().image_B3HW).requires_grad


def test_same_in_training_and_evaluation_and_on_repetition() -> None:
    system = built()
    with torch.no_grad():
        first = system.train()(batch(), 64).logits_BKhw
        assert torch.equal(first, system.eval()(batch(), 64).logits_BKhw)
    assert torch.equal(first, built()(batch(), 64).logits_BKhw)


def test_half_precision_forward_and_backward() -> None:
    system, data = built(), batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = system.loss(system(data, (128, 128)), data, FINISHED)
    loss.backward()
    with torch.no_grad():
        exact = system.loss(system(data, (128, 128)), data, FINISHED)
    torch.testing.assert_close(loss, exact, rtol=0.05, atol=0)


def test_weights_hash_depends_on_the_weights_alone() -> None:
    packaged = built().weights_hash()
    assert packaged == built(fused(mode="sum")).weights_hash()
    torch.manual_seed(7)
    assert packaged == DualEncoderConfig().build(ORGANS).weights_hash()
    random = DualEncoderConfig(rgb=Sam2Config(pretrained="random"))
    assert packaged != built(random).weights_hash() == built(random).weights_hash()
