"""I-MedSAM: counts of its published code, and what must hold of every reading of it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from segcore.batch import FINISHED, Batch, Prediction, Progress, Prompts
from segcore.classes import ClassSpec
from segcore.methods.method import Method, head_parameters
from segcore.systems.boxes import NOWHERE
from segcore.systems.imedsam import drawing
from segcore.systems.imedsam.coordinates import CoordinateConfig, grid
from segcore.systems.imedsam.field import FieldConfig
from segcore.systems.imedsam.frequency import FrequencyConfig, spectrum
from segcore.systems.imedsam.network import IMedSam, IMedSamConfig
from segcore.systems.imedsam.uncertainty import SamplingConfig, estimate, generator_of
from segcore.systems.rgb_encoders.sam_model import SamWeights
from segcore.testing import check_system

POLYP = ClassSpec(("polyp",), exclusive=False)
ORGANS = ClassSpec(("background", "liver", "spleen"), exclusive=True)
HALFWAY = Progress(step=5, total=10, epoch=3, epochs=5)
TINY = IMedSamConfig(image_size=64, sam=SamWeights(pretrained="random"))
AS_CODED = IMedSamConfig(
    image_size=384,
    sam=SamWeights(size="vit_b", pretrained="random"),
    standardise=False,
    frequency=FrequencyConfig(scale="linear", source="red"),
    image_code=True,
    coordinates=CoordinateConfig(
        frequencies="spread", include_input=True, plane=True, warmup_epochs=20
    ),
    field=FieldConfig(coarse=(1024, 512), handed_on=256, fine=(256, 256, 128), norm="batch"),
    sampling=SamplingConfig(estimator="as_coded", passes=2, at_evaluation=False),
    training_stride=1,
    tuned_prompts="all",
    progressive_epochs=5,
)


def build(config: IMedSamConfig = TINY, classes: ClassSpec = POLYP) -> IMedSam:
    torch.manual_seed(0)
    return config.build(classes)


def changed(**fields: Any) -> IMedSamConfig:
    return dataclasses.replace(TINY, **fields)


def batch_of(count: int, classes: ClassSpec = POLYP, *, boxes: int = 1, side: int = 64) -> Batch:
    rng = torch.Generator().manual_seed(3)
    corners = torch.tensor([0.2, 0.3, 0.8, 0.9]).expand(count, boxes, 4)
    shift = 0.05 * torch.rand(count, boxes, 1, generator=rng)
    labels = torch.randint(len(classes.names), (count, side, side), generator=rng)
    return Batch(
        image_B3HW=torch.rand(count, 3, side, side, generator=rng),
        target_BKHW=torch.nn.functional.one_hot(labels, len(classes.names))
        .permute(0, 3, 1, 2)
        .float(),
        sample_ids=tuple(f"s{i}" for i in range(count)),
        patient_ids=tuple(f"p{i}" for i in range(count)),
        prompts=Prompts(corners + shift, torch.ones(count, boxes, dtype=torch.bool)),
    )


# ------------------------------------------------------------------ counts


@pytest.mark.parametrize(
    ("classes", "field", "total"), [(1, 1_275_906, 1_595_742), (13, 3_257_370, 3_577_206)]
)
def test_the_published_code_trains_as_many(classes: int, field: int, total: int) -> None:
    names = ("polyp",) if classes == 1 else ("background", *(f"organ {i}" for i in range(classes)))
    system = build(AS_CODED, ClassSpec(names, exclusive=classes > 1))
    Method.named("lora_qv", rank=4, alpha=4, gate=True).adapt(system)
    counts: dict[str, int] = {}
    for name, parameter in system.named_parameters():
        if parameter.requires_grad:
            part = _part(name)
            counts[part] = counts.get(part, 0) + parameter.numel()
    assert counts == {
        "LoRA": 147_456,
        "gates": 9_216,
        "frequency adapters": 82_992,
        "prompt encoder": 6_220,
        "upscaling": 73_952,
        "field": field,
    }
    assert sum(counts.values()) == total


def _part(name: str) -> str:
    words = {
        ".gate.": "gates",
        "sam.vision_encoder": "LoRA",
        "adapters.": "frequency adapters",
        "sam.prompt_encoder": "prompt encoder",
        "sam.mask_decoder.upscale": "upscaling",
        "field.": "field",
    }
    return next(part for word, part in words.items() if word in name)


def test_the_papers_own_field_is_counted_apart() -> None:
    """[1024, 512] and [512, 256, 256, 128], no norm, no third coordinate, the encoder's features:
    none of it adds up to the paper's 1.6 million."""
    config = dataclasses.replace(
        AS_CODED,
        features="encoder",
        image_code=False,
        coordinates=CoordinateConfig(),
        field=FieldConfig(
            coarse=(1024, 512), handed_on=256, fine=(512, 256, 256, 128), norm="none"
        ),
    )
    field = build(config).field
    assert field is not None
    inputs = 256 + 2 * 256 + 40
    coarse = inputs * 1024 + 1024 + 1024 * 512 + 512 + 512 * 257 + 257
    fine = (inputs + 256) * 512 + 512 + 512 * 256 + 256 + 256 * 256 + 256 + 256 * 128 + 128 + 129
    assert sum(p.numel() for p in field.parameters()) == coarse + fine == 2_260_482


