"""Test-time augmentation: what a view is, and that averaging changes only what it should."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from segcore.batch import Batch, Prediction, Prompts, Size
from segcore.classes import ClassSpec
from segcore.config import TrainConfig, from_json, to_json
from segcore.data.prompts import PromptConfig
from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.data.sets.synthetic_polyps import SyntheticPolyps
from segcore.methods.method import Method
from segcore.predict import Predictor
from segcore.presets import nano
from segcore.systems import SYSTEMS
from segcore.systems.system import SystemConfig
from segcore.testing import noise
from segcore.train import train
from segcore.training.evaluation import EvaluationConfig
from segcore.training.inference import infer
from segcore.training.loop import Training
from segcore.training.predicting import PredictedSample, Target, predict
from segcore.training.restore import restore
from segcore.training.runtime import Runtime
from segcore.training.schedule import Schedule
from segcore.training.tta import Flip, TtaConfig, averaged, flipped, window_starts
from segtune.execution.duplicate_arms import find_duplicate_arms
from segtune.study.overrides import config_hash
from segtune.study.spec import Ablation

INPUT = (32, 32)
BINARY = ClassSpec(("object",), exclusive=False)
LANDMARKS = ClassSpec(("background", "ridge", "line"), exclusive=True)
FLIPS: tuple[Flip, ...] = ("horizontal", "vertical", "both")
WEFT = TtaConfig(scales=(0.5, 1.0, 1.5), flips=("horizontal",), overlap=0.168)


def smooth(size: Size, *, waves: float = 1.0) -> Tensor:
    """A picture (1, 3, H, W) that is the same whatever the pixels: a function of the place."""
    y, x = torch.meshgrid(*((torch.arange(side) + 0.5) / side for side in size), indexing="ij")
    channels = [torch.sin(waves * 3 * x + 1), torch.cos(waves * 2 * y), x * y]
    return torch.stack(channels)[None].float() * 0.4 + 0.5


def seen_at(size: Size) -> Batch:
    """One sample with everything, read at a size."""
    boxes = torch.tensor([[[0.1, 0.2, 0.5, 0.9], [0.0, 0.0, 0.0, 0.0]]])
    return dataclasses.replace(
        noise(1, (4, 4), BINARY),
        image_B3HW=smooth(size),
        depth_B1HW=smooth(size)[:, :1],
        prompts=Prompts(boxes, torch.tensor([[True, False]])),
        image_hashes=("i",),
        depth_hashes=("d",),
    )


def pointwise(classes: ClassSpec) -> Callable[[Batch, Size], Prediction]:
    """A network that looks at each point alone: it moves with whatever the image does."""

    def see(batch: Batch, size: Size) -> Prediction:
        assert tuple(batch.image_B3HW.shape[-2:]) == INPUT, "it sees its own size alone"
        image = torch.nn.functional.interpolate(batch.image_B3HW, size, mode="bilinear")
        logits = 8 * (image[:, : len(classes.names)] - 0.5)
        return Prediction(logits, maps={"uncertainty": image[:, 2:]})

    return see


def place(batch: Batch, size: Size) -> Prediction:
    """A network that says where in its own picture a pixel is, whatever it sees there."""
    ramp = torch.linspace(-2, 2, size[1]).expand(len(batch), 1, *size)
    return Prediction(ramp.clone())


def average(
    see: Callable[[Batch, Size], Prediction],
    tta: TtaConfig,
    size: Size = INPUT,
    classes: ClassSpec = BINARY,
) -> Prediction:
    return averaged(see, seen_at, size, input_size=INPUT, classes=classes, tta=tta)


@pytest.mark.parametrize("classes", [BINARY, LANDMARKS])
@pytest.mark.parametrize("flip", FLIPS)
def test_a_flip_of_a_network_that_turns_with_its_image_changes_nothing(
    flip: Flip, classes: ClassSpec
) -> None:
    plain = pointwise(classes)(seen_at(INPUT), INPUT)
    found = average(pointwise(classes), TtaConfig(flips=(flip,)), classes=classes)
    own, mean = (classes.probabilities(p.logits_BKhw) for p in (plain, found))
    assert torch.allclose(own, mean, atol=1e-6)
    assert (classes.labels(plain.logits_BKhw) == classes.labels(found.logits_BKhw)).all()
    assert torch.allclose(plain.maps["uncertainty"], found.maps["uncertainty"], atol=1e-6)


def test_a_flip_of_one_that_does_not_is_the_mean_of_both() -> None:
    ramp = place(seen_at(INPUT), INPUT).logits_BKhw.sigmoid()
    found = average(place, TtaConfig(flips=("horizontal",))).logits_BKhw.sigmoid()
    assert torch.allclose(found, (ramp + ramp.flip(-1)) / 2, atol=1e-6)
    upside_down = average(place, TtaConfig(flips=("vertical",))).logits_BKhw.sigmoid()
    assert torch.allclose(upside_down, ramp, atol=1e-6)


@pytest.mark.parametrize("size", [INPUT, (20, 50), (96, 96)])
@pytest.mark.parametrize("scale", [0.5, 0.6, 0.75, 1.0, 1.3, 2.0, 3.0])
def test_scales_and_windows_find_each_place_again(scale: float, size: Size) -> None:
    """Of a smooth picture a network that looks at points says the same at every scale."""
    exact = (8 * (smooth(size)[:, :1] - 0.5)).sigmoid()
    for overlap in (0.0, 0.5):
        fields: dict[str, Any] = {"overlap": overlap} if scale > 1 else {}
        tta = TtaConfig(scales=(scale,), flips=("both",), **fields)
        found = average(pointwise(BINARY), tta, size).logits_BKhw.sigmoid()
        assert found.shape[-2:] == size
        # Bilinear enlarging of 16 to 32 pixels is about a hundredth off, and more at the border.
        assert (found - exact).abs().mean() < 0.006
        assert (found - exact)[..., 2:-2, 2:-2].abs().max() < 0.04


def test_windows_see_what_a_smaller_picture_does_not() -> None:
    """At scale 2 the image is read at twice the size, and seen through windows of the input's."""
    sizes, seen = [], []

    def read(size: Size) -> Batch:
        sizes.append(size)
        return seen_at(size)

    def see(batch: Batch, size: Size) -> Prediction:
        seen.append(batch)
        return pointwise(BINARY)(batch, size)

    tta = TtaConfig(scales=(2.0,), overlap=0.25)
    averaged(see, read, INPUT, input_size=INPUT, classes=BINARY, tta=tta)
    assert sizes == [(64, 64)]
    assert len(seen) == 9
    whole = smooth((64, 64))
    assert torch.equal(seen[0].image_B3HW, whole[..., :32, :32])
    assert torch.equal(seen[4].image_B3HW, whole[..., 16:48, 16:48])
    depth = seen[8].depth_B1HW
    assert depth is not None
    assert torch.equal(depth, whole[:, :1, 32:, 32:])
    assert all(b.image_hashes is None and b.depth_hashes is None for b in seen)


