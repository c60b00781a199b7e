"""The gradient outside of the subspace: against the formula written out, and what goes with it."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from srft_galore import GaLoreAdamW

BETAS, EPS = (0.9, 0.999), 1e-8
GROUP = {"rank": 2, "update_proj_gap": 2, "moments": "rotate", "scale": 0.7}


def randn(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def build(shape: tuple[int, ...], **options: Any) -> tuple[nn.Parameter, GaLoreAdamW]:
    weight = nn.Parameter(randn(*shape, seed=1))
    group = {"params": [weight], **GROUP, **options}
    return weight, GaLoreAdamW([group], lr=0.1, betas=BETAS, eps=EPS, weight_decay=0.2)


def written_out(W_MN: Tensor, G_MN: Tensor, state: dict[str, Tensor], *, step: int) -> Tensor:
    """The weight after a step with a basis on the right, from the moments after it."""
    P_NR = state["basis"]
    m_MR = state["exp_avg"] / (1 - BETAS[0] ** step)
    v_MR = state["exp_avg_sq"] / (1 - BETAS[1] ** step)
    U_MR = m_MR / (v_MR.sqrt() + EPS)
    outside_MN = G_MN - G_MN @ P_NR @ P_NR.T
    rows = []
    for w, u, outside in zip(W_MN, U_MR, outside_MN, strict=True):
        rows.append((1 - 0.1 * 0.2) * w - 0.1 * 0.7 * (P_NR @ u + 0.1 * outside.sign()))
    return torch.stack(rows)


@pytest.mark.parametrize("shape", [(9, 5), (5, 9)])
def test_a_step_is_the_formula(shape: tuple[int, int]) -> None:
    weight, optimizer = build(shape, residual="sign")
    for step in range(1, 6):
        before, gradient = weight.detach().clone(), randn(*shape, seed=10 + step)
        weight.grad = gradient.clone()
        optimizer.step()
        state = dict(optimizer.state[weight])
        if shape[0] < shape[1]:  # a basis on the left: the same, turned
            turned = {key: state[key].T for key in ("exp_avg", "exp_avg_sq")}
            state, before, gradient = {**state, **turned}, before.T, gradient.T
        expected = written_out(before, gradient, state, step=step)
        expected = expected if shape[0] >= shape[1] else expected.T
        torch.testing.assert_close(weight.detach(), expected, rtol=1e-12, atol=1e-12)


def test_nothing_is_left_outside_of_the_whole_space() -> None:
    """At full rank only rounding is left, of which there must be no signs."""
    weights = {}
    for kind in ("drop", "sign"):
        weights[kind], optimizer = build((6, 4), residual=kind, rank=4)
        for step in range(3):
            weights[kind].grad = randn(6, 4, seed=step)
            optimizer.step()
    torch.testing.assert_close(weights["drop"], weights["sign"], rtol=1e-12, atol=1e-12)


def test_a_saved_state_goes_on_alike() -> None:
    weight, optimizer = build((9, 5), residual="sign")
    for step in range(3):
        weight.grad = randn(9, 5, seed=step)
        optimizer.step()
    other, resumed = build((9, 5), residual="sign")
    other.data.copy_(weight.data)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for step in range(3, 6):
        weight.grad, other.grad = randn(9, 5, seed=step), randn(9, 5, seed=step)
        optimizer.step()
        resumed.step()
    assert torch.equal(weight, other)
    assert resumed.param_groups[0]["residual"] == "sign"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"residual": "sign", "refresh_from": "previous"}, "needs whole gradients at the step"),
        ({"residual": "sign", "projector": "identity"}, "has no effect with projector"),
        ({"residual": "fira"}, "residual='fira' is unknown; choose one of drop, sign"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GaLoreAdamW([{"params": [nn.Parameter(torch.zeros(4, 4))], "rank": 2, **options}])
