"""Parameters in banks, as on a GPU: the same training as one by one; what a GPU is asked for."""

import io
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from benchmarks.optimizer.shapes import attention_shapes
from support.fake_cuda import FakeCuda, fake_cuda
from torch import Tensor, nn

from srft_galore import GaLoreAdamW, range_finder
from srft_galore import batches as batches_module
from srft_galore.basis.gram import leading_left, nearest_rotation

OPTIONS: list[dict[str, Any]] = [
    {},
    {"projector": "svd"},
    {"projector": "svd", "moments": "rotate", "side": "left"},
    {"projector": "gaussian", "oversample": 3, "power_iterations": 1, "moments": "reset"},
    {"start": "warm", "oversample": 2, "moments": "rotate", "stagger": True},
    {"projector": "identity", "scale": 0.5},
    {"projector": "srft_published", "sketch": "per_weight", "side": "right"},
    {"residual": "sign", "moments": "rotate"},
    {"residual": "sign", "moments": "reset", "side": "left", "scale": -0.5},
    {"residual": "sign", "start": "warm", "oversample": 2},
    {"refresh_from": "previous"},
    {"refresh_from": "previous", "start": "warm", "oversample": 2, "moments": "rotate"},
    {"refresh_from": "previous", "moments": "reset", "stagger": True},
]
SHAPES = [(12, 7), (12, 7), (7, 12), (6, 4, 3, 3), (12, 7), (5,), (3, 4), ()]
PLAIN = [(9,), (4, 2, 3, 3)]


@pytest.fixture
def in_banks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat the CPU as a GPU is treated."""
    monkeypatch.setattr(batches_module, "ONE_BY_ONE", ())


def randn(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def build(dtype: torch.dtype, **options: Any) -> tuple[list[nn.Parameter], GaLoreAdamW]:
    """A projected group, one of weights in three blocks, and a plain one."""
    shapes = [*SHAPES, (12, 7), *PLAIN]
    params = [nn.Parameter(randn(*s, seed=i, dtype=dtype)) for i, s in enumerate(shapes)]
    projection = {"rank": 3, "update_proj_gap": 3, **options}
    groups: list[dict[str, Any]] = [
        {"params": params[: len(SHAPES)], **projection},
        {"params": [params[len(SHAPES)]], **projection, "blocks": 3, "lr": 0.02},
        {"params": params[len(SHAPES) + 1 :], "weight_decay": 0.3},
    ]
    return params, GaLoreAdamW(groups, lr=0.01, weight_decay=0.1)


def train(params: list[nn.Parameter], optimizer: GaLoreAdamW, steps: range) -> None:
    """Gradients that are missing, zero, not finite or huge among them, clipped, and a schedule."""
    for step in steps:
        for i, parameter in enumerate(params):
            parameter.grad = randn(*parameter.shape, seed=100 * step + i).to(parameter)
        params[1].grad = None if step in (1, 6) else params[1].grad
        for number, spoilt in ((0, 2), (2, 5), (5, 4), (8, 3), (9, 3)):
            if step == spoilt:
                params[number].grad.view(-1)[0] = math.nan  # type: ignore[union-attr]
                params[number].grad.view(-1)[1] = 1e30  # type: ignore[union-attr]
        if step == 7:
            params[2].grad.zero_()  # type: ignore[union-attr]
        if step == 8:
            optimizer.clip_grad_norm_(0.5)
        optimizer.param_groups[0]["lr"] = 0.01 / (1 + step)
        optimizer.step()


def compare(a: GaLoreAdamW, b: GaLoreAdamW, tolerance: float) -> None:
    """Weights and states of both, parameter by parameter."""
    for group, other in zip(a.param_groups, b.param_groups, strict=True):
        for p, q in zip(group["params"], other["params"], strict=True):
            torch.testing.assert_close(p, q, rtol=tolerance, atol=tolerance)
            assert a.state[p].keys() == b.state[q].keys()
            for key, tensor in a.state[p].items():
                torch.testing.assert_close(tensor, b.state[q][key], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("options", OPTIONS)
def test_banks_train_as_one_by_one(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over refreshes, decay and steps that are skipped."""
    alone, reference = build(torch.float64, **options)
    banked, optimizer = build(torch.float64, **options)
    train(alone, reference, range(13))
    monkeypatch.setattr(batches_module, "ONE_BY_ONE", ())
    train(banked, optimizer, range(13))
    compare(reference, optimizer, 1e-10)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 5e-7), (torch.bfloat16, 2**-8)])
