"""What torch's optimizers do for whoever uses them, for every projector and strategy.

A new projector is a row of `ROWS`. What is told of `GaLoreAdamW` alone stands in the other files.
"""

import copy
import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer, lr_scheduler
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from srft_galore import GaLoreAdamW
from srft_galore.basis.range_finder import PROJECTORS

PLAIN: dict[str, Any] = {}
ROWS: dict[str, dict[str, Any]] = {
    "plain": PLAIN,
    **{name: {"projector": name} for name in PROJECTORS},
    "warm, rotated": {"start": "warm", "oversample": 2, "moments": "rotate"},
    "staggered, reset": {"stagger": True, "moments": "reset", "sketch": "per_weight"},
    "previous": {"refresh_from": "previous"},
    "previous, warm": {"refresh_from": "previous", "start": "warm", "oversample": 2},
    "sign residual": {"residual": "sign"},
    "sign residual, rotated": {"residual": "sign", "moments": "rotate"},
    "blocks": {"blocks": 3, "power_iterations": 1, "side": "input"},
}
SHAPES = ((6, 9), (9, 4), (6, 3, 2, 2), (5,), ())

Built = tuple[list[nn.Parameter], GaLoreAdamW]


@pytest.fixture(params=ROWS, autouse=True)
def row(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Every test runs with each row."""
    options: dict[str, Any] = ROWS[request.param]
    return options


def parameters(seed: int = 0, dtype: torch.dtype = torch.float32) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(s, generator=generator).to(dtype)) for s in SHAPES]


def group(params: list[nn.Parameter], row: dict[str, Any], **more: Any) -> dict[str, Any]:
    projected = {} if row is PLAIN else {"rank": 2, "update_proj_gap": 2, **row}
    return {"params": params, **projected, **more}


def build(row: dict[str, Any], dtype: torch.dtype = torch.float32, **common: Any) -> Built:
    params = parameters(dtype=dtype)
    return params, GaLoreAdamW([group(params, row)], **{"lr": 0.05, **common})


def give_gradients(params: list[nn.Parameter], step: int, factor: float = 1.0) -> None:
    generator = torch.Generator().manual_seed(100 + step)
    for p in params:
        p.grad = (factor * torch.randn(p.shape, generator=generator)).to(p.dtype)


def train(params: list[nn.Parameter], optimizer: Optimizer, steps: range) -> None:
    for step in steps:
        give_gradients(params, step)
        optimizer.step()


def values(params: list[nn.Parameter]) -> list[Tensor]:
    return [p.detach().clone() for p in params]


def same(a: list[Tensor] | list[nn.Parameter], b: list[Tensor] | list[nn.Parameter]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_loss_falls(row: dict[str, Any]) -> None:
    params, optimizer = build(row)
    targets = [0.5 * p for p in values(parameters(1))]

    def loss() -> Tensor:
        pairs = zip(params, targets, strict=True)
        return torch.stack([(p - t).square().sum() for p, t in pairs]).sum()

    first = loss().item()
    for _ in range(40):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    assert loss().item() < 0.8 * first


# States


@pytest.mark.parametrize(
    ("steps", "dtype"), [(0, torch.float32), (1, torch.float32), (4, torch.bfloat16)]
)
def test_a_saved_state_goes_on_bit_for_bit(
    row: dict[str, Any], steps: int, dtype: torch.dtype
) -> None:
    params, optimizer = build(row, dtype)
    train(params, optimizer, range(steps))
    file = io.BytesIO()
    torch.save({"weights": params, "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)  # noqa: TID251
    twins, taker = build(row, dtype, lr=0.5, betas=(0.5, 0.6))
    with torch.no_grad():
        for twin, p in zip(twins, saved["weights"], strict=True):
            twin.copy_(p)
    taker.load_state_dict(saved["optimizer"])
    train(params, optimizer, range(steps, steps + 5))
    train(twins, taker, range(steps, steps + 5))
    assert same(params, twins)
    ours, theirs = optimizer.state_dict(), taker.state_dict()
    assert ours["param_groups"] == theirs["param_groups"]
    for index, state in ours["state"].items():
        assert all(torch.equal(t, theirs["state"][index][k]) for k, t in state.items())


def test_a_copy_goes_on_apart(row: dict[str, Any]) -> None:
    params, optimizer = build(row)
    train(params, optimizer, range(3))
    twin = copy.deepcopy(optimizer)
    twins = twin.param_groups[0]["params"]
    held = values(params)
    train(twins, twin, range(3, 6))
    assert same(params, held)
    train(params, optimizer, range(3, 6))
    assert same(params, twins)


def test_names_of_parameters_are_saved(row: dict[str, Any]) -> None:
    named = [(f"p{i}", p) for i, p in enumerate(parameters())]
    optimizer = GaLoreAdamW([{**group([], row), "params": named}])
    saved = optimizer.state_dict()
    assert saved["param_groups"][0]["param_names"] == ["p0", "p1", "p2", "p3", "p4"]
    optimizer.load_state_dict(saved)


# Groups


def test_a_group_that_is_added_later_starts_from_zero(row: dict[str, Any]) -> None:
    params, optimizer = build(row)
    alone, reference = build(row)
    late = parameters(1)
    train(params, optimizer, range(2))
    train(alone, reference, range(2))
    optimizer.add_param_group(group(late, row, lr=0.2))
    train(params, optimizer, range(2, 4))  # without gradients in the new group
    train(alone, reference, range(2, 4))
    fresh = parameters(1)
    assert same(late, fresh)
    assert not [p for p in late if p in optimizer.state]
    of_its_own = GaLoreAdamW([group(fresh, row, lr=0.2)])
    for step in range(4, 8):
        give_gradients(alone, step)
        give_gradients(params, step)
        give_gradients(late, step)
        give_gradients(fresh, step)
        reference.step()
        of_its_own.step()
        optimizer.step()
    assert same(params, alone)
    if row.get("sketch") != "per_weight":  # whose seed counts the parameters before
        assert same(late, fresh)


def test_groups_have_rates_of_their_own(row: dict[str, Any]) -> None:
    still, moving = parameters(), parameters(1)
    optimizer = GaLoreAdamW([group(still, row, lr=0.0), group(moving, row)], lr=0.1)
    held_still, held_moving = values(still), values(moving)
    train([*still, *moving], optimizer, range(3))
    assert same(still, held_still)
    assert not any(torch.equal(a, b) for a, b in zip(moving, held_moving, strict=True))


def test_what_torch_refuses_of_parameters_is_refused(row: dict[str, Any]) -> None:
    params, optimizer = build(row)
    with pytest.raises(ValueError, match="some parameters appear in more than one"):
        optimizer.add_param_group(group(params[:1], row))
    with pytest.raises(ValueError, match="empty parameter list"):
        GaLoreAdamW([])
    with pytest.raises(ValueError, match="non-leaf"):
        GaLoreAdamW([{**group([], row), "params": [params[0] * 2]}])
    with pytest.raises(TypeError):
        GaLoreAdamW([{**group([], row), "params": [params[0], 1.0]}])
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize(
    ("keyword", "default", "other"),
    [
        ("amsgrad", False, True),
        ("maximize", False, True),
        ("foreach", None, True),
        ("capturable", False, True),
        ("differentiable", False, True),
        ("fused", None, True),
    ],
)
def test_keywords_of_torchs_adamw(
    row: dict[str, Any], keyword: str, default: Any, other: Any
) -> None:
    params, optimizer = build(row, **{keyword: default})
    twins, twin = build(row)
    train(params, optimizer, range(2))
    train(twins, twin, range(2))
    assert same(params, twins)
    with pytest.raises(ValueError, match=f"{keyword}={other}.*leave it out, or give {default}"):
        build(row, **{keyword: other})
    with pytest.raises(ValueError, match=f"{keyword}={other}.*leave it out, or give {default}"):
        GaLoreAdamW([group(parameters(), row, **{keyword: other})])


# Steps


def test_a_closure_is_called_once_with_gradients_on(row: dict[str, Any]) -> None:
    params, optimizer = build(row)
    twins, twin = build(row)
    seen: list[bool] = []

    def closure() -> float:
        seen.append(torch.is_grad_enabled())
        give_gradients(params, 0)
        return 7.0

    with torch.no_grad():
        assert optimizer.step(closure) == 7.0
        assert not torch.is_grad_enabled()
    assert seen == [True]
    give_gradients(twins, 0)
    assert twin.step() is None
    assert torch.is_grad_enabled()
    assert same(params, twins)


def test_parameters_keep_what_is_theirs(row: dict[str, Any]) -> None:
    """Storage, gradient, flags; and nobody's random numbers are drawn."""
    params, optimizer = build(row)
    pointers = [p.data_ptr() for p in params]
    drawn = torch.random.get_rng_state()
    train(params, optimizer, range(1))
    give_gradients(params, 1)
    gradients = [p.grad for p in params]
    before = [p.grad.clone() for p in params if p.grad is not None]
    optimizer.step()
    assert torch.equal(drawn, torch.random.get_rng_state())
    assert pointers == [p.data_ptr() for p in params]
    assert all(p.requires_grad and p.is_leaf for p in params)
    if row.get("refresh_from") != "previous":  # which frees them
        assert all(p.grad is g for p, g in zip(params, gradients, strict=True))
        assert same([g for g in gradients if g is not None], before)


@pytest.mark.parametrize("set_to_none", [True, False])
def test_zero_grad(row: dict[str, Any], set_to_none: bool) -> None:
    params, optimizer = build(row, weight_decay=0.0)
    train(params, optimizer, range(3))
    give_gradients(params, 3)
    optimizer.refresh()  # by which "previous" has projected and freed the gradients
    optimizer.zero_grad(set_to_none)
    for p in params:
        assert p.grad is None if set_to_none else p.grad is None or not p.grad.any()
    held, steps = values(params), [int(optimizer.state[p]["step"]) for p in params]
    optimizer.step()
    if set_to_none:
        assert same(params, held)
        assert steps == [int(optimizer.state[p]["step"]) for p in params]


def test_parameters_without_a_gradient_or_without_elements(row: dict[str, Any]) -> None:
    params, empty = parameters(), nn.Parameter(torch.zeros(0, 3))
    frozen = nn.Parameter(torch.ones(6, 4), requires_grad=False)
    optimizer = GaLoreAdamW([group([*params, empty, frozen], row)], lr=0.05)
    held = values(params)
    give_gradients(params, 0)
    params[0].grad, empty.grad = None, torch.zeros(0, 3)
    optimizer.step()
    optimizer.step()
    assert torch.equal(params[0], held[0])
    assert params[0] not in optimizer.state
    assert torch.equal(frozen, torch.ones(6, 4))
    assert not torch.equal(params[3], held[3])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_other_precisions(row: dict[str, Any], dtype: torch.dtype) -> None:
    params, optimizer = build(row, dtype)
    held = values(params)
    train(params, optimizer, range(3))
    assert {p.dtype for p in params} == {dtype}
    assert not any(torch.equal(a, b) for a, b in zip(params, held, strict=True))
    wide = torch.promote_types(dtype, torch.float32)
    assert {optimizer.state[p]["exp_avg"].dtype for p in params} == {wide}


def test_gradients_that_are_refused_move_nothing(row: dict[str, Any]) -> None:
    params, optimizer = build(row)
    train(params, optimizer, range(2))
    held = values(params)
    give_gradients(params, 2)
    params[1].grad = torch.ones(9, 4).to_sparse()
    with pytest.raises(ValueError, match="parameter 1 has layout torch.sparse_coo"):
        optimizer.step()
    params, optimizer = build(row, torch.complex64)
    held = values(params)
    give_gradients(params, 2)
    with pytest.raises(ValueError, match="parameter 0 has .*complex64"):
        optimizer.step()
    assert same(params, held)


# Hooks


@pytest.fixture
def seen() -> list[str]:
    return []


@pytest.fixture
def global_hooks(seen: list[str]) -> Iterator[None]:
    handles = [
        register_optimizer_step_pre_hook(lambda *_: seen.append("before all")),
        register_optimizer_step_post_hook(lambda *_: seen.append("after all")),
    ]
    yield
    for handle in handles:
        handle.remove()


@pytest.mark.usefixtures("global_hooks")
def test_hooks_around_a_step(row: dict[str, Any], seen: list[str]) -> None:
    params, optimizer = build(row)
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    last = optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    train(params, optimizer, range(1))
    assert sorted(seen[:2]) == ["before", "before all"]
    assert sorted(seen[2:]) == ["after", "after all"]
    last.remove()
    train(params, optimizer, range(1))
    assert seen.count("after") == 1


def test_hooks_around_a_state(row: dict[str, Any], seen: list[str]) -> None:
    params, optimizer = build(row)
    optimizer.register_state_dict_pre_hook(lambda _: seen.append("save"))
    optimizer.register_state_dict_post_hook(lambda _, saved: {**saved, "mine": 1})
    optimizer.register_load_state_dict_pre_hook(lambda _, saved: seen.append("load"))
    optimizer.register_load_state_dict_post_hook(lambda _: seen.append("loaded"))
    train(params, optimizer, range(1))
    saved = optimizer.state_dict()
    assert saved["mine"] == 1
    optimizer.load_state_dict(saved)
    assert seen == ["save", "load", "loaded"]


# Rates


SCHEDULES: dict[str, Callable[[Optimizer], Any]] = {
    "lambda": lambda o: lr_scheduler.LambdaLR(o, lambda step: 1 / (1 + step)),
    "steps": lambda o: lr_scheduler.StepLR(o, 2, gamma=0.1),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, 6),
    "one cycle": lambda o: lr_scheduler.OneCycleLR(o, max_lr=0.1, total_steps=8),
    "cyclic": lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.1, 2, cycle_momentum=True),
    "in turn": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, 0.1, 1.0, 3), lr_scheduler.ExponentialLR(o, 0.5)], [3]
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_is_followed(row: dict[str, Any], name: str) -> None:
    """Rates, and momentum where a schedule moves it, are those of torch's AdamW beside it."""
    params, optimizer = build(row)
    twins, twin = build(row)
    others = parameters()
    torchs = torch.optim.AdamW(others, lr=0.05)
    schedule, shadow = SCHEDULES[name](optimizer), SCHEDULES[name](torchs)
    for step in range(6):
        twin.param_groups[0]["lr"] = torchs.param_groups[0]["lr"]
        twin.param_groups[0]["betas"] = torchs.param_groups[0]["betas"]
        for some, one in ((params, optimizer), (twins, twin), (others, torchs)):
            train(some, one, range(step, step + 1))
        schedule.step()
        shadow.step()
    assert optimizer.param_groups[0]["lr"] == torchs.param_groups[0]["lr"]
    assert same(params, twins)
    if row is PLAIN:
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(params, others, strict=True))


