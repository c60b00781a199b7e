"""Faults of published low-rank optimizers, each of which this one must not have."""

import copy
import io
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from srft_galore import GaLoreAdamW, range_finder
from srft_galore import batches as batches_module
from srft_galore.state import new_state, plan

PROJECTORS = ("srft", "svd", "gaussian", "identity", "srft_published")
SHAPES = [(12, 7), (7, 12), (8, 4, 3, 3), (2, 16, 8), (5, 3, 2, 2, 2), (16,), (), (1, 8), (0, 4)]


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def parameters(dtype: torch.dtype = torch.float32) -> list[nn.Parameter]:
    return [nn.Parameter(randn(*s, seed=i, dtype=dtype)) for i, s in enumerate(SHAPES)]


def build(params: list[nn.Parameter], **options: Any) -> GaLoreAdamW:
    return GaLoreAdamW([{"params": params, "rank": 3, "update_proj_gap": 3, **options}], lr=0.01)


def train(optimizer: GaLoreAdamW, steps: range) -> None:
    params = [p for group in optimizer.param_groups for p in group["params"]]
    for step in steps:
        for i, p in enumerate(params):
            p.grad = randn(*p.shape, seed=100 * step + i).to(p)
        optimizer.step()


@pytest.mark.parametrize("projector", PROJECTORS)
@pytest.mark.parametrize("moments", ["keep", "rotate"])
@pytest.mark.parametrize("refresh_from", ["current", "previous"])
def test_a_basis_is_no_view_of_something_larger(
    projector: str, moments: str, refresh_from: str
) -> None:
    """Trap "P a view of the full SVD factor": in memory, in the file, and after loading."""
    if projector == "identity" and moments == "rotate":
        pytest.skip("refused")
    if refresh_from == "previous" and projector in ("svd", "srft_published"):
        pytest.skip("refused")
    p = nn.Parameter(randn(64, 48))
    optimizer = build([p], projector=projector, moments=moments, refresh_from=refresh_from)
    train(optimizer, range(5))
    twin = build([nn.Parameter(randn(64, 48))], projector=projector, refresh_from=refresh_from)
    twin.load_state_dict(optimizer.state_dict())
    rank = 48 if projector == "identity" else 3
    formula = 4 * (48 * rank + 2 * 64 * rank) + 40
    for one in (optimizer, twin):
        assert one.state_bytes() == formula
        for state in one.state.values():
            for tensor in state.values():
                assert tensor.untyped_storage().nbytes() == tensor.numel() * tensor.itemsize
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    assert len(file.getvalue()) < formula + 8000


def test_a_checkpoint_holds_tensors_and_numbers() -> None:
    """Traps "checkpoint needs unpickling", "resume loses basis or step"."""
    whole = parameters()
    options = {"stagger": True, "start": "warm", "oversample": 2, "moments": "rotate"}
    optimizer = build(whole, **options)
    train(optimizer, range(5))
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)  # noqa: TID251
    part = [nn.Parameter(p.detach().clone()) for p in whole]
    resumed = build(part, **options)
    resumed.load_state_dict(saved)
    train(optimizer, range(5, 11))
    train(resumed, range(5, 11))
    assert all(torch.equal(p, q) for p, q in zip(whole, part, strict=True))


@pytest.mark.parametrize("taker", [torch.float64, torch.float32, torch.bfloat16])
def test_loading_casts_basis_and_moments_alike_and_copies(taker: torch.dtype) -> None:
    """Trap "loading casts moments but not P, and shares the projector with the donor"."""
    ours = parameters(torch.float32)
    donor = build(ours)
    train(donor, range(4))
    theirs = [nn.Parameter(p.detach().to(taker)) for p in ours]
    other = build(theirs)
    other.load_state_dict(donor.state_dict())
    wide = torch.promote_types(taker, torch.float32)
    for p, q in zip(ours, theirs, strict=True):
        for key, tensor in donor.state[p].items():
            loaded = other.state[q][key]
            assert loaded.dtype == (wide if tensor.is_floating_point() else torch.int64)
            torch.testing.assert_close(loaded, tensor.to(loaded.dtype), rtol=0, atol=0)
            assert loaded.numel() == 0 or loaded.data_ptr() != tensor.data_ptr()
    held = copy.deepcopy(donor.state_dict()["state"])
    train(other, range(4, 8))
    for index, state in donor.state_dict()["state"].items():
        assert all(torch.equal(t, held[index][k]) for k, t in state.items())
    train(donor, range(4, 8))
    atol = 0.06 if taker == torch.bfloat16 else 1e-3
    for p, q in zip(ours, theirs, strict=True):
        torch.testing.assert_close(p, q.float(), rtol=0.02, atol=atol)