# ------------------------------------------------------------------ contract


VARIANTS: Mapping[str, IMedSamConfig] = {
    "field": TINY,
    "sampled": changed(sampling=SamplingConfig(estimator="sampled", passes=2)),
    "paper's features": changed(features="encoder", frequency=FrequencyConfig(map="phase")),
    "no frequency": changed(frequency=FrequencyConfig(map="none"), image_code=True),
    "coarse alone": changed(sampling=SamplingConfig(ratio=0.0), field=FieldConfig(norm="none")),
    "every point": changed(sampling=SamplingConfig(ratio=1.0)),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_contract(variant: str) -> None:
    check_system(VARIANTS[variant])


def test_contract_of_the_mask_head() -> None:
    check_system(changed(decoder="masks"), [POLYP])


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_batch_is_its_samples(variant: str) -> None:
    """In the gradient too, as the paper trains; the code's points compete over a whole batch."""
    system, batch = build(VARIANTS[variant]), batch_of(3)
    whole = gradient(system, batch)
    parts = [gradient(system, batch.take([i])) for i in range(3)]
    for name, expected in whole.items():
        mean = torch.stack([part[name] for part in parts]).mean(0)
        assert torch.allclose(expected, mean, atol=1e-5), name


def gradient(system: IMedSam, batch: Batch) -> dict[str, Tensor]:
    system.train()
    system.zero_grad()
    prediction = system(batch, (64, 64), HALFWAY)
    system.loss(prediction, batch, HALFWAY).backward()
    return {
        n: p.grad.clone() for n, p in system.named_parameters() if p.grad is not None
    }  # of adapters, field, codes of boxes and upscaling, and of SAM where it moves


@pytest.mark.parametrize("estimator", ["closed_form", "sampled", "as_coded"])
def test_evaluation_is_the_same_bits_again(estimator: Any) -> None:
    passes = 8 if estimator == "closed_form" else 2
    sampling = SamplingConfig(estimator=estimator, passes=passes)
    system = build(changed(sampling=sampling)).eval()
    batch = batch_of(3)
    with torch.inference_mode():
        first, again = system(batch, (48, 80)), system(batch, (48, 80))
        alone = system(batch.take([2]), (48, 80))
    assert torch.equal(first.logits_BKhw, again.logits_BKhw)
    assert torch.equal(first.maps["uncertainty"], again.maps["uncertainty"])
    assert torch.allclose(alone.logits_BKhw[0], first.logits_BKhw[2], atol=1e-5)


def test_rows_come_in_chunks_that_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    system, batch = build().eval(), batch_of(1)
    with torch.inference_mode():
        whole = system(batch, (100, 90))
        monkeypatch.setattr(drawing, "CHUNK", 777)
        chunked = system(batch, (100, 90))
    assert torch.allclose(whole.logits_BKhw, chunked.logits_BKhw, atol=1e-5)


def test_the_field_is_asked_at_the_size_that_is_wanted() -> None:
    """Not enlarged: at twice the size the middles of pixels are other points."""
    system, batch = build().eval(), batch_of(1)
    with torch.inference_mode():
        small, large = (system(batch, (s, s)).logits_BKhw for s in (32, 96))
        enlarged = torch.nn.functional.interpolate(small, (96, 96), mode="bilinear")
        middles = system(batch, (96, 96)).logits_BKhw[..., 1::3, 1::3]  # the same points as of 32
    assert not torch.allclose(large, enlarged, atol=1e-3)
    coarse = build(changed(sampling=SamplingConfig(ratio=0.0))).eval()
    with torch.inference_mode():
        small = coarse(batch, (32, 32)).logits_BKhw
        middles = coarse(batch, (96, 96)).logits_BKhw[..., 1::3, 1::3]
    assert torch.allclose(small, middles, atol=1e-4)


# ------------------------------------------------------------------ boxes and classes


def test_boxes_matter_and_an_absent_object_is_nowhere() -> None:
    system, batch = build(classes=ORGANS).eval(), batch_of(2, ORGANS, boxes=2)
    assert batch.prompts is not None
    present = torch.tensor([[True, False], [True, True]])
    one = dataclasses.replace(batch, prompts=Prompts(batch.prompts.boxes_BN4, present))
    elsewhere = Prompts(batch.prompts.boxes_BN4 * 0.5, present)
    with torch.inference_mode():
        found = system(one, (32, 32)).logits_BKhw
        moved = system(dataclasses.replace(one, prompts=elsewhere), (32, 32)).logits_BKhw
    assert (found[0, 2] == NOWHERE).all()
    assert (found[1, 2] != NOWHERE).all()
    assert (found[:, 0] == 0).all(), "the background's"
    assert not torch.allclose(found[:, 1], moved[:, 1], atol=1e-4)


def test_without_boxes_the_whole_image_is_the_box() -> None:
    system, batch = build().eval(), batch_of(1)
    whole = Prompts(torch.tensor([[[0.0, 0, 1, 1]]]), torch.ones(1, 1, dtype=torch.bool))
    with torch.inference_mode():
        none = system(dataclasses.replace(batch, prompts=None), (32, 32)).logits_BKhw
        told = system(dataclasses.replace(batch, prompts=whole), (32, 32)).logits_BKhw
    assert torch.equal(none, told)


def test_the_mask_head_needs_a_box_for_each_class() -> None:
    system = build(changed(decoder="masks"), ORGANS)
    with pytest.raises(ValueError, match="set prompts.per='class'"):
        system(batch_of(1, ORGANS), (32, 32))
    assert system(batch_of(1, ORGANS, boxes=2), (40, 30)).logits_BKhw.shape == (1, 3, 40, 30)


# ------------------------------------------------------------------ pieces


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_the_spectrum_is_numpys(scale: Any) -> None:
    image = torch.rand(2, 3, 24, 36)
    found = spectrum(image, FrequencyConfig(scale=scale, source="red"))
    waves = np.abs(np.fft.fftshift(np.fft.fft2(255 * image[:, 0].numpy()), axes=(1, 2)))
    waves = np.log1p(waves) if scale == "log" else waves
    low, high = waves.min((1, 2), keepdims=True), waves.max((1, 2), keepdims=True)
    assert found.shape == (2, 3, 24, 36)
    for channel in range(3):
        np.testing.assert_allclose(found[:, channel], (waves - low) / (high - low), atol=1e-5)


def test_the_linear_amplitudes_of_two_images_are_nearly_alike() -> None:
    """Why `log` is the default."""
    one, other = torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64)
    apart = {}
    for scale in ("linear", "log"):
        config = FrequencyConfig(scale=scale)
        apart[scale] = float((spectrum(one, config) - spectrum(other, config)).abs().mean())
    assert apart["log"] > 10 * apart["linear"]