@given(st.integers(1, 200), st.integers(0, 400), st.floats(0, 0.9))
def test_windows_cover_all_and_overlap_enough(window: int, more: int, overlap: float) -> None:
    starts = window_starts(window + more, window, overlap)
    assert starts[0] == 0
    assert starts[-1] == more
    assert starts == sorted(set(starts))
    steps = np.diff(starts)
    assert (steps <= max(1, window * (1 - overlap)) + 1).all()


@pytest.mark.parametrize("flip", FLIPS)
def test_boxes_and_depth_move_with_the_image(flip: Flip) -> None:
    batch = seen_at(INPUT)
    turned = flipped(batch, flip)
    assert turned.prompts is not None
    assert turned.depth_B1HW is not None
    expected = {
        "horizontal": [0.5, 0.2, 0.9, 0.9],
        "vertical": [0.1, 0.1, 0.5, 0.8],
        "both": [0.5, 0.1, 0.9, 0.8],
    }
    assert turned.prompts.boxes_BN4[0, 0].tolist() == pytest.approx(expected[flip])
    assert turned.prompts.boxes_BN4[0, 1].tolist() == [0, 0, 0, 0]
    assert turned.prompts.present_BN.tolist() == [[True, False]]
    assert torch.equal(turned.depth_B1HW, turned.image_B3HW[:, :1])
    again = flipped(turned, flip)
    assert torch.equal(again.image_B3HW, batch.image_B3HW)


def test_a_window_sees_the_part_of_a_box_that_is_in_it() -> None:
    told: list[Prompts] = []

    def see(batch: Batch, size: Size) -> Prediction:
        assert batch.prompts is not None
        told.append(batch.prompts)
        return pointwise(BINARY)(batch, size)

    average(see, TtaConfig(scales=(2.0,), overlap=0.0))
    boxes = [p.boxes_BN4[0, 0].tolist() for p in told]
    assert boxes[0] == pytest.approx([0.2, 0.4, 1, 1])
    assert boxes[2] == pytest.approx([0.2, 0, 1, 0.8])
    assert [p.present_BN[0, 0].item() for p in told] == [True, False, True, False]
    told.clear()
    average(see, TtaConfig(scales=(0.5,)))  # in the middle of the network's input
    assert told[0].boxes_BN4[0, 0].tolist() == pytest.approx([0.3, 0.35, 0.5, 0.7])


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"scales": ()}, "give at least one"),
        ({"scales": (1.0, 1.0)}, "each must stand once"),
        ({"flips": ("both", "both")}, "each must stand once"),
        ({"overlap": 0.5}, "overlap has no effect without a scale above 1"),
        ({"scales": (0.2,)}, "greater than or equal to 0.5"),
        ({"flips": ("sideways",)}, "flips"),
    ],
)
def test_what_cannot_be_or_does_nothing_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        TtaConfig(**fields)


