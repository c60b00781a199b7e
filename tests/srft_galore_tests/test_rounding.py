"""Stochastic rounding of bfloat16 weights: unbiased, repeatable, and worth having."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from srft_galore import GaLoreAdamW
from srft_galore.update.rounding import round_stochastically


def neighbours(values: Tensor) -> tuple[Tensor, Tensor]:
    """The bfloat16 values at or next below and next above in magnitude, as float32."""
    inner = values.view(torch.int32).bitwise_and(-(1 << 16))
    outer = inner + (1 << 16)
    return inner.view(torch.float32), outer.view(torch.float32)


@settings(deadline=None)
@given(
    st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=40),
    st.integers(0, 2**40),
)
def test_every_value_goes_to_one_of_its_neighbours(values: list[float], seed: int) -> None:
    weight = torch.tensor(values, dtype=torch.float32)
    rounded = round_stochastically(weight, seed=seed, position=0, step=0).float()
    inner, outer = neighbours(weight)
    assert bool(((rounded == inner) | (rounded == outer)).all())
    exact = weight == inner
    assert torch.equal(rounded[exact], weight[exact])


def test_the_mean_is_the_value() -> None:
    for value in (1.001, -3.3, 7e-20):
        weight = torch.full((200_000,), value)
        mean = round_stochastically(weight, seed=3, position=1, step=2).double().mean()
        inner, outer = neighbours(weight[:1])
        spacing = float((outer - inner).abs())
        assert abs(float(mean) - float(weight[0])) < 5 * spacing / 2 / 200_000**0.5


def test_seed_position_and_step_decide() -> None:
    weight = torch.linspace(1, 2, 1000)
    before = torch.get_rng_state()
    first = round_stochastically(weight, seed=1, position=0, step=5)
    assert torch.equal(first, round_stochastically(weight, seed=1, position=0, step=5))
    for other in ((2, 0, 5), (1, 1, 5), (1, 0, 6)):
        changed = round_stochastically(weight, seed=other[0], position=other[1], step=other[2])
        assert not torch.equal(first, changed)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("rank", [None, 4])
def test_small_updates_are_not_lost(rank: int | None) -> None:
    """A thousandth of the spacing per step: rounding to nearest never moves."""

    def moved(rounding: str) -> float:
        weight = nn.Parameter(torch.ones(16, 16, dtype=torch.bfloat16))
        group: dict[str, Any] = {"params": [weight], "rounding": rounding}
        if rank is not None:
            group |= {"rank": rank, "projector": "identity"}
        optimizer = GaLoreAdamW([group], lr=1e-5, weight_decay=0.0)
        for _ in range(400):
            weight.grad = torch.ones_like(weight)
            optimizer.step()
        return float((1 - weight.detach().float()).mean())

    assert moved("nearest") == 0
    assert moved("stochastic") == pytest.approx(400e-5, rel=0.15)


def test_rounding_where_nothing_is_rounded_is_refused() -> None:
    with pytest.raises(ValueError, match="rounding='stochastic' is for bfloat16"):
        GaLoreAdamW([{"params": [nn.Parameter(torch.ones(2))], "rounding": "stochastic"}])
    with pytest.raises(ValueError, match="rounding='up'.*nearest, stochastic"):
        GaLoreAdamW([{"params": [nn.Parameter(torch.ones(2))], "rounding": "up"}])
    half = nn.Parameter(torch.ones(2, 2, dtype=torch.bfloat16))
    named = GaLoreAdamW([{"params": iter([("w", half)]), "rounding": "stochastic"}])
    assert named.param_groups[0]["params"] == [half]