def test_a_plateau_lowers_the_rate(row: dict[str, Any]) -> None:
    _, optimizer = build(row)
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=0)
    for _ in range(3):
        schedule.step(1.0)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05 * 0.01)


def test_a_rate_may_be_a_tensor(row: dict[str, Any]) -> None:
    params, optimizer = build(row, lr=torch.tensor(0.05, dtype=torch.float64))
    twins, twin = build(row)
    train(params, optimizer, range(3))
    train(twins, twin, range(3))
    assert same(params, twins)


# Scaled losses and clipping


def test_a_grad_scaler_of_two_changes_nothing(row: dict[str, Any]) -> None:
    params, optimizer = build(row)
    twins, twin = build(row)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8, growth_interval=100)
    for step in range(4):
        scaler.scale(torch.zeros(()))  # it learns its device from the loss
        give_gradients(params, step, factor=scaler.get_scale())
        scaler.step(optimizer)
        scaler.update()
    train(twins, twin, range(4))
    assert same(params, twins)


def test_a_grad_scaler_keeps_overflow_away(row: dict[str, Any]) -> None:
    params, optimizer = build(row)
    train(params, optimizer, range(2))
    held = values(params)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    scaler.scale(torch.zeros(()))
    give_gradients(params, 2)
    params[1].grad = torch.full_like(params[1], torch.inf)
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == 2.0**7
    assert same(params, held)
    assert optimizer.skipped_steps == 0


def test_clipping_by_torch(row: dict[str, Any]) -> None:
    params, optimizer = build(row)
    twins, twin = build(row)
    give_gradients(params, 0)
    norm = nn.utils.clip_grad_norm_(params, 0.5)
    optimizer.step()
    give_gradients(twins, 0, factor=float(0.5 / (norm + 1e-6)))
    twin.step()
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(params, twins, strict=True))
