"""Rates and weight decay of single parameters: lower layers slower, vectors spared."""

import dataclasses
from typing import Any

import pytest
import timm
import timm.optim
import torch
from torch import nn

from segcore.config import TrainConfig
from segcore.methods import METHODS
from segcore.methods.layer_decay import layer_factors
from segcore.methods.method import Method
from segcore.systems.system import System
from segcore.training.schedule import OptimConfig


class Around(nn.Module):
    """No system, but what the rule looks at: one pretrained encoder."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def pretrained(self) -> dict[str, nn.Module]:
        """The encoder."""
        return {"encoder": self.encoder}


def adapted(config: TrainConfig, method: str) -> System:
    torch.manual_seed(0)
    system = config.system.build(config.data.open().classes)
    Method.named(method).adapt(system)
    return system


def test_the_factors_are_timms_on_a_vision_transformer() -> None:
    vit: Any = timm.create_model("vit_tiny_patch16_224", depth=4, num_classes=0)
    groups: Any = timm.optim  # its names are not declared as exported
    ours: Any = Around(vit)
    factors = layer_factors(ours, 0.7)
    wanted = {
        id(p): group["lr_scale"]
        for group in groups.param_groups_layer_decay(vit, layer_decay=0.7)
        for p in group["params"]
    }
    behind = {id(p) for p in vit.norm.parameters()}
    # Timm counts the norm behind the blocks to the last one, BEiT to the head: so do we.
    assert {factors[key] for key in behind} == {1}
    ratios = {round(factors[key] / scale, 9) for key, scale in wanted.items() if key not in behind}
    assert len(ratios) == 1


def test_each_encoder_counts_its_own_blocks(tiny: TrainConfig) -> None:
    system = adapted(tiny, "full")
    factors = layer_factors(system, 0.5)
    of = {n: factors[id(p)] for n, p in system.named_parameters() if id(p) in factors}
    assert of["rgb.image_encoder.trunk.pos_embed"] == 0.5**8
    assert of["rgb.image_encoder.trunk.blocks.0.attn.qkv.weight"] == 0.5**7
    assert of["rgb.image_encoder.trunk.blocks.6.attn.qkv.weight"] == 0.5
    assert of["rgb.image_encoder.neck.convs.0.conv.weight"] == 1
    depth = {n: f for n, f in of.items() if n.startswith("depth.backbone.encoder.layer.")}
    assert {f for n, f in depth.items() if ".layer.3." in n} == {0.5}
    assert {f for n, f in depth.items() if ".layer.0." in n} == {0.5**4}


@pytest.mark.parametrize("method", [m for m in METHODS if m != "frozen"])
def test_every_method_moves_lower_blocks_slower(tiny: TrainConfig, method: str) -> None:
    system = adapted(tiny, method)
    names = {id(p): n for n, p in system.named_parameters()}
    rates: dict[str, float] = {}
    for group in Method.named(method).optimizer(system, OptimConfig(layer_decay=0.5)).param_groups:
        rates |= {names[id(p)]: group["lr"] for p in group["params"]}
    first, last = (
        {rate for name, rate in rates.items() if f".trunk.blocks.{n}." in name} for n in (0, 6)
    )
    assert len(first) == len(last) == 1
    assert first.pop() == pytest.approx(last.pop() * 0.5**6)
    assert {r for n, r in rates.items() if n.startswith("decoder.")} == {OptimConfig().lr}


@pytest.mark.parametrize("method", METHODS)
def test_vectors_can_be_spared_the_decay(tiny: TrainConfig, method: str) -> None:
    system = adapted(tiny, method)
    optim = OptimConfig(decayed="matrices", weight_decay=0.1)
    groups = Method.named(method).optimizer(system, optim).param_groups
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert set(decays) == {id(p) for p in system.parameters() if p.requires_grad}
    for parameter in system.parameters():
        if parameter.requires_grad:
            assert decays[id(parameter)] == (0.1 if parameter.ndim > 1 else 0)


def test_layer_decay_without_an_effect_is_refused(tiny: TrainConfig) -> None:
    with pytest.raises(ValueError, match="the method frozen moves nothing"):
        dataclasses.replace(tiny, method=Method.named("frozen"), optim=OptimConfig(layer_decay=0.5))
    nothing: Any = Around(nn.Sequential(nn.Conv2d(3, 3, 1)))
    with pytest.raises(ValueError, match="have no transformer blocks to tell layers by"):
        layer_factors(nothing, 0.5)