@pytest.mark.parametrize("projector", PROJECTORS)
@pytest.mark.parametrize("rank", [1, 3, 500])
@pytest.mark.parametrize("side", ["short", "left", "right", "input"])
def test_any_shape_is_trained(projector: str, rank: int, side: str) -> None:
    """Traps "non-2-D crash", "conv silently untrained", "one basis sized by the first param",
    "direction chosen from the projected shape" (r >= min(m, n)), "8-bit path": all move."""
    params = parameters()
    before = [p.detach().clone() for p in params]
    train(build(params, projector=projector, rank=rank, side=side), range(3))
    for a, b in zip(before, params, strict=True):
        assert torch.isfinite(b).all()
        assert b.numel() == 0 or float((a - b.detach()).abs().max()) > 1e-4


@pytest.mark.parametrize("projector", PROJECTORS)
@pytest.mark.parametrize("bad", [math.nan, math.inf, 0.0])
def test_a_useless_gradient_ends_nothing(projector: str, bad: float) -> None:
    """Trap "NaN gradient ends the run": at a step where all bases are due."""
    params = [p for p in parameters() if p.numel()]
    optimizer = build(params, projector=projector)
    train(optimizer, range(3))
    bases = [optimizer.state[p].get("basis", torch.zeros(0)).clone() for p in params]
    weights = [p.detach().clone() for p in params]
    for p in params:
        p.grad = torch.full_like(p, bad)
    optimizer.step()
    for p, basis, weight in zip(params, bases, weights, strict=True):
        assert torch.equal(optimizer.state[p].get("basis", torch.zeros(0)), basis)
        assert int(optimizer.state[p]["skipped"]) == (bad != 0)
        assert torch.equal(p, weight) == (bad != 0)
    train(optimizer, range(4, 6))
    assert all(torch.isfinite(p).all() for p in params)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"moments": "rotate"},
        {"moments": "rotate", "start": "warm", "oversample": 2},
        {"moments": "rotate", "projector": "svd"},
        {"moments": "reset"},
    ],
)
@pytest.mark.parametrize("refresh_from", ["current", "previous"])
@pytest.mark.parametrize("size", [1e17, 3e38])
@pytest.mark.parametrize("when", [0, 3, 4])
@pytest.mark.parametrize("in_banks", [False, True])
def test_a_gradient_too_large_to_be_squared_is_skipped(
    options: dict[str, Any],
    refresh_from: str,
    size: float,
    when: int,
    in_banks: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Finite, but not what Adam's second moment makes of it: a weight that never moves again, or,
    with moments that are rotated, NaN. Bases are due at step 3."""
    if refresh_from == "previous" and "projector" in options:
        pytest.skip("refused")
    if in_banks:
        monkeypatch.setattr(batches_module, "ONE_BY_ONE", ())
    params = [p for p in parameters() if p.dim() > 1 and min(p.shape) > 1]
    optimizer = build(params, refresh_from=refresh_from, **options)
    train(optimizer, range(when))
    before = [p.detach().clone() for p in params]
    for i, p in enumerate(params):
        p.grad = (randn(*p.shape, seed=900 + i).sign() * size).to(p)
    optimizer.step()
    for p, weight in zip(params, before, strict=True):
        assert int(optimizer.state[p]["skipped"]) == 1
        assert torch.equal(p, weight)
        assert torch.isfinite(optimizer.state[p]["basis"]).all()
    train(optimizer, range(when + 1, 9))
    for p in params:
        state = optimizer.state[p]
        assert torch.isfinite(p).all()
        assert all(torch.isfinite(tensor).all() for tensor in state.values())
        identity = torch.eye(state["basis"].shape[-1])
        torch.testing.assert_close(state["basis"].mT @ state["basis"], identity, atol=1e-5, rtol=0)
        assert int(state["refreshes"]) >= 2
        assert float(state["exp_avg"].abs().max()) < 1e3, "nothing of it is left"


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_what_is_too_large_depends_on_the_arithmetic(dtype: torch.dtype) -> None:
    params = [nn.Parameter(randn(12, 7, dtype=dtype))]
    optimizer = build(params)
    train(optimizer, range(1))
    params[0].grad = torch.full_like(params[0], 1e30)
    optimizer.step()
    assert optimizer.skipped_steps == (dtype == torch.bfloat16)


@pytest.mark.parametrize("shape", [(8, 4, 3, 3), (2, 16, 8), (7, 12)])
def test_a_folded_weight_takes_the_formula(shape: tuple[int, ...]) -> None:
    """Trap "tensor path broken": P changes at the gap, the update is Adam's, normalised."""
    p = nn.Parameter(randn(*shape, dtype=torch.float64))
    flat = nn.Parameter(p.detach().flatten(1).clone())
    a, b = build([p], projector="svd", scale=0.5), build([flat], projector="svd", scale=0.5)
    for step in range(5):
        p.grad = randn(*shape, seed=step, dtype=torch.float64)
        flat.grad = p.grad.flatten(1).clone()
        a.step()
        b.step()
        assert int(a.state[p]["refreshes"]) == 1 + step // 3
        torch.testing.assert_close(p.flatten(1), flat, rtol=0, atol=1e-12)


@pytest.mark.parametrize("projector", ["srft", "gaussian", "srft_published", "identity"])
@pytest.mark.parametrize("start", ["cold", "warm"])
def test_everything_lives_where_the_gradient_does(projector: str, start: str) -> None:
    """Trap "wrong device": on a device that is not the current one, mixing raises an error."""
    if start == "warm" and projector in ("srft_published", "identity"):
        pytest.skip("refused")
    G = torch.empty(2, 40, 30, device="meta")
    options: dict[str, Any] = {}
    if projector in ("srft", "gaussian"):
        options = {"oversample": 3, "power_iterations": 1}
    old = torch.empty(2, 40, 4, device="meta") if start == "warm" else None
    Q = range_finder(G, 4, projector=projector, start=old, **options)
    assert Q.device == G.device
    p = nn.Parameter(torch.empty(12, 7, device="meta"))
    state = new_state(p, plan(p, build([p]).param_groups[0]))
    places = {key: tensor.device.type for key, tensor in state.items()}
    counters = dict.fromkeys(("step", "refreshes", "refreshed_at", "restarted_at"), "cpu")
    assert places == {**dict.fromkeys(places, "meta"), **counters}


READS = (Tensor.item, Tensor.tolist, Tensor.__float__, Tensor.__bool__, Tensor.__int__)


class _Readings(TorchFunctionMode):
    """Counts what on an accelerator would wait for it: reading elements of a device tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in READS and args[0].is_floating_point():
            self.count += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("refresh_from", ["current", "previous"])
def test_no_reading_per_parameter(refresh_from: str) -> None:
    """Trap "host sync per param". Counters are whole numbers and stay on the CPU."""

    def readings(count: int) -> int:
        params = [nn.Parameter(randn(12, 7, seed=i)) for i in range(count)]
        optimizer = build(params, refresh_from=refresh_from, start="warm", oversample=2)
        train(optimizer, range(3))
        with _Readings() as mode:
            train(optimizer, range(3, 7))
        count_read: int = mode.count
        return count_read

    assert readings(9) == readings(2) > 0


@pytest.mark.parametrize("projector", ["srft", "svd", "gaussian"])
def test_only_the_subspace_of_a_gradient_counts(projector: str) -> None:
    """Trap "signed cosine of one vector": a sign and a rotation inside change nothing."""
    left, right = randn(20, 4, dtype=torch.float64), randn(4, 30, seed=1, dtype=torch.float64)
    turn = torch.linalg.qr(randn(4, 4, seed=2, dtype=torch.float64)).Q
    Q = range_finder(left @ right, 4, projector=projector)
    for other in (-left @ right, left @ turn @ right):
        P = range_finder(other, 4, projector=projector)
        torch.testing.assert_close(P @ P.mT, Q @ Q.mT, rtol=0, atol=1e-8)


@pytest.mark.parametrize("attached", [False, True])
def test_full_size_identity_counts_a_step_once(attached: bool) -> None:
    """Trap "step counted twice; decay after the update"."""
    net, twin = nn.Linear(6, 5, dtype=torch.float64), nn.Linear(6, 5, dtype=torch.float64)
    twin.load_state_dict(net.state_dict())
    options: dict[str, Any] = {"lr": 0.1, "weight_decay": 0.3, "eps": 1e-6}
    group = {"params": list(net.parameters()), "rank": 2, "projector": "identity"}
    ours = GaLoreAdamW([{**group, "refresh_from": "previous"}], **options)
    theirs = torch.optim.AdamW(twin.parameters(), **options)
    if attached:
        ours.attach(net)
    for step in range(7):
        for model, optimizer in ((net, ours), (twin, theirs)):
            optimizer.zero_grad()
            model(randn(3, 6, seed=step, dtype=torch.float64)).square().sum().backward()
            optimizer.step()
    for p, q in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-12)
        assert int(ours.state[p]["step"]) == 7


def test_nothing_full_size_is_kept() -> None:
    """Trap "full-size buffer hidden in p.grad": also after zero_grad."""
    p = nn.Parameter(randn(64, 48))
    for refresh_from in ("current", "previous"):
        optimizer = build([p], refresh_from=refresh_from)
        train(optimizer, range(4))
        optimizer.zero_grad()
        assert p.grad is None
        assert max(t.numel() for t in optimizer.state[p].values()) < p.numel() / 4


@pytest.mark.parametrize("start", ["cold", "warm"])
def test_work_grows_with_the_rank(start: str) -> None:
    """Trap "padded sketch": products cost what rank + oversample columns need, no more."""
    G = randn(200, 300)

    def flops(rank: int) -> int:
        old = torch.eye(200)[:, :rank] if start == "warm" else None
        counter = FlopCounterMode(display=False)
        with counter:
            range_finder(G, rank, projector="gaussian", power_iterations=1, start=old)
        total: int = counter.get_total_flops()
        return total

    passes = 4 if start == "warm" else 3
    for rank in (4, 16):
        assert flops(rank) == 2 * 200 * 300 * rank * passes


def test_bases_do_not_know_the_global_random_state() -> None:
    """Trap "global RNG for P"."""
    bases = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        p = nn.Parameter(randn(12, 7))
        optimizer = build([p], start="warm", oversample=2)
        train(optimizer, range(5))
        before = torch.get_rng_state()
        train(optimizer, range(5, 8))
        assert torch.equal(before, torch.get_rng_state())
        bases.append(optimizer.state[p]["basis"])
    assert torch.equal(*bases)


@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
def test_bfloat16_weights_follow_small_updates(rounding: str) -> None:
    """Trap "small bf16 updates round away": they do, unless rounded at random."""
    wide = nn.Parameter(randn(32, 24))
    narrow = nn.Parameter(wide.detach().bfloat16())
    start = narrow.detach().float().clone()
    for p in (wide, narrow):
        group = {"params": [p], "rank": 4}
        if p is narrow:
            group["rounding"] = rounding
        optimizer = GaLoreAdamW([group], lr=1e-5, weight_decay=0.0)
        for _ in range(100):
            p.grad = randn(32, 24, seed=3).to(p)
            optimizer.step()
    moved = (narrow.detach().float() - start).norm()
    followed = float(moved) > 0.5 * float((wide.detach() - randn(32, 24)).norm())
    assert followed == (rounding == "stochastic")


# --- parameters that are refused ------------------------------------------------------------------


def test_sharded_weights_are_refused(tmp_path: Path) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor

    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/init", rank=0, world_size=1)
    try:
        mesh = init_device_mesh("cpu", (1,))
        p = nn.Parameter(distribute_tensor(randn(12, 7), mesh, [Shard(0)]))
        p.grad = distribute_tensor(randn(12, 7, seed=1), mesh, [Shard(0)])
        for optimizer in (build([p]), build([p], refresh_from="previous"), GaLoreAdamW([p])):
            with pytest.raises(ValueError, match="Parameter 0 is a DTensor.*ignored_params"):
                optimizer.step()
            with pytest.raises(ValueError, match="Parameter 0 is a DTensor"):
                optimizer.clip_grad_norm_(1.0)
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize("kind", ["sparse", "complex"])
def test_sparse_and_complex_gradients_are_refused_by_a_hook_too(kind: str) -> None:
    if kind == "sparse":
        model: nn.Module = nn.Embedding(9, 6, sparse=True)
        inputs = torch.tensor([1, 2])
    else:
        model, inputs = nn.Linear(6, 9, dtype=torch.cfloat), torch.ones(2, 6, dtype=torch.cfloat)
    group = {"params": list(model.parameters()), "rank": 2, "refresh_from": "previous"}
    optimizer = GaLoreAdamW([group])
    optimizer.attach(model)
    with pytest.raises(ValueError, match="parameter 0.*dense real"):
        model(inputs).abs().sum().backward()


def test_a_compiled_forward_is_trained() -> None:
    """The graph is traced; the optimizer sees the same parameters and gradients."""
    finals = []
    for compiled in (False, True):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(6, 12), nn.GELU(), nn.Linear(12, 5)).double()
        run = torch.compile(net, backend="aot_eager") if compiled else net
        group = {"params": list(net.parameters()), "rank": 2, "refresh_from": "previous"}
        optimizer = GaLoreAdamW([{**group, "update_proj_gap": 2}], lr=0.01)
        optimizer.attach(net)
        for step in range(5):
            optimizer.zero_grad()
            run(randn(4, 6, seed=step, dtype=torch.float64)).square().sum().backward()
            assert all(p.grad is None for p in net.parameters() if p.dim() == 2)
            optimizer.step()
        finals.append([p.detach().clone() for p in net.parameters()])
    for p, q in zip(*finals, strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-9)