def config_of(source: Literal["none", "jittered"], tta: TtaConfig) -> TrainConfig:
    """Two images to train on: the dual encoder with depth, or a network that is told by boxes."""
    base = dataclasses.replace(
        nano(),
        data=SyntheticLiver(train=2, val=2, test=2, size=128),
        method=Method.named("frozen"),
        schedule=Schedule(epochs=1, batch_size=2, warmup_steps=0),
        evaluation=EvaluationConfig(tta=tta),
    )
    if source == "none":
        return base
    polyps = SyntheticPolyps(train=2, val=2, test=2, images_per_patient=1, size=64)
    return dataclasses.replace(
        base,
        data=polyps,
        system=SystemConfig.named("imedsam"),
        prompts=PromptConfig(source="jittered"),
    )


def predictions(training: Training, tta: TtaConfig | None, **fields: Any) -> list[PredictedSample]:
    metric = training.config.evaluation.rows(training.config.data, test=False)[0]
    probabilities = dataclasses.replace(metric, needs="probabilities")
    target = Target(training.dataset, "test", "test", fields.pop("size", None), (probabilities,))
    options: dict[str, Any] = {"batch_size": 2, "prompts": training.config.boxes, **fields}
    return list(
        predict(
            training.system,
            target,
            Runtime(),
            input_size=training.config.system.input_size,
            tta=tta,
            **options,
        )
    )


@pytest.mark.parametrize("source", ["none", "jittered"])
def test_it_is_the_same_whatever_the_batch_and_off_changes_no_bit(
    source: Literal["none", "jittered"],
) -> None:
    training = Training(config_of(source, TtaConfig()), Runtime())
    for own, one in zip(
        predictions(training, None),
        predictions(training, TtaConfig(scales=(1.0,))),
        strict=True,
    ):
        assert (own.labels_HW == one.labels_HW).all()
        assert own.probabilities_KHW is not None
        assert one.probabilities_KHW is not None
        np.testing.assert_array_equal(own.probabilities_KHW, one.probabilities_KHW)
    tta = TtaConfig(scales=(0.75, 1.25))
    told: list[bool] = []
    training.system.register_forward_pre_hook(
        lambda _, args: told.append(args[0].prompts is not None)
    )
    together = predictions(training, tta)
    torch.manual_seed(99)
    alone = predictions(training, tta, batch_size=1)
    assert len(told) == 3 * (1 + 4)
    assert set(told) == {source == "jittered"}
    for a, b, plain in zip(together, alone, predictions(training, None), strict=True):
        assert a.sample.sample_id == b.sample.sample_id
        assert a.probabilities_KHW is not None
        assert b.probabilities_KHW is not None
        assert plain.probabilities_KHW is not None
        np.testing.assert_allclose(a.probabilities_KHW, b.probabilities_KHW, atol=1e-4)
        assert np.abs(a.probabilities_KHW - plain.probabilities_KHW).max() > 1e-3
        classes = training.dataset.classes
        if classes.exclusive:
            np.testing.assert_allclose(a.probabilities_KHW.sum(0), 1, atol=1e-4)
            assert (a.labels_HW == a.probabilities_KHW.argmax(0)).mean() > 0.999
        assert a.maps.keys() == plain.maps.keys()


def test_a_training_scores_every_split_with_it_and_a_predictor_goes_on(tmp_path: Path) -> None:
    """The scores differ from those without it, and a checkpoint predicts as it was scored."""
    tta = TtaConfig(flips=("horizontal",))
    metrics = ("dice.per_image", "mae.probabilities")
    plain, config = (
        dataclasses.replace(
            config_of("none", TtaConfig()), evaluation=EvaluationConfig(tta=t, metrics=metrics)
        )
        for t in (TtaConfig(), tta)
    )
    epochs = [list(train(c, Runtime())) for c in (plain, config)]
    for split, evaluations in zip(("val", "test"), zip(*epochs, strict=True), strict=True):
        once, twice = (e.score("mae", split=split) for e in evaluations)
        assert once != twice
        assert once == pytest.approx(twice, abs=0.2)
    epochs[1][0].save(tmp_path)
    predictor = Predictor.load(tmp_path, device="cpu")
    single = Predictor.load(tmp_path, device="cpu", tta=TtaConfig())
    assert predictor.tta == tta
    training = Training(config, Runtime())
    training.system = restore(tmp_path).system
    for expected in predictions(training, tta, size=config.system.input_size):
        sample = expected.sample
        assert sample.depth_HW is not None
        inputs = [sample.image_HW3], [sample.depth_HW]
        (found,), (other,) = (p(*inputs, probabilities=True) for p in (predictor, single))
        shares = [x.probabilities_KHW for x in (expected, found, other)]
        own, same, differs = (s for s in shares if s is not None)
        np.testing.assert_allclose(own, same, atol=1e-4)
        assert np.abs(own - differs).max() > 1e-3


