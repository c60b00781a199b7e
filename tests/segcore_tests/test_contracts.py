"""The contract tests of `segcore.testing` over every row, and over rows that break them."""

import dataclasses
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from segcore.batch import Batch, Modality, Prediction, Progress, Size
from segcore.classes import ClassSpec
from segcore.data import DATASETS
from segcore.data.dataset import Sample
from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.losses import LOSSES
from segcore.losses.loss import Loss
from segcore.methods import METHODS
from segcore.methods.method import Method
from segcore.metrics import METRICS
from segcore.metrics.metric import Pair
from segcore.registry import STRICT
from segcore.systems import SYSTEMS
from segcore.systems.depth_encoders import DEPTH_ENCODERS
from segcore.systems.depth_encoders.depth_encoder import DepthEncoderConfig
from segcore.systems.dual_encoder.network import DualEncoderConfig
from segcore.systems.rgb_encoders import RGB_ENCODERS
from segcore.systems.rgb_encoders.rgb_encoder import RgbEncoderConfig
from segcore.systems.sam2_unet import Sam2UnetConfig
from segcore.systems.system import Part, SystemConfig
from segcore.testing import (
    LANDMARKS,
    check_dataset,
    check_depth_encoder,
    check_loss,
    check_method,
    check_metric,
    check_rgb_encoder,
    check_system,
    check_transform,
)
from segcore.transforms import TRANSFORMS
from segcore.transforms.transform import Transform
from segtune.study import catalog

PLUGINS = Path(__file__).parents[1] / "support" / "studies" / "plugin_study.py"
OURS = {
    "systems": tuple(SYSTEMS),
    "rgb_encoders": tuple(RGB_ENCODERS),
    "depth_encoders": tuple(DEPTH_ENCODERS),
    "losses": tuple(LOSSES),
    "metrics": tuple(METRICS),
    "transforms": tuple(TRANSFORMS),
}
"""Before a user's file adds to them."""


@pytest.fixture(scope="module")
def plugins() -> ModuleType:
    """The file of a user that brings a row of every table."""
    return catalog.load_file(PLUGINS)


@pytest.mark.parametrize("name", OURS["systems"])
def test_our_systems(name: str) -> None:
    check_system(SystemConfig.named(name), (LANDMARKS,))


@pytest.mark.parametrize("name", OURS["rgb_encoders"])
def test_our_rgb_encoders(name: str) -> None:
    check_rgb_encoder(RgbEncoderConfig.named(name))


@pytest.mark.parametrize("name", OURS["depth_encoders"])
def test_our_depth_encoders(name: str) -> None:
    check_depth_encoder(DepthEncoderConfig.named(name))


@pytest.mark.parametrize("name", OURS["losses"])
def test_our_losses(name: str) -> None:
    check_loss(Loss.named(name))


@pytest.mark.parametrize("name", OURS["metrics"])
def test_our_metrics(name: str) -> None:
    check_metric(METRICS.choose(name))


@pytest.mark.parametrize("name", OURS["transforms"])
def test_our_transforms(name: str) -> None:
    check_transform(Transform.named(name))


def test_a_rendered_set() -> None:
    check_dataset(SyntheticLiver(train=2, val=1, test=1))


def test_rows_of_a_users_file(plugins: ModuleType) -> None:
    check_system(plugins.WideNetConfig())
    check_method(plugins.MixOnly(), plugins.WideNetConfig())
    check_method(Method.named("frozen"), plugins.WideNetConfig())
    check_dataset(plugins.Ellipses())
    check_loss(plugins.Weighted())
    check_transform(plugins.Shadow())
    check_rgb_encoder(plugins.LittleVitConfig())
    check_system(DualEncoderConfig(image_size=64, rgb=plugins.LittleVitConfig()), (LANDMARKS,))
    for key in ("error.mean", "best_dice.set"):
        check_metric(METRICS.choose(key))
    names = {*SYSTEMS, *RGB_ENCODERS, *METHODS, *LOSSES, *TRANSFORMS}
    assert {"wide_net", "little_vit", "mix_only", "weighted", "shadow"} <= names


def broken(plugins: ModuleType, **methods: Any) -> SystemConfig:
    """The user's system with some of its network's methods replaced."""
    network = type("Broken", (plugins.WideNet,), methods)

    class Config(plugins.WideNetConfig):  # type: ignore[misc,name-defined]
        def build(self, classes: ClassSpec) -> Any:
            return network(self, classes)

    SYSTEMS.register("broken", "to be found out")(Config)
    return Config()


def square(self: Any, batch: Batch, size: Size, progress: Progress) -> Prediction:
    """Forgets that an output need not be square."""
    whole: Any = type(self).__base__
    found: Prediction = whole.forward(self, batch, (size[0], size[0]), progress)
    return found


def noisy(self: Any, batch: Batch, size: Size, progress: Progress) -> Prediction:
    """Draws from the global RNG, also in evaluation."""
    whole: Any = type(self).__base__
    found: Prediction = whole.forward(self, batch, size, progress)
    noise = torch.randn_like(found.logits_BKhw)
    return dataclasses.replace(found, logits_BKhw=found.logits_BKhw + noise)


