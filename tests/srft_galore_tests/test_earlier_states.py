"""States that earlier versions saved go on as they were."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from srft_galore import GaLoreAdamW
from srft_galore.groups.options import PROJECTION_DEFAULTS

FIRST = {
    *("params", "lr", "betas", "eps", "weight_decay"),
    *("rank", "update_proj_gap", "scale", "projector", "side"),
    *("oversample", "power_iterations", "seed"),
}
"""Keys of a projected group in the first version."""


def built(**options: Any) -> tuple[list[nn.Parameter], GaLoreAdamW]:
    generator = torch.Generator().manual_seed(0)
    params = [nn.Parameter(torch.randn(s, generator=generator)) for s in ((9, 6), (5, 8), (4,))]
    group = {"params": params[:2], "rank": 2, "update_proj_gap": 2, **options}
    return params, GaLoreAdamW([group, {"params": params[2:]}], lr=0.05)


def train(params: list[nn.Parameter], optimizer: GaLoreAdamW, steps: range) -> None:
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        for p in params:
            p.grad = torch.randn(p.shape, generator=generator)
        optimizer.step()


@pytest.mark.parametrize("moments", ["keep", "reset"])
def test_a_state_without_the_step_of_the_last_reset_goes_on(moments: str) -> None:
    """It followed from the options, until these could be edited on the way."""
    params, donor = built(moments=moments)
    train(params, donor, range(5))
    saved = copy.deepcopy(donor.state_dict())
    for state in saved["state"].values():
        state.pop("restarted_at", None)
    twins, taker = built(moments=moments)
    with torch.no_grad():
        for twin, p in zip(twins, params, strict=True):
            twin.copy_(p)
    taker.load_state_dict(saved)
    train(params, donor, range(5, 9))
    train(twins, taker, range(5, 9))
    assert all(torch.equal(a, b) for a, b in zip(params, twins, strict=True))


@pytest.mark.parametrize("projector", ["srft", "svd", "gaussian", "identity"])
def test_a_state_of_the_first_version_goes_on(projector: str) -> None:
    """Singular vectors had the signs that a decomposition gave them."""
    then = {"signs": "free"} if projector == "svd" else {}
    params, donor = built(projector=projector, **then)
    train(params, donor, range(3))
    saved = copy.deepcopy(donor.state_dict())
    for group in saved["param_groups"]:
        for key in group.keys() - FIRST:
            del group[key]
    twins, taker = built(projector=projector)
    with torch.no_grad():
        for twin, p in zip(twins, params, strict=True):
            twin.copy_(p)
    taker.load_state_dict(saved)
    told = {"projector": projector, "update_proj_gap": 2}
    assert taker.param_groups[0].items() >= {**PROJECTION_DEFAULTS, **told, **then}.items()
    train(params, donor, range(3, 8))
    train(twins, taker, range(3, 8))
    assert all(torch.equal(a, b) for a, b in zip(params, twins, strict=True))


def test_a_state_of_another_galore_is_refused() -> None:
    params, donor = built()
    saved = copy.deepcopy(donor.state_dict())
    for key in ("projector", "side", "oversample", "power_iterations", "seed"):
        del saved["param_groups"][0][key]
    with pytest.raises(ValueError, match=r"Group 0.*lacks projector, side.*GaLoreAdamW.*afresh"):
        donor.load_state_dict(saved)
    assert donor.param_groups[0]["projector"] == "srft"


def test_skipped_steps_are_counted_together() -> None:
    params, optimizer = built()
    assert optimizer.skipped_steps == 0
    train(params, optimizer, range(2))
    params[0].grad = torch.full_like(params[0], torch.nan)
    params[2].grad = torch.full_like(params[2], torch.inf)
    optimizer.step()
    optimizer.step()
    assert optimizer.skipped_steps == 4
    twins, taker = built()
    taker.load_state_dict(optimizer.state_dict())
    assert taker.skipped_steps == 4