@pytest.mark.parametrize("refresh_from", ["current", "previous"])
def test_banks_of_other_dtypes(
    dtype: torch.dtype, tolerance: float, refresh_from: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A weight in bfloat16 is rounded once a step."""
    alone, reference = build(dtype, refresh_from=refresh_from)
    banked, optimizer = build(dtype, refresh_from=refresh_from)
    train(alone, reference, range(6))
    monkeypatch.setattr(batches_module, "ONE_BY_ONE", ())
    train(banked, optimizer, range(6))
    for p, q in zip(alone, banked, strict=True):
        torch.testing.assert_close(p, q, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("options", [{}, {"refresh_from": "previous", "moments": "reset"}])
def test_a_saved_state_goes_over_both_ways(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def saved(optimizer: GaLoreAdamW) -> Any:
        file = io.BytesIO()
        torch.save(optimizer.state_dict(), file)
        file.seek(0)
        return torch.load(file, weights_only=True)  # noqa: TID251

    whole, reference = build(torch.float64, **options)
    train(whole, reference, range(12))
    half, first = build(torch.float64, **options)
    train(half, first, range(5))
    plain = saved(first)
    monkeypatch.setattr(batches_module, "ONE_BY_ONE", ())
    resumed, second = build(torch.float64, **options)
    train(resumed, second, range(1))  # a bank that the loaded state replaces
    second.load_state_dict(plain)
    with torch.no_grad():
        for p, q in zip(resumed, half, strict=True):
            p.copy_(q)
    train(resumed, second, range(5, 9))
    banked = saved(second)
    for index, state in plain["state"].items():
        for key, tensor in state.items():
            other = banked["state"][index][key]
            assert (other.shape, other.dtype) == (tensor.shape, tensor.dtype)
            assert other.untyped_storage().nbytes() == other.nbytes
    monkeypatch.undo()
    again, third = build(torch.float64, **options)
    third.load_state_dict(banked)
    with torch.no_grad():
        for p, q in zip(again, resumed, strict=True):
            p.copy_(q)
    train(again, third, range(9, 12))
    compare(reference, third, 1e-10)


@pytest.mark.usefixtures("in_banks")
def test_a_state_that_others_write_is_taken() -> None:
    """In place, by other tensors, and by ranks that join."""
    params, optimizer = build(torch.float64)
    twins, other = build(torch.float64)
    train(params, optimizer, range(4))
    train(twins, other, range(2))
    sent = [t for p in params for _, t in sorted(optimizer.state[p].items())]

    def broadcast(tensors: list[Tensor]) -> None:
        for tensor, value in zip(tensors, sent, strict=True):
            tensor.copy_(value)

    other.share_state(broadcast)
    other.state[twins[3]] = {k: t.clone() for k, t in optimizer.state[params[3]].items()}
    with torch.no_grad():
        for p, q in zip(twins, params, strict=True):
            p.copy_(q)
    train(params, optimizer, range(4, 8))
    train(twins, other, range(4, 8))
    compare(optimizer, other, 0.0)


# --- what a GPU is asked for ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def cuda() -> Iterator[FakeCuda]:
    with fake_cuda() as device:
        yield device


WEIGHTS = list(attention_shapes().values())
HEAD = [(256,)] * 30 + [(256, 256, 3, 1)] * 12 + [(256, 256, 3, 3)] * 5 + [(768, 256)] * 5
"""Of `paper`, as many and about as large."""


TWINS = list(dict.fromkeys(WEIGHTS)) * 2
"""Two of each shape: a batch costs as many operators as one of thirty."""


def on_gpu(
    weights: list[tuple[int, int]], **options: Any
) -> tuple[list[nn.Parameter], GaLoreAdamW]:
    params = [nn.Parameter(torch.empty(s, device="cuda")) for s in (*weights, *HEAD)]
    count, adam = len(weights), {"lr": options.pop("lr", 5e-5)}
    group = {"rank": 128, "side": "left", "update_proj_gap": 50, **options}
    return params, GaLoreAdamW(
        [{"params": params[:count], **group}, {"params": params[count:]}], **adam
    )


def give(params: list[nn.Parameter]) -> None:
    for parameter in params:
        parameter.grad = torch.empty_like(parameter)


@pytest.mark.parametrize(("residual", "most"), [("drop", 100), ("sign", 350)])
def test_a_step_is_few_operators_and_no_wait(residual: str, most: int, cuda: FakeCuda) -> None:
    """A GaLore step of 148 parameters; with torch's AdamW it takes 2, one by one 590."""
    params, optimizer = on_gpu(WEIGHTS, residual=residual)
    give(params)
    optimizer.step()
    with cuda.counting() as counts:
        optimizer.refresh()
        optimizer.step()
    assert counts.total <= most
    assert not counts.waits
    assert not counts.copies
    optimizer.param_groups[0]["lr"] = 1e-5  # a schedule's: sent, and not waited for
    with cuda.counting() as counts:
        optimizer.step()
    assert not counts.waits
    assert counts.copies.total() == 1


@pytest.mark.parametrize(
    ("options", "most"),
    [
        ({"projector": "svd"}, 400),
        ({}, 450),
        ({"oversample": 8, "power_iterations": 1}, 900),
        ({"start": "warm", "oversample": 8, "moments": "rotate"}, 1550),
    ],
)
def test_a_refresh_waits_twice(options: dict[str, Any], most: int, cuda: FakeCuda) -> None:
    """For step counts, and whether gradients can be used; no operator loops over a batch."""
    params, optimizer = on_gpu(TWINS, **options)
    give(params)
    optimizer.step()
    optimizer.param_groups[0]["update_proj_gap"] = 1
    give(params)
    with cuda.counting() as counts:
        optimizer.refresh()
    assert counts.total <= most
    assert counts.waits.total() <= 2
    assert counts.copies.total() <= 8
    assert not {"_linalg_svd", "linalg_qr"} & counts.calls.keys()


@pytest.mark.parametrize("options", [{}, {"start": "warm", "oversample": 8}])
def test_freed_gradients_share_what_a_step_needs_once(
    options: dict[str, Any], cuda: FakeCuda
) -> None:
    params, optimizer = on_gpu(TWINS, refresh_from="previous", **options)
    optimizer.attach(nn.ParameterList(params))

    def backward() -> None:
        for parameter in params:
            parameter.grad = torch.empty_like(parameter)
            for hook in (getattr(parameter, "_post_accumulate_grad_hooks", None) or {}).values():
                hook(parameter)

    for _ in range(2):
        backward()
        optimizer.step()
    optimizer.param_groups[0]["update_proj_gap"] = 1
    with cuda.counting() as first:
        backward()
    with cuda.counting() as second:
        backward()
    with cuda.counting() as step:
        optimizer.step()
    factors = "linalg_cholesky_ex"
    shapes = len(TWINS) // 2
    assert first.calls[factors] == (3 * shapes if options else 0)
    assert second.calls[factors] == 0
    assert first.copies.total() + second.copies.total() + step.copies.total() <= 15
    assert first.waits.total() + second.waits.total() + step.waits.total() <= 5


def test_a_cuda_graph_holds_a_step(cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read or sent while one is captured; its replays are not counted by the host, which
    therefore asks the device whenever bases may be due."""
    params, optimizer = on_gpu(TWINS, lr=torch.tensor(1e-4).to("cuda"))
    give(params)
    optimizer.step()
    optimizer.refresh()
    with monkeypatch.context() as patch, cuda.counting() as counts:
        patch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
        optimizer.step()
        assert not counts.waits
        assert not counts.copies
        optimizer.param_groups[1]["weight_decay"] = 0.5
        with pytest.raises(RuntimeError, match="make a step like it first"):
            optimizer.step()
        optimizer.param_groups[0]["update_proj_gap"] = 1
        with pytest.raises(RuntimeError, match="call refresh\\(\\) first"):
            optimizer.step()
    optimizer.param_groups[0]["update_proj_gap"] = 50
    for _ in range(2):
        with cuda.counting() as counts:
            optimizer.refresh()
        assert counts.waits.total() == 1


def test_every_projector_runs_on_a_gpu(cuda: FakeCuda) -> None:
    for options in OPTIONS:
        params = [nn.Parameter(torch.empty(s, device="cuda")) for s in ((12, 8), (8, 12), (8,))]
        optimizer = GaLoreAdamW([{"params": params, "rank": 3, "update_proj_gap": 1, **options}])
        for _ in range(3):
            give(params)
            optimizer.step()


# --- the exact SVD where there is no fast one -----------------------------------------------------


@pytest.mark.parametrize("shape", [(2, 30, 90), (90, 30), (40, 40)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_gram_matrix_gives_the_singular_vectors(
    shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    G = randn(*shape, seed=1, dtype=dtype)
    exact = range_finder(G, 6, projector="svd")
    found = leading_left(G, 6)
    torch.testing.assert_close((exact * found).sum(-2).abs(), torch.ones_like(found[..., 0, :]))
    torch.testing.assert_close(
        found.mT @ found, torch.eye(6, dtype=dtype).expand(*shape[:-2], 6, 6)
    )


@pytest.mark.parametrize("shape", [(30, 90), (90, 30)])
def test_a_gram_matrix_of_few_directions_gives_them_and_others(shape: tuple[int, ...]) -> None:
    G = randn(shape[0], 2, seed=1) @ randn(2, shape[1], seed=2)
    for matrix in (G, 0 * G):
        Q = leading_left(matrix, 5)
        torch.testing.assert_close(Q.mT @ Q, torch.eye(5, dtype=Q.dtype))
        torch.testing.assert_close(Q @ (Q.mT @ matrix), matrix, rtol=0, atol=1e-5)


def test_the_nearest_rotation_is_that_of_the_svd() -> None:
    A = randn(3, 8, 8, seed=3)
    U, _, Vh = torch.linalg.svd(A)
    torch.testing.assert_close(nearest_rotation(A), U @ Vh, rtol=0, atol=1e-6)


def test_a_weight_that_leaves_its_bank_is_refreshed_on_time(
    in_banks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its steps are still counted in the bank's tensors."""

    def trained(leaves: bool) -> list[tuple[int, int]]:
        weights = [nn.Parameter(torch.ones(12, 7, dtype=torch.bfloat16)) for _ in range(2)]
        groups = [{"params": [w], "rank": 3, "update_proj_gap": 4} for w in weights]
        optimizer = GaLoreAdamW(groups, lr=0.01)
        for step in range(12):
            if step == 2 and leaves:
                optimizer.param_groups[0]["rounding"] = "stochastic"
            for i, w in enumerate(weights):
                w.grad = randn(12, 7, seed=10 * step + i, dtype=torch.bfloat16)
            optimizer.step()
        states = [optimizer.state[w] for w in weights]
        return [(int(state["step"]), int(state["refreshes"])) for state in states]

    assert trained(True) == trained(False) == [(12, 3), (12, 3)]


def test_moments_that_are_reset_are_in_no_cuda_graph(
    in_banks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replay would not know of the reset."""
    params, optimizer = build(torch.float32, moments="reset")
    train(params, optimizer, range(1))
    monkeypatch.setattr("srft_galore.update.rates.is_captured", lambda device: True)
    with pytest.raises(RuntimeError, match="moments='reset'.*choose 'keep' or 'rotate'"):
        train(params, optimizer, range(1, 2))
