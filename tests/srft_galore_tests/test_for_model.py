"""`for_model`: which weights of a model are projected, and what is refused."""

from typing import Any

import pytest
import torch
from torch import nn

from srft_galore import GaLoreAdamW, for_model


class Tied(nn.Module):
    """Embedding and head share their weight."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.layers = nn.ModuleList(nn.TransformerEncoderLayer(8, 2, 12) for _ in range(3))
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.embed.weight


def names(model: nn.Module, group: dict[str, list[nn.Parameter]]) -> list[str]:
    by_id = {id(p): name for name, p in model.named_parameters()}
    return [by_id[id(p)] for p in group["params"]]


def test_targets_are_projected_and_all_else_is_plain() -> None:
    model = Tied()
    groups = for_model(model, rank=2, targets=["self_attn", "linear1"], projector="svd", lr=0.5)
    projected, plain = groups
    assert names(model, projected) == [
        f"layers.{i}.{name}.weight".replace("in_proj.weight", "in_proj_weight")
        for i in range(3)
        for name in ("self_attn.in_proj", "self_attn.out_proj", "linear1")
    ]
    assert [v for k, v in projected.items() if k != "params"] == [2, "svd", 0.5]
    assert plain.keys() == {"params"}
    assert len(projected["params"]) + len(plain["params"]) == len(list(model.parameters()))
    optimizer = GaLoreAdamW(groups, lr=1e-3)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 1e-3]


def test_frozen_parameters_are_in_no_group() -> None:
    model = Tied()
    model.layers[0].requires_grad_(False)
    groups = for_model(model, rank=2, targets="self_attn")
    assert not [n for group in groups for n in names(model, group) if n.startswith("layers.0")]
    model = Tied().requires_grad_(False)
    model.head.requires_grad_(True)
    assert len(for_model(model, rank=2, targets="head")) == 1, "nothing is left for a second one"


@pytest.mark.parametrize("target", ["embed", "head"])
def test_a_shared_weight_has_both_names(target: str) -> None:
    model = Tied()
    projected, plain = for_model(model, rank=2, targets=target)
    assert [p is model.head.weight for p in projected["params"]] == [True]
    assert model.head.weight not in set(plain["params"])


def test_every_fault_is_told_with_what_there_is() -> None:
    model = Tied()
    model.layers[2].requires_grad_(False)
    with pytest.raises(ValueError, match="targets is empty"):
        for_model(model, rank=2, targets=[])
    with pytest.raises(ValueError, match="Weights of the model") as refused:
        for_model(model, rank=2, targets=["attn", "atn", r"layers\.2", "norm", "("])
    first, *listed = str(refused.value).split("\n  ")
    for fault in (
        "'atn' in targets is in no parameter's name",
        r"what 'layers\\.2' in targets names is frozen",
        "what 'norm' in targets names is scalars, vectors and the like",
        "'(' in targets is no regular expression",
    ):
        assert fault in first
    assert "'attn'" not in first
    assert listed == [
        "embed.weight (11 x 8)",
        "layers.*.self_attn.in_proj_weight (24 x 8), 2 of them",
        "layers.*.self_attn.out_proj.weight (8 x 8), 2 of them",
        "layers.*.linear1.weight (12 x 8), 2 of them",
        "layers.*.linear2.weight (8 x 12), 2 of them",
        "head.weight (11 x 8)",
    ]


def test_a_long_list_is_cut() -> None:
    model = nn.ModuleDict({f"part_{i}": nn.Linear(2, 2) for i in range(50)})
    with pytest.raises(ValueError, match=r"\.\.\. and 10 more$"):
        for_model(model, rank=1, targets="none")


def test_weights_of_more_dimensions_take_part_and_flat_ones_do_not() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(1, 9), nn.LayerNorm(9))
    projected, plain = for_model(model, rank=2, targets="weight")
    assert names(model, projected) == ["0.weight"]
    optimizer = GaLoreAdamW([projected, plain])
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    assert [p for p in model.parameters() if "basis" in optimizer.state[p]] == projected["params"]


@pytest.mark.parametrize("key", ["interval", "warm_start", "lr_scale"])
def test_options_are_those_of_a_group(key: str) -> None:
    with pytest.raises(
        TypeError, match=f"has no option '{key}'.*update_proj_gap.*start"
    ) as refused:
        for_model(Tied(), rank=2, targets="self_attn", **{key: 5})
    assert ("write update_proj_gap" in str(refused.value)) == (key == "interval")


@pytest.mark.parametrize("targets", [[nn.Linear], nn.Linear])
def test_targets_are_patterns_and_no_classes(targets: Any) -> None:
    with pytest.raises(ValueError, match="Linear'> in targets is no string: .*names of weights"):
        for_model(Tied(), rank=2, targets=targets)


def test_bytes_are_one_target_that_is_none() -> None:
    targets: Any = b"self_attn"
    with pytest.raises(ValueError, match="b'self_attn' in targets is no string") as refused:
        for_model(Tied(), rank=2, targets=targets)
    assert str(refused.value).count("no string") == 1
