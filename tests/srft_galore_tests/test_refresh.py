"""When bases are computed, on what, and from where: staggering, blocks, sides, warm starts."""

import copy
from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from srft_galore import GaLoreAdamW, range_finder
from srft_galore.projection import derive_seed
from srft_galore.refresh.schedule import is_due, staggered_phases


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def parameters(*shapes: tuple[int, ...]) -> list[nn.Parameter]:
    return [nn.Parameter(randn(*shape, seed=i)) for i, shape in enumerate(shapes)]


def step_all(optimizer: GaLoreAdamW, step: int) -> None:
    params = [p for group in optimizer.param_groups for p in group["params"]]
    for i, p in enumerate(params):
        p.grad = randn(*p.shape, seed=100 * step + i)
    optimizer.step()


def refreshed(optimizer: GaLoreAdamW, params: list[nn.Parameter]) -> list[int]:
    return [int(optimizer.state[p]["refreshes"]) for p in params]


# --- staggering -----------------------------------------------------------------------------------


@given(
    gap=st.integers(1, 12),
    phase=st.integers(0, 11),
    start=st.integers(0, 30),
)
@settings(max_examples=100, deadline=None)
def test_a_basis_is_due_once_per_gap(gap: int, phase: int, start: int) -> None:
    phase %= gap
    refreshed_at, found = -1, []
    for step in range(start, start + 5 * gap):
        if is_due(step, refreshed_at, gap=gap, phase=phase):
            refreshed_at = step
            found.append(step)
    assert found[0] == start
    assert all(step % gap == phase for step in found[1:])
    assert all(b - a == gap for a, b in zip(found[1:], found[2:], strict=False))


@given(
    costs=st.lists(st.integers(0, 1000), max_size=40),
    gap=st.integers(1, 12),
)
@settings(max_examples=100, deadline=None)
def test_staggered_costs_are_even(costs: list[int], gap: int) -> None:
    """Within Graham's bound of the best, which is no less than the mean and the largest."""
    phases = staggered_phases(tuple(costs), gap)
    assert len(phases) == len(costs)
    assert all(0 <= phase < gap for phase in phases)
    loads = Counter[int]()
    for cost, phase in zip(costs, phases, strict=True):
        loads[phase] += cost
    if costs:
        lower = max(sum(costs) / gap, *costs)
        assert max(loads.values()) <= sum(costs) / gap + max(costs)
        assert max(loads.values()) <= 2 * lower