def test_coordinates_are_encoded_as_the_code_has_them() -> None:
    coded = CoordinateConfig(frequencies="spread", include_input=True, plane=True)
    points = torch.tensor([[0.25, -0.5]])
    found = coded.encode(points)
    assert found.shape == (1, 63)
    inputs = torch.tensor([-1, 0.25, -0.5])
    assert torch.allclose(found[0, :3], inputs)
    for k, frequency in enumerate(2 ** np.linspace(0, 10, 10)):
        both = (2 * np.pi * frequency * inputs.double()).float()
        assert torch.allclose(found[0, 3 + 6 * k : 6 + 6 * k], both.sin(), atol=2e-3)
        assert torch.allclose(found[0, 6 + 6 * k : 9 + 6 * k], both.cos(), atol=2e-3)
    assert CoordinateConfig().width == 40


def test_coordinates_warm_up_from_the_lowest() -> None:
    config = CoordinateConfig(
        frequencies="spread", include_input=True, plane=True, warmup_epochs=20
    )
    at = [config.told(Progress(step=1, total=99, epoch=e, epochs=40)) for e in (1, 10, 20, 40)]
    assert at == [6, 34, 63, 63]
    assert config.told(FINISHED) == 63


def test_the_grid_is_of_middles() -> None:
    assert grid((1, 2), torch.device("cpu")).tolist() == [[0, -0.5], [0, 0.5]]


def test_the_closed_form_is_what_many_draws_tend_to() -> None:
    torch.manual_seed(0)
    hidden = torch.rand(400, 256) * torch.rand(400, 1)
    head = torch.nn.Linear(256, 1)
    closed = estimate(hidden, head, SamplingConfig(), generator_of("a", 0, hidden.device))
    many = SamplingConfig(estimator="sampled", passes=2000)
    drawn = estimate(hidden, head, many, generator_of("a", 0, hidden.device))
    assert np.corrcoef(closed.detach(), drawn.detach())[0, 1] > 0.98
    assert torch.allclose(closed, drawn, rtol=0.15, atol=1e-4)


