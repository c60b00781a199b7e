"""Keys of groups that mean nothing here, at the start and later, and states that were looked at."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from srft_galore import GaLoreAdamW


def build(**options: Any) -> tuple[nn.Parameter, GaLoreAdamW]:
    weight = nn.Parameter(torch.zeros(6, 4))
    return weight, GaLoreAdamW([{"params": [weight], **options}])


def step(weight: Tensor, optimizer: GaLoreAdamW) -> None:
    weight.grad = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    optimizer.step()


OF_OTHERS = {
    "interval": "update_proj_gap",
    "update_interval": "update_proj_gap",
    "update_proj_interval": "update_proj_gap",
    "gap": "update_proj_gap",
    "T": "update_proj_gap",
    "warm_start": "start='warm'",
    "r": "rank",
    "proj": "projector",
    "alpha": "scale",
    "wd": "weight_decay",
}


@pytest.mark.parametrize("key", OF_OTHERS)
def test_keys_of_other_optimizers_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match=f"'{key}': write {OF_OTHERS[key]}"):
        build(rank=2, **{key: 1})


def test_what_apollo_has_and_this_does_not_is_left_out() -> None:
    with pytest.raises(ValueError, match="'scale_type': leave it out; APOLLO scales by channel"):
        build(rank=2, scale_type="tensor")


@pytest.mark.parametrize("options", [{"rank": 2}, {}])
@pytest.mark.parametrize("key", ["lr", "betas", "rounding", "scale", "seed"])
def test_an_option_that_was_taken_out_is_missed(options: dict[str, Any], key: str) -> None:
    weight, optimizer = build(**options)
    step(weight, optimizer)
    group, before = optimizer.param_groups[0], weight.detach().clone()
    if key not in group:
        pytest.skip("of projected groups")
    held = group.pop(key)
    with pytest.raises(ValueError, match=f"lacks {key}, .*set it again"):
        step(weight, optimizer)
    assert torch.equal(weight, before)
    group[key] = held
    step(weight, optimizer)


def test_a_rate_of_two_numbers_is_refused_later_too() -> None:
    weight, optimizer = build()
    step(weight, optimizer)
    optimizer.param_groups[0]["lr"] = torch.ones(2)
    with pytest.raises(ValueError, match=r"lr has shape \(2,\); give a number"):
        step(weight, optimizer)


@pytest.mark.parametrize("key", ["projector", "refresh_from"])
def test_a_state_of_other_options_says_what_loading_would_do(key: str) -> None:
    other = {"projector": "gaussian", "refresh_from": "previous"}
    weight, optimizer = build(rank=2)
    step(weight, optimizer)
    told = f"{key}='{other[key]}'.*would silently change this one"
    with pytest.raises(ValueError, match=told):
        optimizer.load_state_dict(build(rank=2, **{key: other[key]})[1].state_dict())


@pytest.mark.parametrize("key", ["update_proj_gp", "interval"])
@pytest.mark.parametrize("options", [{"rank": 2}, {}])
def test_a_slip_that_is_added_later_is_found(options: dict[str, Any], key: str) -> None:
    weight, optimizer = build(**options)
    step(weight, optimizer)
    optimizer.param_groups[0][key] = 5
    before = weight.detach().clone()
    with pytest.raises(ValueError, match=f"'{key}': write update_proj_gap"):
        step(weight, optimizer)
    assert torch.equal(weight, before)


@pytest.mark.parametrize("steps", [0, 2])
def test_a_plain_group_does_not_become_a_projected_one(steps: int) -> None:
    weight, optimizer = build()
    for _ in range(steps):
        step(weight, optimizer)
    optimizer.param_groups[0]["rank"] = 2
    told = "rank was added to a group that is plain"
    with pytest.raises(ValueError, match=told):
        step(weight, optimizer)
    with pytest.raises(ValueError, match=told):
        optimizer.share_state(lambda tensors: None)
    with pytest.raises(ValueError, match=told):
        optimizer.attach(nn.ParameterList([weight]))
    assert not optimizer.releases_gradients


def test_an_option_without_effect_is_found_later_too() -> None:
    weight, optimizer = build()
    step(weight, optimizer)
    optimizer.param_groups[0]["projector"] = "svd"
    with pytest.raises(ValueError, match="projector without rank"):
        step(weight, optimizer)


@pytest.mark.parametrize("options", [{"rank": 2}, {}])
def test_looking_at_a_state_before_the_first_step_changes_nothing(options: dict[str, Any]) -> None:
    weight, optimizer = build(**options)
    assert not optimizer.state[weight]
    assert optimizer.skipped_steps == 0
    assert optimizer.state_bytes() == 0
    saved = copy.deepcopy(optimizer.state_dict())
    other, resumed = build(**options)
    as_before: dict[int, Any] = {0: {}}  # as an earlier version would have saved it
    for state in (saved["state"], as_before):
        resumed.load_state_dict({**saved, "state": state})
    assert not resumed.state.get(other)
    step(weight, optimizer)
    step(other, resumed)
    assert torch.equal(weight, other)


@pytest.mark.parametrize("rank", [2, 4])
def test_the_side_of_a_square_weight_stays(rank: int) -> None:
    """No shape would show it."""
    weight = nn.Parameter(torch.zeros(4, 4))
    optimizer = GaLoreAdamW([{"params": [weight], "rank": rank}])
    for side in ("short", "left", "right"):
        weight.grad = torch.eye(4)
        optimizer.param_groups[0]["side"] = side
        if side == "left":
            with pytest.raises(ValueError, match="side of the group of parameter 0 was edited"):
                optimizer.step()
        else:
            optimizer.step()


def test_rounding_at_random_is_for_bfloat16_later_too() -> None:
    weight, optimizer = build(rank=2)
    step(weight, optimizer)
    optimizer.param_groups[0]["rounding"] = "stochastic"
    with pytest.raises(ValueError, match="is for bfloat16 parameters"):
        step(weight, optimizer)


def test_what_is_no_group_is_refused() -> None:
    weight = nn.Parameter(torch.zeros(6, 4))
    with pytest.raises(TypeError, match="params is a set, whose order differs"):
        GaLoreAdamW([{"params": {weight}, "rank": 2}])
    _, optimizer = build(rank=2)
    no_group: Any = [weight]
    with pytest.raises(TypeError, match="A group is a dict with params, not list"):
        optimizer.add_param_group(no_group)
    with pytest.raises(ValueError, match=r"weight_decay has shape \(2,\); give a number"):
        build(rank=2, weight_decay=torch.ones(2))