@pytest.mark.parametrize("refresh_from", ["current", "previous"])
@pytest.mark.parametrize("gap", [3, 4, 20])
def test_staggered_refreshes_are_bounded_per_step(refresh_from: str, gap: int) -> None:
    """Trap "everything refreshes on one step": all at the first one, then a few at a time."""
    params = parameters(*[(8, 6)] * 10, (5,))
    group = {"rank": 2, "update_proj_gap": gap, "stagger": True, "refresh_from": refresh_from}
    optimizer = GaLoreAdamW([{"params": params, **group}])
    weights = params[:-1]
    step_all(optimizer, 0)
    counts = [refreshed(optimizer, weights)]
    assert counts[0] == [1] * 10
    for step in range(1, 3 * gap + 1):
        step_all(optimizer, step)
        counts.append(refreshed(optimizer, weights))
    many = [sum(b) - sum(a) for a, b in zip(counts, counts[1:], strict=False)]
    assert max(many) <= -(-10 // gap)
    for first in range(1, 2 * gap + 1):
        window = [b - a for a, b in zip(counts[first], counts[first + gap], strict=True)]
        assert window == [1] * 10


def test_staggering_follows_the_order_and_not_the_process() -> None:
    """The same phases whatever the global seed, and another parameter's gradient is missing."""

    def trace(seed: int) -> list[list[int]]:
        torch.manual_seed(seed)
        params = parameters((8, 6), (16, 6), (8, 6), (4, 5, 3))
        group = {"params": params, "rank": 2, "update_proj_gap": 3, "stagger": True}
        optimizer = GaLoreAdamW([group])
        found = []
        for step in range(8):
            step_all(optimizer, step)
            found.append(refreshed(optimizer, params))
        return found

    assert trace(1) == trace(2)


@pytest.mark.parametrize("refresh_from", ["current", "previous"])
@pytest.mark.parametrize("stop", [1, 4, 5])
def test_resume_keeps_the_phases(refresh_from: str, stop: int) -> None:
    def build() -> tuple[list[nn.Parameter], GaLoreAdamW]:
        params = parameters((8, 6), (16, 6), (8, 6), (4, 5, 3))
        options = {"update_proj_gap": 3, "stagger": True, "refresh_from": refresh_from}
        return params, GaLoreAdamW([{"params": params, "rank": 2, **options}])

    whole, optimizer = build()
    for step in range(stop):
        step_all(optimizer, step)
    part, resumed = build()
    with torch.no_grad():
        for p, q in zip(part, whole, strict=True):
            p.copy_(q)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for step in range(stop, 12):
        step_all(optimizer, step)
        step_all(resumed, step)
        assert refreshed(optimizer, whole) == refreshed(resumed, part)
    assert all(torch.equal(p, q) for p, q in zip(whole, part, strict=True))


# --- sides, blocks, shapes ------------------------------------------------------------------------


@given(
    blocks=st.integers(2, 4),
    rows=st.integers(2, 6),
    cols=st.integers(2, 8),
    rank=st.integers(1, 9),
    side=st.sampled_from(("short", "left", "right", "input")),
    projector=st.sampled_from(("srft", "svd", "gaussian", "identity", "srft_published")),
    kernel=st.sampled_from(((), (2,), (2, 3))),
    dtype=st.sampled_from((torch.float32, torch.float64)),
)
@settings(max_examples=60, deadline=None)
def test_blocks_are_parameters_of_their_own(
    blocks: int,
    rows: int,
    cols: int,
    rank: int,
    side: str,
    projector: str,
    kernel: tuple[int, ...],
    dtype: torch.dtype,
) -> None:
    """And the state is b blocks (S R + 2 R T) + 32 bytes, to the byte."""
    shape = (blocks * rows, cols, *kernel)
    fused = nn.Parameter(randn(*shape).to(dtype))
    parts = [nn.Parameter(part.detach().clone()) for part in fused.chunk(blocks)]
    options = {"rank": rank, "side": side, "projector": projector, "update_proj_gap": 2}
    a = GaLoreAdamW([{"params": [fused], "blocks": blocks, **options}], lr=0.02, eps=1e-3)
    b = GaLoreAdamW([{"params": parts, **options}], lr=0.02, eps=1e-3)
    for step in range(5):
        fused.grad = randn(*shape, seed=step + 1).to(dtype)
        for part, G in zip(parts, fused.grad.chunk(blocks), strict=True):
            part.grad = G.clone()
        a.step()
        b.step()
    atol = 1e-9 if dtype == torch.float64 else 2e-3
    if projector != "srft_published":  # its noise directions differ from batch to batch
        torch.testing.assert_close(
            fused.detach(), torch.cat([part.detach() for part in parts]), rtol=0, atol=atol
        )
    for tensor in a.state[fused].values():
        assert tensor.untyped_storage().nbytes() == tensor.numel() * tensor.itemsize
    assert a.state_bytes() == b.state_bytes() - 40 * (blocks - 1)


@pytest.mark.parametrize("shape", [(10, 6), (3, 6), (7, 2, 3)])
def test_bad_blocks_are_refused(shape: tuple[int, ...]) -> None:
    p = nn.Parameter(randn(*shape))
    p.grad = randn(*shape)

    def first_step() -> None:
        GaLoreAdamW([{"params": [p], "rank": 2, "blocks": 3}]).step()

    with pytest.raises(ValueError, match=r"blocks=3 does not divide.*group of its own"):
        first_step()


@pytest.mark.parametrize(
    ("shape", "basis"), [((12, 7), (7, 2)), ((7, 12), (12, 2)), ((6, 4, 3, 3), (36, 2))]
)
def test_input_side_faces_the_layers_input(shape: tuple[int, ...], basis: tuple[int, int]) -> None:
    p = nn.Parameter(randn(*shape))
    optimizer = GaLoreAdamW([{"params": [p], "rank": 2, "side": "input"}])
    step_all(optimizer, 0)
    assert tuple(optimizer.state[p]["basis"].shape) == basis
    layer = nn.Linear(7, 12)
    assert tuple(layer.weight.shape) == (12, 7)  # (out, in): the first case above


@pytest.mark.parametrize("shape", [(12, 7), (7, 12), (6, 4, 3, 3), (5, 16, 8)])
@pytest.mark.parametrize("start", ["cold", "warm"])
def test_bases_come_from_the_range_finder_with_its_start(
    shape: tuple[int, ...], start: str
) -> None:
    """Trap "tracker idle for tall weights": the basis turns with a new gradient, both ways."""
    p = nn.Parameter(randn(*shape))
    group = {"params": [p], "rank": 2, "update_proj_gap": 3, "start": start, "oversample": 2}
    optimizer = GaLoreAdamW([{**group, "seed": 5}])
    old: Tensor | None = None
    for step in range(7):
        p.grad = randn(*shape, seed=step)
        G = p.grad.flatten(1)
        optimizer.step()
        P = optimizer.state[p]["basis"].clone()
        if step % 3:
            assert old is not None
            assert torch.equal(P, old)
            continue
        facing = G.mT if G.shape[0] >= G.shape[1] else G
        expected = range_finder(
            facing, 2, oversample=2, seed=derive_seed(5, step // 3),
            start=old if start == "warm" else None,
        )  # fmt: skip
        torch.testing.assert_close(P @ P.mT, expected @ expected.mT, rtol=0, atol=1e-10)
        if old is not None:
            cosines = torch.linalg.svdvals(old.mT @ P)
            assert float(cosines.min()) < 0.9
        old = P


def test_a_zero_then_a_gradient() -> None:
    p = nn.Parameter(randn(12, 7))
    optimizer = GaLoreAdamW([{"params": [p], "rank": 2, "stagger": True}], weight_decay=0.0)
    p.grad = torch.zeros_like(p)
    optimizer.step()
    assert torch.equal(p.detach(), randn(12, 7))
    assert float(optimizer.state[p]["basis"].abs().max()) == 0
    step_all(optimizer, 1)
    assert not torch.equal(p.detach(), randn(12, 7))


def test_gap_may_change_on_the_way() -> None:
    p = nn.Parameter(randn(12, 7))
    optimizer = GaLoreAdamW([{"params": [p], "rank": 2, "update_proj_gap": 100}])
    for step in range(8):
        if step == 4:
            optimizer.param_groups[0]["update_proj_gap"] = 2
        step_all(optimizer, step)
    assert int(optimizer.state[p]["refreshes"]) == 3


def test_loads_refuse_other_blocks_and_modes() -> None:
    def build(**options: Any) -> GaLoreAdamW:
        params = parameters((12, 7))
        return GaLoreAdamW([{"params": params, "rank": 2, **options}])

    donor = build()
    step_all(donor, 0)
    for key, value in {"blocks": 3, "refresh_from": "previous"}.items():
        with pytest.raises(ValueError, match=f"{key}={value!r}, the saved state {key}="):
            build(**{key: value}).load_state_dict(donor.state_dict())


def test_turns_are_given_out_at_once_whatever_the_interval() -> None:
    assert list(staggered_phases((1, 3, 2, 0), 10**12)) == [2, 0, 1, 3]