@pytest.mark.parametrize("source", ["none", "jittered"])
def test_a_predictor_reads_each_image_at_every_scale(source: Literal["none", "jittered"]) -> None:
    """At scale 2 of an image twice the input's size the network sees the image's own pixels."""
    system = config_of(source, TtaConfig()).system
    seen: list[Batch] = []

    class Watched(torch.nn.Module):
        def forward(self, batch: Batch, size: Size) -> Prediction:
            seen.append(batch)
            return Prediction(torch.zeros(len(batch), 1, *size))

    network: Any = Watched()
    tta = TtaConfig(scales=(2.0,), overlap=0.0)
    predictor = Predictor(network, system, BINARY, torch.device("cpu"), "float32", tta=tta)
    side = 2 * system.image_size
    image = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    if source == "none":
        predictor([image], [image[..., 0]])
    else:
        predictor([image], None, [(0, 0, side // 2, side // 4)])
    assert len(seen) == 4

    def whole(parts: Sequence[Tensor]) -> Any:
        rows = [torch.cat([a, b], dim=-1) for a, b in (parts[:2], parts[2:])]
        return (torch.cat(rows, dim=-2)[0] * 255).round().numpy().astype(np.uint8)

    np.testing.assert_array_equal(whole([b.image_B3HW for b in seen]), np.moveaxis(image, -1, 0))
    if source == "none":
        depths = [b.depth_B1HW for b in seen if b.depth_B1HW is not None]
        np.testing.assert_array_equal(whole(depths)[0], image[..., 0])
    else:
        boxes = [b.prompts for b in seen if b.prompts is not None]
        assert boxes[0].boxes_BN4[0, 0].tolist() == [0, 0, 1, 0.5]
        assert [p.present_BN.item() for p in boxes] == [True, False, False, False]


def test_it_counts_in_the_hash_and_an_arm_may_differ_by_it_alone() -> None:
    plain, other = config_of("none", TtaConfig()), config_of("none", WEFT)
    assert config_hash(plain) != config_hash(other)
    assert config_hash(plain) == config_hash(config_of("none", TtaConfig(scales=(1.0,))))
    assert from_json(TrainConfig, to_json(other)) == other
    study = Ablation(
        question="Does it help to see each image twice?",
        baseline=plain,
        arms={"twice": {"evaluation.tta.flips": ("horizontal",)}},
        seeds=(0,),
    )
    assert find_duplicate_arms(study) == []
    assert {t.config.evaluation.tta.views for t in study.trials({})} == {1, 2}


def test_a_network_runs_as_often_as_it_is_said() -> None:
    calls = []

    def system(batch: Batch, size: Size) -> Prediction:
        calls.append(1)
        return pointwise(BINARY)(batch, size)

    network: Any = system
    for tta in (TtaConfig(), TtaConfig(flips=FLIPS), TtaConfig(scales=(0.5, 1.0), flips=FLIPS)):
        calls.clear()
        infer(
            network,
            seen_at,
            INPUT,
            input_size=INPUT,
            classes=BINARY,
            tta=tta,
            device=torch.device("cpu"),
            precision="float32",
        )
        assert len(calls) == tta.views


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_can_be_seen_often(name: str) -> None:
    """Whatever maps it has, of the logits' size or another."""
    config = SystemConfig.named(name)
    system, size = config.build(BINARY).eval(), config.input_size
    batch = noise(1, size, BINARY)

    def batch_at(wanted: Size) -> Batch:
        image = torch.nn.functional.interpolate(batch.image_B3HW, wanted)
        assert batch.depth_B1HW is not None
        depth = torch.nn.functional.interpolate(batch.depth_B1HW, wanted)
        return dataclasses.replace(batch, image_B3HW=image, depth_B1HW=depth)

    tta = TtaConfig(scales=(0.5, 1.0, 1.5), flips=("horizontal",), overlap=0.168)
    with torch.inference_mode():
        once = system(batch, size)
        often = averaged(system, batch_at, size, input_size=size, classes=BINARY, tta=tta)
    assert often.logits_BKhw.shape == once.logits_BKhw.shape
    assert {n: m.shape for n, m in often.maps.items()} == {n: m.shape for n, m in once.maps.items()}
    for map_B1hw in often.maps.values():
        assert 0 <= map_B1hw.min() <= map_B1hw.max() <= 1
