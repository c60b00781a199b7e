"""One contract for every row of the table of methods."""

import pytest
import torch
from torch import Tensor

from segcore.batch import Batch, ClassSpec
from segcore.config import TrainConfig
from segcore.methods import METHODS
from segcore.methods.method import Method, head_parameters
from segcore.systems.system import System

CLASSES = ClassSpec(("background", "ridge", "silhouette", "ligament"), exclusive=True)
LOW_RANK = ("lora", "galore", "srft_galore")


def build(config: TrainConfig, name: str) -> tuple[System, Method]:
    torch.manual_seed(0)
    system = config.system.build(CLASSES, config.loss)
    method = Method.named(name)
    method.adapt(system)
    return system, method


def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    labels_BHW = torch.randint(0, 4, (2, 128, 128), generator=generator)
    return Batch(
        image_B3HW=torch.rand(2, 3, 128, 128, generator=generator),
        target_BKHW=torch.nn.functional.one_hot(labels_BHW, 4).permute(0, 3, 1, 2).float(),
        sample_ids=("a", "b"),
        patient_ids=("a", "b"),
        depth_B1HW=torch.rand(2, 1, 128, 128, generator=generator),
    )


def steps(system: System, method: Method, config: TrainConfig, count: int) -> list[float]:
    optimizer = method.optimizer(system, config.optim)
    losses = []
    for _ in range(count):
        optimizer.zero_grad()
        loss = system.loss(system(batch(), 128), batch(), 0.0)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("name", METHODS)
def test_every_method_lowers_the_loss(tiny: TrainConfig, name: str) -> None:
    system, method = build(tiny, name)
    losses = steps(system, method, tiny, 6)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", METHODS)
def test_what_moves_is_what_requires_grad(tiny: TrainConfig, name: str) -> None:
    system, method = build(tiny, name)
    before = {n: p.detach().clone() for n, p in system.named_parameters()}
    steps(system, method, tiny, 2)
    for parameter_name, parameter in system.named_parameters():
        moved = not torch.equal(before[parameter_name], parameter)
        assert moved == parameter.requires_grad, parameter_name


@pytest.mark.parametrize("name", METHODS)
def test_the_head_starts_alike_for_every_method(tiny: TrainConfig, name: str) -> None:
    reference, _ = build(tiny, "frozen")
    system, _ = build(tiny, name)
    for one, other in zip(head_parameters(reference), head_parameters(system), strict=False):
        assert torch.equal(one, other)
    assert all(p.requires_grad for p in head_parameters(system)), "the head always trains"


@pytest.mark.parametrize("name", METHODS)
def test_before_the_first_step_the_prediction_is_the_pretrained_one(
    tiny: TrainConfig, name: str
) -> None:
    reference, _ = build(tiny, "frozen")
    system, _ = build(tiny, name)
    outputs: list[Tensor] = []
    with torch.no_grad():
        for s in (reference, system):
            s.eval()
            outputs.append(s(batch(), 128).logits_BKhw)
    assert torch.allclose(outputs[0], outputs[1], atol=1e-6)


@pytest.mark.parametrize("name", LOW_RANK)
def test_low_rank_methods_move_the_attention_of_sam2_alone(tiny: TrainConfig, name: str) -> None:
    system, _ = build(tiny, name)
    moving = [
        n
        for n, p in system.named_parameters()
        if p.requires_grad and n.split(".")[0] in system.pretrained()
    ]
    assert moving
    for parameter_name in moving:
        assert parameter_name.startswith("sam2.")
        assert ".attn.qkv" in parameter_name or ".attn.proj" in parameter_name


def test_galore_and_srft_galore_differ_in_the_projector_alone(tiny: TrainConfig) -> None:
    groups = []
    for name in ("galore", "srft_galore"):
        system, method = build(tiny, name)
        group = method.optimizer(system, tiny.optim).param_groups[1]
        groups.append({k: v for k, v in group.items() if k != "params"})
    assert groups[0].pop("projector") == "svd"
    assert groups[1].pop("projector") == "srft"
    assert groups[0] == groups[1]


def test_trained_parameters_of_lora_follow_its_formula(tiny: TrainConfig) -> None:
    plain, _ = build(tiny, "frozen")
    targets = plain.adaptable("attention").values()
    system, _ = build(tiny, "lora")
    head = {id(p) for p in head_parameters(system)}
    adapters = sum(p.numel() for p in system.parameters() if p.requires_grad and id(p) not in head)
    assert adapters == sum(8 * (m.in_features + m.out_features) for m in targets)


def test_more_targets_move_more(tiny: TrainConfig) -> None:
    counts = []
    for targets in ("attention", "attention+mlp"):
        system = tiny.system.build(CLASSES, tiny.loss)
        Method.named("srft_galore", targets=targets).adapt(system)
        counts.append(sum(p.numel() for p in system.parameters() if p.requires_grad))
    assert counts[1] > counts[0]
