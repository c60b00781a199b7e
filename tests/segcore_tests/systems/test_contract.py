"""One contract for every row of the table of systems."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segcore.batch import FINISHED, Batch
from segcore.classes import ClassSpec
from segcore.config import TrainConfig, from_json, to_json
from segcore.losses.dice_ce import DiceCe
from segcore.methods import METHODS
from segcore.methods.method import Method, head_parameters
from segcore.systems import SYSTEMS
from segcore.systems.system import System, SystemConfig
from segcore.systems.weft.experts import ExpertConfig
from segcore.train import train
from segcore.training.runtime import Runtime

LANDMARKS = ClassSpec(("background", "ridge", "silhouette", "ligament"), exclusive=True)
ORGANS = ClassSpec(("liver", "tumour"), exclusive=False)


def built(name: str, classes: ClassSpec = LANDMARKS, **loss: Any) -> System:
    torch.manual_seed(0)
    return SystemConfig.named(name, loss=DiceCe(**loss)).build(classes)


def batch(samples: int = 2, size: int = 128, classes: ClassSpec = LANDMARKS) -> Batch:
    random = torch.Generator().manual_seed(1)
    count = len(classes.names)
    labels_BHW = torch.randint(count, (samples, size, size), generator=random)
    ids = tuple(str(i) for i in range(samples))
    return Batch(
        image_B3HW=torch.rand(samples, 3, size, size, generator=random),
        target_BKHW=nn.functional.one_hot(labels_BHW, count).permute(0, 3, 1, 2).float(),
        sample_ids=ids,
        patient_ids=ids,
        depth_B1HW=torch.rand(samples, 1, size, size, generator=random),
    )


def one(many: Batch, i: int) -> Batch:
    def part(x: Tensor | None) -> Tensor | None:
        return None if x is None else x[i : i + 1]

    return dataclasses.replace(
        many,
        image_B3HW=many.image_B3HW[i : i + 1],
        target_BKHW=many.target_BKHW[i : i + 1],
        sample_ids=many.sample_ids[i : i + 1],
        patient_ids=many.patient_ids[i : i + 1],
        depth_B1HW=part(many.depth_B1HW),
    )


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("classes", [LANDMARKS, ORGANS], ids=["exclusive", "overlapping"])
@pytest.mark.parametrize("size", [64, 100])
def test_logits_have_the_size_asked_for(name: str, classes: ClassSpec, size: int) -> None:
    data = batch(size=96, classes=classes)
    system = built(name, classes)
    prediction = system(data, (size, size))
    assert prediction.logits_BKhw.shape == (2, len(classes.names), size, size)
    assert system.loss(prediction, data, FINISHED).isfinite()


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("resolution", ["target", "native"])
def test_loss_is_a_mean_over_samples(name: str, resolution: Any) -> None:
    system, data = built(name, resolution=resolution), batch(3)
    with torch.no_grad():
        whole = system.loss(system(data, (128, 128)), data, FINISHED)
        parts = [one(data, i) for i in range(3)]
        mean = torch.stack([system.loss(system(x, (128, 128)), x, FINISHED) for x in parts]).mean()
    torch.testing.assert_close(whole, mean, rtol=1e-4, atol=0)


@pytest.mark.parametrize("name", SYSTEMS)
def test_what_it_remembers_changes_no_digit(name: str) -> None:
    system, data = built(name).eval().requires_grad_(False), batch(3)
    hashes = {f"{system.remembers}_hashes": tuple("abc")} if system.remembers else {}
    with torch.inference_mode():
        expected = [system(one(data, i), (64, 64)).logits_BKhw for i in range(3)]
        for part in range(3):
            named: Any = {field: value[part : part + 1] for field, value in hashes.items()}
            brought = dataclasses.replace(one(data, part), **named)
            for _ in range(2):
                assert torch.equal(system(brought, (64, 64)).logits_BKhw, expected[part])
    system.requires_grad_(True)
    assert system.remembers is None


NETWORKS = sorted(SYSTEMS.keys() - {"filled_box", "box_ellipse"})
"""Systems with pretrained weights."""
ADAPTABLE = [name for name in NETWORKS if "layers to adapt" not in SYSTEMS[name].lacks]
"""Systems with layers that low-rank methods adapt."""


@pytest.mark.parametrize("name", ADAPTABLE)
def test_what_may_be_adapted_is_pretrained(name: str) -> None:
    system = built(name)
    pretrained = {id(m) for e in system.pretrained().values() for m in e.modules()}
    attention, both = system.adaptable("attention"), system.adaptable("attention+mlp")
    assert attention
    assert attention.keys() < both.keys()
    for path, module in both.items():
        assert system.get_submodule(path) is module
        assert id(module) in pretrained
    fused = system.fused_qkv()
    assert fused
    assert fused.items() <= attention.items()
    assert all(m.out_features % 3 == 0 for m in fused.values())


@pytest.mark.parametrize("name", NETWORKS)
def test_head_and_encoders_get_gradients_from_one_backward(name: str) -> None:
    system, data = built(name), batch()
    Method.named("full").adapt(system)
    system.loss(system(data, (128, 128)), data, FINISHED).backward()
    # SAM2's trunk ends in features that its neck takes and nobody reads, DINOv2 in a mask token,
    # and SAM has codes for points and masks.
    idle = {id(p) for e in system.pretrained().values() for p in e.parameters()}
    without = [n for n, p in system.named_parameters() if p.grad is None and id(p) not in idle]
    assert not without
    assert all(p.grad is not None for p in head_parameters(system))


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_hash_names_the_pretrained_weights_alone(name: str) -> None:
    packaged = built(name).weights_hash()
    torch.manual_seed(7)
    assert SystemConfig.named(name).build(ORGANS).weights_hash() == packaged
    system = built(name)
    with torch.no_grad():
        next(iter(next(iter(system.pretrained().values())).parameters())).add_(1)
    assert system.weights_hash() == packaged, "the hash is of the weights as they were loaded"


@pytest.mark.parametrize("name", SYSTEMS)
def test_config_goes_through_json(name: str) -> None:
    config = SystemConfig.named(name)
    assert from_json(SystemConfig, to_json(config)) == config
    config.check_weights()


TRAINED = {name: METHODS for name in NETWORKS if name != "dual_encoder"} | dict.fromkeys(
    ("d2gpland", "sam2_unet"), ("frozen", "full")
)
"""Methods by system; of those whose encoder another one of these has, two, since what other methods
put into an encoder is the same there. A step with each of them is in `test_pairs`, and those on the
dual encoder are in `test_methods`."""
QUICK = ("frozen", "full", "lora_qv", "srft_galore")
"""Of every kind one: the others train a system in the slow tests, and take a step with each in
`test_pairs`."""
SMALL: dict[str, dict[str, Any]] = {
    "d2gpland": {"width": 8},
    "sam2_unet": {"width": 8},
    "weft": {"experts": ExpertConfig(kernels=(1, 3), top=1)},
}
"""Fields that make a system's step a quick one."""


@pytest.mark.parametrize(
    ("name", "method"),
    [
        pytest.param(name, method, marks=[] if method in QUICK else [pytest.mark.slow])
        for name, methods in TRAINED.items()
        for method in methods
        if METHODS[method].refusal(SYSTEMS, name) is None
    ],
)
def test_every_method_trains_every_system(tiny: TrainConfig, name: str, method: str) -> None:
    config = dataclasses.replace(
        tiny,
        system=SystemConfig.named(name, image_size=64, **SMALL.get(name, {})),
        method=Method.named(method),
        schedule=dataclasses.replace(tiny.schedule, epochs=3),
    )
    first, *_, last = (e for e in train(config, Runtime(test=False)) if not e.final)
    assert last.steps[-1].loss < first.steps[0].loss
