"""Gradients that are projected and freed: refresh_from="previous", plain, attached, accumulated."""

import copy
import gc
import io
import math
import weakref
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from srft_galore import GaLoreAdamW

BATCH = 12


def network(dtype: torch.dtype = torch.float64) -> Any:
    """A convolution, a fused weight of three blocks, and vectors; nothing random in the forward."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1), nn.GELU(), nn.Flatten(), nn.Linear(6 * 9, 12), nn.GELU(),
        nn.LayerNorm(12), nn.Linear(12, 5),
    ).to(dtype)  # fmt: skip


def batch(step: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(step + 1)
    x = torch.randn(BATCH, 2, 3, 3, generator=generator, dtype=torch.float64)
    y = torch.randn(BATCH, 5, generator=generator, dtype=torch.float64)
    return x.to(dtype), y.to(dtype)


def released(model: nn.Module, **options: Any) -> GaLoreAdamW:
    """Two projected groups (one of three blocks) and a plain one."""
    adam = {k: options.pop(k) for k in ("lr", "eps") if k in options}
    weights = {"rank": 3, "update_proj_gap": 3, "refresh_from": "previous", **options}
    named = dict(model.named_parameters())
    groups = [
        {"params": [named["0.weight"], named["0.bias"], named["6.weight"]], **weights},
        {"params": [named["3.weight"]], **weights, "blocks": 3},
        {"params": [named["3.bias"], named["5.weight"], named["5.bias"], named["6.bias"]]},
    ]
    defaults: dict[str, Any] = {"lr": 0.01, "eps": 1e-6, "weight_decay": 0.1}
    return GaLoreAdamW(groups, **(defaults | adam))


def backward(model: nn.Module, step: int, parts: int = 1, scaler: Any = None) -> float:
    x, y = batch(step, next(model.parameters()).dtype)
    total = 0.0
    for x_part, y_part in zip(x.chunk(parts), y.chunk(parts), strict=True):
        loss = (model(x_part) - y_part).square().mean() / parts
        (loss if scaler is None else scaler.scale(loss)).backward()
        total += float(loss.detach())
    return total


def weights(model: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def fit(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    steps: Sequence[int],
    *,
    parts: int = 1,
    max_norm: float | None = None,
) -> list[float]:
    losses = []
    for step in steps:
        optimizer.zero_grad()
        losses.append(backward(model, step, parts))
        if max_norm is not None:
            if isinstance(optimizer, GaLoreAdamW):
                optimizer.clip_grad_norm_(max_norm)
            else:
                nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        optimizer.step()
    return losses


def close(a: Sequence[Tensor], b: Sequence[Tensor], atol: float = 1e-10) -> None:
    for x, y in zip(a, b, strict=True):
        torch.testing.assert_close(x, y, rtol=0, atol=atol)


OPTIONS: list[dict[str, Any]] = [
    {},
    {"projector": "gaussian", "oversample": 3},
    {"start": "warm", "oversample": 2, "moments": "rotate"},
    {"start": "warm", "oversample": 4, "moments": "reset", "stagger": True},
    {"update_proj_gap": 1, "side": "input"},
    {"side": "left", "stagger": True},
    {"projector": "identity"},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("max_norm", [None, 0.05])
def test_attached_equals_plain(options: dict[str, Any], parts: int, max_norm: float | None) -> None:
    """Trap "layerwise hook steps per microbatch": k microbatches are one batch, one Adam step."""
    plain, hooked = network(), network()
    a, b = released(plain, **options), released(hooked, **options)
    b.attach(hooked)
    fit(plain, a, range(11), max_norm=max_norm)
    fit(hooked, b, range(11), parts=parts, max_norm=max_norm)
    close(weights(plain), weights(hooked))
    for p, q in zip(plain.parameters(), hooked.parameters(), strict=True):
        assert int(a.state[p]["step"]) == int(b.state[q]["step"]) > 9
        close(list(a.state[p].values()), list(b.state[q].values()))


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("attached", [False, True])
@pytest.mark.parametrize("max_norm", [None, 0.05])
def test_identity_equals_torch_adamw(parts: int, attached: bool, max_norm: float | None) -> None:
    ours, theirs = network(), network()
    optimizer = released(ours, projector="identity")
    if attached:
        optimizer.attach(ours)
    fit(ours, optimizer, range(12), parts=parts, max_norm=max_norm)
    reference = torch.optim.AdamW(theirs.parameters(), lr=0.01, eps=1e-6, weight_decay=0.1)
    fit(theirs, reference, range(12), max_norm=max_norm)
    close(weights(ours), weights(theirs))


def test_clip_returns_the_norm_of_torch_for_identity() -> None:
    ours, theirs = network(), network()
    optimizer = released(ours, projector="identity")
    backward(ours, 0)
    backward(theirs, 0)
    expected = nn.utils.clip_grad_norm_(theirs.parameters(), 0.05)
    assert float(optimizer.clip_grad_norm_(0.05)) == pytest.approx(float(expected), rel=1e-12)
    assert float(optimizer.clip_grad_norm_(0.05)) == pytest.approx(0.05, rel=1e-4)
    assert float(GaLoreAdamW(network().parameters()).clip_grad_norm_(1.0)) == 0.0


def test_clipping_sees_the_projected_norm() -> None:
    model = nn.Linear(9, 7, bias=False, dtype=torch.float64)
    group = {"params": [model.weight], "rank": 2, "projector": "svd"}
    optimizer = GaLoreAdamW([group])
    G = torch.randn(7, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    model.weight.grad = G.clone()
    norm = torch.linalg.svdvals(G)[:2].square().sum().sqrt()
    assert float(optimizer.clip_grad_norm_(0.1)) == pytest.approx(float(norm), rel=1e-9)


def test_the_basis_of_a_step_comes_from_the_gradient_before() -> None:
    """The first step has none: projected weights stay, plain ones move."""
    model = network()
    optimizer = released(model, update_proj_gap=1)
    W, bias = model[6].weight, model[6].bias
    before = weights(model)
    fit(model, optimizer, [0])
    named = [name for name, _ in model.named_parameters()]
    moved = {n for n, a, b in zip(named, before, weights(model), strict=True) if (a != b).any()}
    assert moved == {"0.bias", "3.bias", "5.weight", "5.bias", "6.bias"}
    assert int(optimizer.state[W]["step"]) == 0
    assert int(optimizer.state[bias]["step"]) == 1
    assert int(optimizer.state[W]["refreshes"]) == 1

    optimizer.zero_grad()
    basis = optimizer.state[W]["basis"].clone()
    backward(model, 1)
    G, held = W.grad.clone(), W.detach().clone()
    optimizer.step()
    change = (W.detach() - 0.999 * held).mT if G.shape[0] < G.shape[1] else W.detach()
    # 5 x 12: a left basis; the update lies in its span, not in that of the basis found now
    left = change.mT
    torch.testing.assert_close(basis @ (basis.mT @ left), left, rtol=0, atol=1e-12)
    new = optimizer.state[W]["basis"]
    assert not torch.allclose(new @ new.mT, basis @ basis.mT)
    inside = (new @ (new.mT @ G)).square().sum() / G.square().sum()
    assert float(inside) > 0.9
    first = (W.detach() - 0.999 * held) / -0.01
    R = basis.mT @ G
    torch.testing.assert_close(first, basis @ (R / (R.abs() + 1e-6)), rtol=0, atol=1e-6)


def test_gradients_are_gone_during_the_backward_pass() -> None:
    """Trap "full-size buffer hidden in p.grad"."""
    model = network()
    optimizer = released(model)
    handle = optimizer.attach(model)
    projected = [model[0].weight, model[3].weight, model[6].weight]
    seen: list[bool] = []
    # The first layer's bias comes last: by then all weights after it are done.
    model[0].bias.register_post_accumulate_grad_hook(
        lambda _: seen.append(all(w.grad is None for w in projected[1:]))
    )
    for step in range(4):
        backward(model, step, parts=2)
        assert all(w.grad is None for w in projected)
        assert model[6].bias.grad is not None
        optimizer.step()
        optimizer.zero_grad()
        assert all(p.grad is None for p in model.parameters())
    assert seen == [True] * 8
    largest = max(t.numel() for w in projected for t in optimizer.state[w].values())
    assert largest < max(w.numel() for w in projected)
    handle.remove()
    backward(model, 5)
    assert all(w.grad is not None for w in projected)


def test_detaching_in_the_middle_changes_nothing() -> None:
    plain, hooked = network(), network()
    a, b = released(plain), released(hooked)
    handle = b.attach(hooked)
    fit(plain, a, range(3))
    fit(hooked, b, range(3))
    for model in (plain, hooked):
        backward(model, 3)
    handle.remove()
    for model, optimizer in ((plain, a), (hooked, b)):
        backward(model, 4)
        optimizer.step()
    close(weights(plain), weights(hooked))
    again = b.attach(hooked)
    fit(plain, a, range(5, 9))
    fit(hooked, b, range(5, 9), parts=2)
    close(weights(plain), weights(hooked))
    again.remove()


def test_zero_grad_drops_what_is_pending() -> None:
    plain, hooked = network(), network()
    a, b = released(plain), released(hooked)
    b.attach(hooked)
    for step in range(6):
        backward(hooked, 100 + step)
        if step % 2:
            b.clip_grad_norm_(1.0)
        for model, optimizer in ((plain, a), (hooked, b)):
            optimizer.zero_grad(set_to_none=bool(step % 3))
            backward(model, step)
            optimizer.step()
    close(weights(plain), weights(hooked))


def test_frozen_weights_and_models_of_others() -> None:
    model = network()
    optimizer = released(model)
    with pytest.raises(ValueError, match="none of the projected parameters"):
        optimizer.attach(network())
    with pytest.raises(ValueError, match="refresh_from='current'.*Set refresh_from='previous'"):
        released(model, refresh_from="current").attach(model)
    model[3].weight.requires_grad_(False)
    optimizer.attach(model)
    held = model[3].weight.detach().clone()
    fit(model, optimizer, range(4))
    assert torch.equal(model[3].weight, held)


def test_attaching_makes_no_state() -> None:
    model = network()
    optimizer = released(model)
    optimizer.attach(model)
    assert optimizer.state_bytes() == 0
    backward(model, 0)  # what is freed needs one
    assert {p for p, state in optimizer.state.items() if state} == {
        p for p in model.parameters() if p.dim() > 1
    }


def test_gradients_that_were_freed_for_another_strategy_are_refused() -> None:
    model = network()
    optimizer = released(model)
    handle = optimizer.attach(model)
    backward(model, 0)
    optimizer.step()
    backward(model, 1)
    before = copy.deepcopy(model.state_dict())
    optimizer.param_groups[1]["refresh_from"] = "current"
    with pytest.raises(ValueError, match=r"parameter 3 was freed.*remove\(\)"):
        optimizer.step()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    handle.remove()
    optimizer.zero_grad()
    backward(model, 1)
    optimizer.step()


def test_attaching_twice_is_refused() -> None:
    model = network()
    optimizer = released(model)
    handle = optimizer.attach(model[0])
    with pytest.raises(ValueError, match=r"Of 3 projected parameters of the model 1 are attached"):
        optimizer.attach(model)
    with pytest.raises(ValueError, match=r"Of 3 .* 1 are attached to another optimizer"):
        released(model).attach(model)
    handle.remove()
    optimizer.attach(model)
    fit(model, optimizer, range(2))


@pytest.mark.parametrize("attached", [False, True])
@pytest.mark.parametrize("keeps_handle", [False, True])
def test_an_optimizer_that_is_let_go_takes_its_hooks_along(
    attached: bool, keeps_handle: bool
) -> None:
    """Without the garbage collector, which may come much later."""
    model, same = network(), network()
    optimizer = released(model)
    handles = [optimizer.attach(model)]
    fit(model, optimizer, range(2))
    fit(same, released(same), range(2))
    gc.disable()
    try:
        if not keeps_handle:
            handles.clear()
        gone = weakref.ref(optimizer)
        del optimizer
        assert gone() is None
        following = released(model)
        if attached:
            following.attach(model)
        fit(model, following, range(2, 5))
    finally:
        gc.enable()
    fit(same, released(same), range(2, 5))
    close(weights(model), weights(same))


def test_an_optimizer_that_its_scheduler_holds_is_let_go_too() -> None:
    model = network()
    optimizer = released(model)
    optimizer.attach(model)
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer)  # each holds the other
    del optimizer, scheduler
    following = released(model)
    following.attach(model)
    before = weights(model)
    fit(model, following, range(2))
    assert not torch.equal(weights(model)[0], before[0])


@pytest.mark.parametrize("refresh_from", ["current", "previous"])
def test_a_nan_at_the_first_step_spoils_what_is_clipped(refresh_from: str) -> None:
    model = network()
    optimizer = released(model, refresh_from=refresh_from)
    backward(model, 0)
    model[3].weight.grad[0, 0] = math.nan
    before = weights(model)
    optimizer.clip_grad_norm_(1.0)
    optimizer.step()
    moved = [not torch.equal(a, b) for a, b in zip(before, weights(model), strict=True)]
    assert not any(moved) or refresh_from == "previous"  # whose sketches are in no norm


def test_groups_are_looked_at_before_a_gradient_is_freed() -> None:
    model = network()
    optimizer = released(model)
    optimizer.attach(model)
    fit(model, optimizer, range(2))
    optimizer.param_groups[0]["update_proj_gap"] = 0
    with pytest.raises(ValueError, match="update_proj_gap=0 is not allowed"):
        backward(model, 2)
    optimizer.param_groups[0]["update_proj_gap"] = 3
    optimizer.zero_grad()
    optimizer.param_groups[1]["params"].clear()
    with pytest.raises(ValueError, match="was taken out of the groups"):
        fit(model, optimizer, range(2, 4))


@pytest.mark.parametrize("later", [False, True])
def test_gradients_that_another_optimizer_freed_are_missed(later: bool) -> None:
    model = network()
    first, second = released(model), released(model)
    handle = first.attach(model)
    if later:
        fit(model, first, range(2))
    backward(model, 2)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(RuntimeError, match=r"of 3 projected .* another optimizer.*remove\(\)"):
        second.step()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    handle.remove()
    first.zero_grad()
    fit(model, second, range(3))


@pytest.mark.parametrize("stop", [3, 4, 5])
@pytest.mark.parametrize("options", [{}, {"start": "warm", "oversample": 2, "stagger": True}])
def test_resume_between_refreshes_is_bit_exact_while_attached(
    stop: int, options: dict[str, Any]
) -> None:
    """Trap "resume loses basis or step". Attached before the state is loaded, as loops do."""
    whole = network(torch.float32)
    optimizer = released(whole, **options)
    optimizer.attach(whole)
    fit(whole, optimizer, range(stop), parts=2)
    file = io.BytesIO()
    torch.save([optimizer.state_dict(), whole.state_dict()], file)
    fit(whole, optimizer, range(stop, 12), parts=2)

    file.seek(0)
    saved, saved_model = torch.load(file, weights_only=True)  # noqa: TID251
    part = network(torch.float32)
    part.load_state_dict(saved_model)
    resumed = released(part, **options)
    resumed.attach(part)
    resumed.load_state_dict(saved)
    fit(part, resumed, range(stop, 12), parts=2)
    for a, b in zip(weights(whole), weights(part), strict=True):
        assert torch.equal(a, b)


def test_loading_options_of_another_pace_while_attached() -> None:
    """A loaded state brings its gap and staggering with it."""
    plain, hooked = network(), network()
    donor = released(network(), stagger=True, update_proj_gap=5)
    a, b = released(plain), released(hooked)
    b.attach(hooked)
    a.load_state_dict(donor.state_dict())
    b.load_state_dict(donor.state_dict())
    fit(plain, a, range(12))
    fit(hooked, b, range(12))
    close(weights(plain), weights(hooked))


def test_a_copy_of_an_attached_optimizer_goes_on_by_itself() -> None:
    model = network()
    optimizer = released(model)
    optimizer.attach(model)
    fit(model, optimizer, range(4))
    twin_model, twin = copy.deepcopy((model, optimizer))
    fit(model, optimizer, range(4, 9))
    fit(twin_model, twin, range(4, 9))
    close(weights(model), weights(twin_model))


# --- gradients that cannot be used ----------------------------------------------------------------


@pytest.mark.parametrize("attached", [False, True])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("when", [0, 2, 4])
def test_non_finite_gradient_skips_its_parameter_alone(
    attached: bool, bad: float, when: int
) -> None:
    """The basis due next included; the others are not held up. Step 0 has no basis yet."""
    model, clean = network(), network()
    optimizer, reference = released(model), released(clean)
    if attached:
        optimizer.attach(model)
    fit(model, optimizer, range(when))
    fit(clean, reference, range(when))
    W = model[6].weight
    held = {k: t.clone() for k, t in optimizer.state[W].items()}
    before = W.detach().clone()

    optimizer.zero_grad()
    spoil = W.register_hook(lambda G: G.clone().index_fill_(1, torch.tensor([2]), bad))
    backward(model, when)
    spoil.remove()
    optimizer.step()
    fit(clean, reference, [when])
    assert torch.equal(W, before)
    for key, tensor in optimizer.state[W].items():
        if key == "skipped":
            assert int(tensor) == 1
            assert tensor.device == W.device
        elif held:
            assert torch.equal(tensor, held[key])
    for p, q in zip(model.parameters(), clean.parameters(), strict=True):
        if p is not W:
            assert torch.equal(p, q)
            assert int(optimizer.state[p]["skipped"]) == 0
    fit(model, optimizer, range(when + 1, when + 4))
    assert not torch.equal(W, before)
    assert torch.isfinite(W).all()


@pytest.mark.parametrize("attached", [False, True])
def test_first_gradient_zero_and_a_zero_between(attached: bool) -> None:
    model = nn.Linear(9, 7, bias=False, dtype=torch.float64)
    group = {"params": [model.weight], "rank": 2, "refresh_from": "previous", "update_proj_gap": 2}
    optimizer = GaLoreAdamW([group], lr=0.1, weight_decay=0.0)
    if attached:
        optimizer.attach(model)
    state = optimizer.state[model.weight]
    before = model.weight.detach().clone()

    def step(factor: float) -> None:
        optimizer.zero_grad()
        x = torch.randn(4, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
        (model(x).square().sum() * factor).backward()
        optimizer.step()

    step(0.0)
    assert torch.equal(model.weight, before)
    assert int(optimizer.state[model.weight]["refreshes"]) == 0
    step(1.0)
    state = optimizer.state[model.weight]
    assert int(state["refreshes"]) == 1
    assert torch.equal(model.weight, before)
    basis = state["basis"].clone()
    for _ in range(3):
        step(0.0)  # a basis is due in between and stays
    assert torch.equal(state["basis"], basis)
    step(1.0)
    assert int(state["refreshes"]) == 2
    assert torch.isfinite(model.weight).all()


# --- schedulers and loss scaling ------------------------------------------------------------------


def test_schedulers_set_the_pace_of_an_attached_optimizer() -> None:
    plain, hooked = network(), network()
    a, b = released(plain), released(hooked)
    b.attach(hooked)
    schedulers = [
        torch.optim.lr_scheduler.SequentialLR(
            optimizer,
            [
                torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=3),
                torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 9),
            ],
            milestones=[3],
        )
        for optimizer in (a, b)
    ]
    fixed = network()
    fit(fixed, released(fixed), range(12))
    for step in range(12):
        fit(plain, a, [step])
        fit(hooked, b, [step], parts=3)
        for scheduler in schedulers:
            scheduler.step()
    close(weights(plain), weights(hooked))
    assert not torch.allclose(weights(plain)[0], weights(fixed)[0])


def scaled_step(
    model: nn.Module, optimizer: GaLoreAdamW, scaler: Any, step: int, *, clip: bool = False
) -> None:
    optimizer.zero_grad()
    backward(model, step, parts=2, scaler=scaler)
    if clip:
        scaler.unscale_(optimizer)
        optimizer.clip_grad_norm_(0.05)
    scaler.step(optimizer)
    scaler.update()


@pytest.mark.parametrize("attached", [False, True])
@pytest.mark.parametrize("clip", [False, True])
def test_loss_scaling_changes_nothing(attached: bool, clip: bool) -> None:
    plain, scaled = network(), network()
    a, b = released(plain), released(scaled)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=3)
    if attached:
        b.attach(scaled, scaler)
    fit(plain, a, range(9), max_norm=0.05 if clip else None)
    for step in range(9):
        scaled_step(scaled, b, scaler, step, clip=clip)
    assert scaler.get_scale() == 2.0**13
    close(weights(plain), weights(scaled))


@pytest.mark.parametrize("attached", [False, True])
@pytest.mark.parametrize("when", [0, 3])
@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize("clip", [False, True])
def test_overflow_in_a_projected_weight_alone(
    attached: bool, when: int, part: int, clip: bool
) -> None:
    """The scale falls and nothing moves; from the first step on, where there is no basis yet."""
    model = network()
    optimizer = released(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    if attached:
        optimizer.attach(model, scaler)
    for step in range(when):
        scaled_step(model, optimizer, scaler, step, clip=clip)
    before = weights(model)
    calls = []

    def overflow(G: Tensor) -> Tensor:
        calls.append(1)
        return torch.full_like(G, math.inf) if len(calls) == part + 1 else G

    hook = model[6].weight.register_hook(overflow)
    scaled_step(model, optimizer, scaler, when, clip=clip)
    hook.remove()
    assert len(calls) == 2
    assert scaler.get_scale() == 2.0**9
    for a, b in zip(before, weights(model), strict=True):
        assert torch.equal(a, b)
    for step in range(when + 1, when + 4):
        scaled_step(model, optimizer, scaler, step, clip=clip)
    assert scaler.get_scale() == 2.0**9
    assert all(not torch.equal(a, b) for a, b in zip(before, weights(model), strict=True))
    assert all(torch.isfinite(w).all() for w in weights(model))


def test_loss_scaling_learns_of_overflow_after_a_reduction() -> None:
    """`reduce` comes before `unscale_`, as a data-parallel wrapper's does."""
    model = network()
    optimizer = released(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    optimizer.attach(model, scaler)

    def step(number: int) -> None:
        optimizer.zero_grad()
        backward(model, number, scaler=scaler)
        optimizer.reduce(lambda tensors: None, lambda tensors, source: None, rank=0, world=1)
        scaler.step(optimizer)
        scaler.update()

    for number in range(3):
        step(number)
    before = weights(model)
    hook = model[6].weight.register_hook(lambda G: torch.full_like(G, math.inf))
    step(3)
    hook.remove()
    assert scaler.get_scale() == 2.0**9
    for a, b in zip(before, weights(model), strict=True):
        assert torch.equal(a, b)


# --- any shape ------------------------------------------------------------------------------------


@given(
    rows=st.integers(1, 9),
    cols=st.integers(1, 9),
    blocks=st.integers(1, 3),
    rank=st.integers(1, 11),
    side=st.sampled_from(("short", "left", "right", "input")),
    start=st.sampled_from(("cold", "warm")),
    moments=st.sampled_from(("keep", "rotate", "reset")),
    projector=st.sampled_from(("srft", "gaussian")),
    parts=st.integers(1, 4),
    gap=st.integers(1, 4),
    stagger=st.booleans(),
)
@settings(max_examples=50, deadline=None)
def test_parts_of_a_gradient_are_its_sum(
    rows: int,
    cols: int,
    blocks: int,
    rank: int,
    side: str,
    start: str,
    moments: str,
    projector: str,
    parts: int,
    gap: int,
    stagger: bool,
) -> None:
    rows = max(rows, 2) * blocks if blocks > 1 else rows
    options: dict[str, Any] = {
        "rank": rank, "side": side, "start": start, "moments": moments, "projector": projector,
        "blocks": blocks, "update_proj_gap": gap, "stagger": stagger, "oversample": 2,
        "refresh_from": "previous",
    }  # fmt: skip
    shapes = [(rows, cols), (rows, cols, 2), (3,)]
    generator = torch.Generator().manual_seed(rows * 100 + cols)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    start_weights = [draw(*shape) for shape in shapes]
    whole, split = (nn.ParameterList([w.clone() for w in start_weights]) for _ in range(2))
    a, b = (GaLoreAdamW([{"params": list(m), **options}], lr=0.05) for m in (whole, split))
    if any(int(p.dim()) > 1 and min(p.shape[0], p[0].numel()) > 1 for p in split):
        b.attach(split)
    for _ in range(6):
        gradients = [[draw(*shape) for shape in shapes] for _ in range(parts)]
        for p, G in zip(whole, map(sum, zip(*gradients, strict=True)), strict=True):
            p.grad = G
        for part in gradients:
            torch.stack([(p * g).sum() for p, g in zip(split, part, strict=True)]).sum().backward()
        a.step()
        b.step()
        b.zero_grad()
    close(list(whole), list(split), atol=1e-7)