def over_the_batch(self: Any, prediction: Prediction, batch: Batch, progress: Progress) -> Tensor:
    """Normalises over the samples."""
    logits = prediction.logits_BKhw
    value: Tensor = ((logits - logits.mean(0)) ** 2).mean()
    return value


def forgetful(self: Any) -> dict[str, Part]:
    """Names two of three parts."""
    return {"mix": Part(self.mix, "pretrained"), "head": Part(self.head, "head")}


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({"forward": square}, "asked for"),
        ({"forward": noisy}, "a batch's loss|depends on the others|global RNG"),
        ({"loss": over_the_batch}, "a batch's loss"),
        ({"parts": forgetful}, "in no part: encoder"),
    ],
)
def test_a_system_that_breaks_a_promise_is_found_out(
    plugins: ModuleType, methods: dict[str, Any], message: str
) -> None:
    with pytest.raises(AssertionError, match=message):
        check_system(broken(plugins, **methods), (LANDMARKS,))


def test_a_row_that_lacks_what_is_there_is_found_out(plugins: ModuleType) -> None:
    class Config(plugins.WideNetConfig):  # type: ignore[misc,name-defined]
        pass

    SYSTEMS.register("modest", "says too little", lacks=("layers to adapt",))(Config)
    with pytest.raises(AssertionError, match="the row of modest lacks layers to adapt, and"):
        check_system(Config(), (LANDMARKS,))

    class Deep(plugins.Ellipses):  # type: ignore[misc,name-defined]
        def open(self) -> Any:
            volumes = super().open()
            volumes.has_depth = True
            return volumes

    DATASETS.register("deep", "says too little", lacks=("depth maps",))(Deep)
    with pytest.raises(AssertionError, match="the row lacks depth maps, and the set has them"):
        check_dataset(Deep())


def test_a_system_and_a_method_that_do_not_tell_what_moves_are_found_out(
    plugins: ModuleType,
) -> None:
    class Trained(Sam2UnetConfig):
        @property
        def gradients_in_frozen_blocks(self) -> bool:
            return False

    SYSTEMS.register("trained", "says too little")(Trained)
    with pytest.raises(AssertionError, match="gradients_in_frozen_blocks must be True"):
        check_system(Trained(), (LANDMARKS,))

    class Quiet(plugins.MixOnly):  # type: ignore[misc,name-defined]
        adapts = False

    METHODS.register("quiet", "says that nothing moves")(Quiet)
    with pytest.raises(AssertionError, match="adapts must say whether"):
        check_method(Quiet(), plugins.WideNetConfig())


def test_other_rows_that_break_a_promise_are_found_out(plugins: ModuleType) -> None:
    class Sum(nn.Module):
        def forward(self, prediction: Prediction, batch: Batch) -> Tensor:
            return (prediction.logits_BKhw**2).sum()

    class Summed(plugins.Weighted):  # type: ignore[misc,name-defined]
        def build(self, classes: ClassSpec) -> nn.Module:
            return Sum()

    LOSSES.register("summed", "no mean")(Summed)
    with pytest.raises(AssertionError, match="it must be a mean"):
        check_loss(Summed())
    error = METRICS.choose("error.mean")
    with pytest.raises(AssertionError, match="of the truth and"):
        check_metric(dataclasses.replace(error, direction="maximize"))
    with pytest.raises(AssertionError, match="a fraction lies between 0 and 1"):
        check_metric(dataclasses.replace(error, unit="fraction", compute=outside))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("global", "the same generator must give the same sample"),
        ("in place", "must stay as it is"),
        ("labels", "a label that was not there"),
        ("nothing", "none was changed"),
        ("repeats", "it says that the depth repeats"),
    ],
)
def test_a_transform_that_breaks_a_promise_is_found_out(fault: str, message: str) -> None:
    @dataclass(frozen=True, kw_only=True, config=STRICT)
    class Faulty(Transform):
        def repeats(self, part: Modality) -> bool:
            return fault == "repeats"

        def apply(self, sample: Sample, rng: np.random.Generator) -> Sample:
            image = sample.image_HW3
            if fault == "global":
                image = np.random.default_rng().permutation(image)
            elif fault == "in place":
                image[0] = 1
            elif fault == "labels":
                return dataclasses.replace(sample, labels_HW=sample.labels_HW + np.uint8(3))
            elif fault == "repeats" and sample.depth_HW is not None:
                return dataclasses.replace(sample, depth_HW=sample.depth_HW // 2)
            return dataclasses.replace(sample, image_HW3=image)

    TRANSFORMS.register("faulty", "to be found out")(Faulty)
    with pytest.raises(AssertionError, match=message):
        check_transform(Faulty())


def outside(pair: Pair) -> float:
    """A fraction that is none."""
    return 2.0 + float(np.abs(pair.probability - pair.truth).mean())  # type: ignore[operator]


def test_a_name_is_taken_once() -> None:
    with pytest.raises(ValueError, match="there is a metric 'dice.per_image' already"):
        METRICS.register("dice.per_image", "again")(METRICS.choose("dice.per_image"))
    with pytest.raises(ValueError, match="its own key"):
        METRICS.register("dice.mine", "another")(METRICS.choose("dice.per_image"))