def test_as_coded_it_is_large_where_outputs_are_and_not_where_they_are_unsure() -> None:
    head = torch.nn.Linear(4, 1)
    torch.nn.init.ones_(head.weight)
    torch.nn.init.zeros_(head.bias)
    hidden = torch.tensor([[0.0, 0, 0, 0], [5, 5, 5, 5]])
    coded = SamplingConfig(estimator="as_coded", passes=200)
    unsure, sure = estimate(hidden, head, coded, generator_of("a", 0, hidden.device)).tolist()
    assert unsure == 0 < sure
    closed = SamplingConfig()
    flat = torch.tensor([[1.0, -1, 1, -1], [5, 5, 5, 5]])
    unsure, sure = estimate(flat, head, closed, generator_of("a", 0, hidden.device)).tolist()
    assert unsure > 100 * sure


def test_the_code_refines_an_arbitrary_band_at_evaluation() -> None:
    """Nothing is unsure, and the first points are taken."""
    sampling = SamplingConfig(estimator="as_coded", passes=2, at_evaluation=False)
    system = build(changed(sampling=sampling)).eval()
    with torch.inference_mode():
        found = system(batch_of(1), (64, 64))
    assert (found.maps["uncertainty"] == 0).all()


def test_the_loss_goes_over_from_coarse_to_fine() -> None:
    system, batch = build(changed(progressive_epochs=5)), batch_of(2)
    system.train()
    prediction = system(batch, (64, 64), HALFWAY)
    coarse = torch.nn.functional.interpolate(
        prediction.extras["coarse"], (64, 64), mode="bilinear", align_corners=False
    )
    fine = Prediction(prediction.logits_BKhw)
    ends = [system.loss(Prediction(coarse), batch, HALFWAY), system.loss(fine, batch, HALFWAY)]
    at = {e: Progress(step=e, total=9, epoch=e, epochs=9) for e in (1, 5, 8)}
    found = [system.loss(prediction, batch, progress) for progress in at.values()]
    assert torch.allclose(found[0], 0.8 * ends[0] + 0.2 * ends[1])
    assert torch.allclose(found[1], ends[1])
    assert torch.allclose(found[2], ends[1])


def test_every_part_gets_a_gradient_and_changes_what_is_predicted() -> None:
    system, batch = build(), batch_of(2)
    Method.named("lora_qv", rank=2).adapt(system)
    before = system.eval()(batch, (32, 32)).logits_BKhw
    optimizer = torch.optim.SGD([p for p in system.parameters() if p.requires_grad], lr=0.1)
    gradient(system, batch)
    silent = [
        n
        for n, p in system.named_parameters()
        if p.requires_grad and p.grad is not None and not p.grad.any()
    ]
    assert all(name.endswith(("_A_RI",)) for name in silent), silent  # B is zero in the first step
    assert all(p.grad is not None for p in head_parameters(system) if p.requires_grad)
    optimizer.step()
    assert not torch.allclose(before, system.eval()(batch, (32, 32)).logits_BKhw, atol=1e-4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"frequency": {"map": "phase", "scale": "linear"}},
            "scale has no effect with map='phase'",
        ),
        ({"sampling": {"passes": 3}}, "passes has no effect with estimator='closed_form'"),
        ({"sampling": {"at_evaluation": False}}, "at_evaluation has no effect"),
        ({"field": {"coarse": ()}}, "coarse and fine need a hidden layer each"),
        ({"image_size": 72, "sam": {"size": "vit_b", "pretrained": "random"}}, "multiple of 16"),
    ],
)
def test_what_has_no_effect_is_refused(fields: dict[str, Any], message: str) -> None:
    kinds = {
        "frequency": FrequencyConfig,
        "sampling": SamplingConfig,
        "field": FieldConfig,
        "sam": SamWeights,
    }
    with pytest.raises(ValueError, match=message):
        changed(**{n: kinds[n](**v) if n in kinds else v for n, v in fields.items()})


def test_masks_that_do_not_fit_the_memory_are_refused() -> None:
    system = build(IMedSamConfig(image_size=64)).eval()
    with (
        torch.inference_mode(),
        pytest.raises(ValueError, match="2000000 x 2000000 do not fit") as e,
    ):
        system(batch_of(1), (2_000_000, 2_000_000))
    assert "65536 points at a time" in str(e.value)
