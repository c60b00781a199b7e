"""Data-parallel training that sums projections and sketches: two processes equal one."""

import math
from collections.abc import Sequence
from typing import Any
from unittest import mock

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn

from srft_galore import AllReduce, Broadcast, GaLoreAdamW, Reducer

WORLD = 2
STEPS = 9
COMMON: dict[str, Any] = {"lr": 0.01, "eps": 1e-6, "weight_decay": 0.1}
OPTIONS: dict[str, dict[str, Any]] = {
    "cold": {},
    "warm": {"start": "warm", "oversample": 3},
    "rotate": {"moments": "rotate", "projector": "gaussian"},
    "stagger": {"stagger": True, "start": "warm", "oversample": 2, "moments": "reset"},
    "identity": {"projector": "identity"},
}


class Network(nn.Module):
    """A convolution, a fused weight, a vector, and a layer that the first rank alone uses."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)

        def weight(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64) / 4)

        self.conv, self.fused, self.head = weight(6, 2, 3, 3), weight(12, 54), weight(5, 12)
        self.bias, self.extra = weight(5), weight(5, 12)
        self.to(dtype)

    def forward(self, x: Tensor, extra: bool) -> Tensor:
        y = nn.functional.conv2d(x, self.conv, padding=1).relu().flatten(1)
        y = (y @ self.fused.T).tanh()
        y = y @ (self.head + self.extra if extra else self.head).T
        return y + self.bias


def optimizer_of(model: Network, **options: Any) -> GaLoreAdamW:
    group = {"rank": 3, "update_proj_gap": 3, "refresh_from": "previous", **options}
    groups = [
        {"params": [model.conv, model.head, model.extra], **group},
        {"params": [model.fused], **group, "blocks": 3},
        {"params": [model.bias]},
    ]
    return GaLoreAdamW(groups, **COMMON)


def loss_of(model: Network, step: int, part: slice, extra: bool) -> Tensor:
    generator = torch.Generator().manual_seed(step + 1)
    x = torch.randn(8, 2, 3, 3, generator=generator, dtype=torch.float64)[part]
    y = torch.randn(8, 5, generator=generator, dtype=torch.float64)[part]
    dtype = model.bias.dtype
    loss: Tensor = (model(x.to(dtype), extra) - y.to(dtype)).square().mean()
    return loss


def parts_of(rank: int) -> list[slice]:
    """Two microbatches of each rank's half."""
    return [slice(4 * rank, 4 * rank + 2), slice(4 * rank + 2, 4 * rank + 4)]


def backward(model: Network, step: int, rank: int, scale: float = 1.0) -> None:
    for part in parts_of(rank):
        (loss_of(model, step, part, extra=rank == 0) * scale / 4).backward()


def one_process(options: dict[str, Any], steps: int = STEPS) -> tuple[Network, GaLoreAdamW]:
    model = Network()
    optimizer = optimizer_of(model, **options)
    for step in range(steps):
        optimizer.zero_grad()
        for rank in range(WORLD):
            backward(model, step, rank)
        optimizer.step()
    return model, optimizer


def everything(model: nn.Module, optimizer: GaLoreAdamW) -> dict[str, Any]:
    return {
        "weights": [p.detach().clone() for p in model.parameters()],
        "states": [dict(optimizer.state[p]) for p in model.parameters()],
        "bytes": optimizer.reduced_bytes,
    }


# --- what each process runs -----------------------------------------------------------------------


def train_with_all_options(rank: int) -> dict[str, Any]:
    """Attached and not; the ranks' global random states differ."""
    all_reduce = AllReduce()
    found: dict[str, Any] = {}
    for name, options in OPTIONS.items():
        for attached in (False, True):
            torch.manual_seed(rank + 17)
            model = Network()
            optimizer = optimizer_of(model, **options)
            if attached:
                optimizer.attach(model)
            for step in range(STEPS):
                optimizer.zero_grad()
                backward(model, step, rank)
                optimizer.reduce(all_reduce, Broadcast(), rank=rank, world=WORLD)
                optimizer.step()
                torch.rand(rank + 1)
            found[f"{name} {attached}"] = everything(model, optimizer)
    return found


def train_single_precision(rank: int) -> dict[str, Any]:
    model = Network(torch.float32)
    optimizer = optimizer_of(model, start="warm", oversample=2, moments="rotate")
    optimizer.attach(model)
    for step in range(STEPS):
        optimizer.zero_grad()
        backward(model, step, rank)
        optimizer.reduce(AllReduce(), Broadcast(), rank=rank, world=WORLD)
        optimizer.clip_grad_norm_(0.1)
        optimizer.step()
    return everything(model, optimizer)


def spoil_one_rank(rank: int) -> dict[str, Any]:
    """NaN in a projected, then in a plain gradient of the second rank alone."""
    model = Network()
    optimizer = optimizer_of(model)
    found = []
    for step in range(6):
        optimizer.zero_grad()
        backward(model, step, rank)
        victim = {0: model.head, 3: model.head, 4: model.bias}.get(step)
        if victim is not None and rank == 1:
            assert victim.grad is not None
            victim.grad.view(-1)[0] = math.nan
        held = [p.detach().clone() for p in model.parameters()]
        optimizer.reduce(AllReduce(), Broadcast(), rank=rank, world=WORLD)
        optimizer.step()
        found.append(
            [
                name
                for (name, p), h in zip(model.named_parameters(), held, strict=True)
                if torch.equal(p, h)
            ]
        )
    return {**everything(model, optimizer), "still": found}


def join_late(rank: int) -> dict[str, Any]:
    """The second rank has lost its state; it gets the first one's in the middle of an interval."""
    options = {"start": "warm", "oversample": 2, "stagger": True}
    model = Network()
    optimizer = optimizer_of(model, **options)
    if rank == 0:
        model, optimizer = one_process(options, steps=5)
    dist_weights = [p.detach() for p in model.parameters()]
    Broadcast()(dist_weights)
    optimizer.share_state(Broadcast())
    for step in range(5, STEPS):
        optimizer.zero_grad()
        backward(model, step, rank)
        optimizer.reduce(AllReduce(), Broadcast(), rank=rank, world=WORLD)
        optimizer.step()
    return everything(model, optimizer)


def scale_the_loss(rank: int) -> dict[str, Any]:
    """Overflow on the second rank alone, in a projected weight, also at the first step."""
    model = Network()
    optimizer = optimizer_of(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    optimizer.attach(model, scaler)
    scales, moved = [], []
    for step in range(6):
        optimizer.zero_grad()
        hook = None
        if rank == 1 and step in (0, 3):
            hook = model.head.register_hook(lambda G: torch.full_like(G, math.inf))
        scaler.scale(torch.ones(()))
        backward(model, step, rank, scale=scaler.get_scale())
        if hook is not None:
            hook.remove()
        held = [p.detach().clone() for p in model.parameters()]
        optimizer.reduce(AllReduce(), Broadcast(), rank=rank, world=WORLD)
        scaler.step(optimizer)
        scaler.update()
        scales.append(scaler.get_scale())
        moved.append(
            any(not torch.equal(p, h) for p, h in zip(model.parameters(), held, strict=True))
        )
    return {**everything(model, optimizer), "scales": scales, "moved": moved}


def step_without_a_sum(rank: int) -> dict[str, Any]:
    """DistributedDataParallel sums what is left of the gradients when the hooks have freed them."""
    model = Network()
    optimizer = optimizer_of(model)
    optimizer.attach(model)
    wrapped = nn.parallel.DistributedDataParallel(model, find_unused_parameters=True)
    x = torch.ones(2, 2, 3, 3, dtype=torch.float64) * (rank + 1)
    found = []
    for way_out in ("none", "zero_grad", "reduce"):
        wrapped(x, extra=True).sum().backward()
        if way_out == "zero_grad":
            optimizer.zero_grad()
        elif way_out == "reduce":
            optimizer.reduce(AllReduce(), Broadcast(), rank=rank, world=WORLD)
        try:
            optimizer.step()
            found.append("")
        except RuntimeError as error:
            found.append(str(error))
    return {"found": found}


def send_while_going_backward(rank: int) -> dict[str, Any]:
    """Buckets of one tensor or two; the first rank alone reaches `extra`."""
    model = Network()
    optimizer = optimizer_of(model, start="warm", oversample=3)
    attachment = optimizer.attach(model)
    reducer = Reducer(
        list(model.parameters()),
        lambda p: attachment.kept(p) or [t for t in [p.grad] if t is not None],
        AllReduce(),
        bucket=300,
    )
    sent: list[list[tuple[str, str, int]]] = []
    when = ""
    all_reduce, broadcast = dist.all_reduce, dist.broadcast

    def recorded(tensor: Tensor, **options: Any) -> Any:
        sent[-1].append(("all_reduce", when, tensor.nbytes))
        return all_reduce(tensor, **options)

    def recorded_broadcast(tensor: Tensor, **options: Any) -> Any:
        sent[-1].append((f"broadcast from {options['group_src']}", when, tensor.nbytes))
        return broadcast(tensor, **options)

    with (
        mock.patch.object(dist, "all_reduce", recorded),
        mock.patch.object(dist, "broadcast", recorded_broadcast),
    ):
        for step in range(STEPS):
            sent.append([])
            optimizer.zero_grad()
            first, last = parts_of(rank)
            when = "early"
            (loss_of(model, step, first, extra=rank == 0) / 4).backward()
            when = "backward"
            reducer.begin()
            (loss_of(model, step, last, extra=rank == 0) / 4).backward()
            when = "after"
            optimizer.reduce(reducer.finish, Broadcast(), rank=rank, world=WORLD)
            optimizer.step()
    return {**everything(model, optimizer), "sent": sent}


def add_to_what_was_sent(rank: int) -> dict[str, Any]:
    """A second backward pass after `begin`."""
    weight = nn.Parameter(torch.ones(3))
    reducer = Reducer([weight], lambda p: [p.detach()], AllReduce())
    reducer.begin()
    weight.sum().backward()
    try:
        weight.sum().backward()
    except RuntimeError as error:
        return {"error": str(error)}
    return {}


TASKS = (
    send_while_going_backward,
    add_to_what_was_sent,
    train_with_all_options,
    train_single_precision,
    spoil_one_rank,
    join_late,
    scale_the_loss,
    step_without_a_sum,
)


def process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    init = f"file://{folder}/init"
    dist.init_process_group("gloo", init_method=init, rank=rank, world_size=WORLD)
    torch.save({task.__name__: task(rank) for task in TASKS}, f"{folder}/{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def same_bits(a: Sequence[Tensor], b: Sequence[Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


# --- the tests ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What two processes found, each for every task: they are started once."""
    folder = tmp_path_factory.mktemp("ranks")
    spawn(process, (str(folder),), nprocs=WORLD)
    files = [folder / f"{rank}.pt" for rank in range(WORLD)]
    return [torch.load(file, weights_only=True) for file in files]  # noqa: TID251


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("attached", [False, True])
def test_two_processes_equal_one(ranks: list[dict[str, Any]], name: str, attached: bool) -> None:
    """To rounding; the ranks among themselves to the bit (trap "global RNG for P")."""
    first, second = (rank["train_with_all_options"][f"{name} {attached}"] for rank in ranks)
    assert same_bits(first["weights"], second["weights"])
    for a, b in zip(first["states"], second["states"], strict=True):
        assert set(a) == set(b)
        assert same_bits(list(a.values()), list(b.values()))
    model, optimizer = one_process(OPTIONS[name])
    for p, weight, state in zip(model.parameters(), first["weights"], first["states"], strict=True):
        torch.testing.assert_close(p.detach(), weight, rtol=0, atol=1e-9)
        for key, tensor in optimizer.state[p].items():
            torch.testing.assert_close(tensor, state[key], rtol=0, atol=1e-7)


def test_identity_on_two_processes_is_torch_adamw(ranks: list[dict[str, Any]]) -> None:
    model = Network()
    reference = torch.optim.AdamW(model.parameters(), **COMMON)
    for step in range(STEPS):
        reference.zero_grad()
        for rank in range(WORLD):
            backward(model, step, rank)
        reference.step()
    for p, weight in zip(
        model.parameters(),
        ranks[0]["train_with_all_options"]["identity True"]["weights"],
        strict=True,
    ):
        torch.testing.assert_close(p.detach(), weight, rtol=0, atol=1e-10)


def expected_bytes(options: dict[str, Any], itemsize: int = 8) -> int:
    """Written out: plain and projected gradients each step, sketch and basis where one is due."""
    # blocks, M, N of conv, head, extra and fused
    shapes = [(1, 6, 18), (1, 5, 12), (1, 5, 12), (3, 4, 54)]
    rank, gap, total = 3, 3, 5 * STEPS
    for blocks, M, N in shapes:
        S, T = (N, M) if M >= N else (M, N)
        cold = min(rank + options.get("oversample", 0), S, T)
        for step in range(STEPS):
            total += blocks * T * rank * (step > 0)  # the first step has no basis
            if step == 0 or step % gap == 0:
                # step + 1 is due: 1 (after the first), then 3 updates later
                total += blocks * S * (cold + rank)
    return total * itemsize


def test_bytes_sent_are_the_formulas(ranks: list[dict[str, Any]]) -> None:
    first, second = (rank["train_with_all_options"] for rank in ranks)
    found = first["cold True"]["bytes"]
    assert found == second["cold True"]["bytes"] == expected_bytes({})
    assert found == first["cold False"]["bytes"]
    dense = 8 * STEPS * sum(p.numel() for p in Network().parameters())
    assert first["identity True"]["bytes"] == dense


def test_bytes_are_far_fewer_than_dense_ones_and_counted_where_they_are_sent() -> None:
    """A weight of Hiera-L's shape at rank 32, gap 20: the benchmark's claim, one weight of it."""
    p = nn.Parameter(torch.zeros(576, 1728))
    group = {"params": [p], "rank": 32, "update_proj_gap": 20, "refresh_from": "previous"}
    optimizer = GaLoreAdamW([group])
    sent: list[int] = []

    def count(tensors: Sequence[Tensor], source: int = 0) -> None:
        sent[-1] += sum(t.nbytes for t in tensors)

    for step in range(41):
        p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(step))
        sent.append(0)
        optimizer.reduce(count, count, rank=0, world=2)
        optimizer.step()
    assert optimizer.reduced_bytes == sum(sent)
    interval = sum(sent) - sent[0]
    assert interval < 41 * 4 * p.numel() / 14


def test_what_is_sent_during_the_backward_pass_changes_no_bit(ranks: list[dict[str, Any]]) -> None:
    """One process sums what two would have sent, and one of them has sent some of it before."""
    first, second = (rank["send_while_going_backward"] for rank in ranks)
    after = ranks[0]["train_with_all_options"]["warm True"]
    for found in (first, second):
        assert same_bits(found["weights"], after["weights"])
        for a, b in zip(found["states"], after["states"], strict=True):
            assert same_bits(list(a.values()), list(b.values()))
        assert found["bytes"] == after["bytes"]


def test_messages_are_the_same_on_all_ranks_and_most_begin_in_the_last_backward_pass(
    ranks: list[dict[str, Any]],
) -> None:
    first, second = (rank["send_while_going_backward"]["sent"] for rank in ranks)
    assert [[(what, size) for what, _, size in step] for step in first] == [
        [(what, size) for what, _, size in step] for step in second
    ], "in the same order, of the same sizes"
    for step, messages in enumerate(first):
        sums = [when for what, when, _ in messages if what == "all_reduce"]
        assert "early" not in sums, "other microbatches send nothing"
        assert sums[-1] == "after"
        assert sums[:-1] == ["backward"] * len(sums[:-1]), "the first rank reaches everything"
        bases = [what for what, _, _ in messages if what != "all_reduce"]
        due = step == 0 or step % 3 == 0
        assert bases == (["broadcast from 0", "broadcast from 1"] if due else []), step
    # Projections of extra and a plain bias, of head and fused, of conv, in float64.
    sizes = [8 * (3 * 12 + 5), 8 * (3 * 12 + 3 * 3 * 54), 8 * 3 * 18]
    assert [size for _, _, size in first[1]] == sizes
    late = [when for what, when, _ in second[1] if what == "all_reduce"]
    assert "backward" not in late, "`extra` is not reached, and it is the first in turn"
    total = sum(size for step in first for _, _, size in step)
    assert total == expected_bytes({"oversample": 3, "start": "warm"})


def test_a_gradient_that_changes_after_it_was_sent_is_refused(ranks: list[dict[str, Any]]) -> None:
    assert "use_reentrant=False" in ranks[0]["add_to_what_was_sent"]["error"]


def test_single_precision_ranks_hold_the_same_bits(ranks: list[dict[str, Any]]) -> None:
    first, second = (rank["train_single_precision"] for rank in ranks)
    assert same_bits(first["weights"], second["weights"])
    for a, b in zip(first["states"], second["states"], strict=True):
        assert same_bits(list(a.values()), list(b.values()))


def test_a_bad_gradient_of_one_rank_is_skipped_by_all(ranks: list[dict[str, Any]]) -> None:
    first, second = (rank["spoil_one_rank"] for rank in ranks)
    assert first["still"] == second["still"]
    assert same_bits(first["weights"], second["weights"])
    names = [name for name, _ in Network().named_parameters()]
    assert "head" in first["still"][0]
    assert first["still"][3] == ["head"]
    assert first["still"][4] == ["bias"]
    assert first["still"][5] == []
    skipped = {n: int(s["skipped"]) for n, s in zip(names, first["states"], strict=True)}
    assert skipped == {"conv": 0, "fused": 0, "head": 2, "bias": 1, "extra": 0}
    for a, b in zip(first["states"], second["states"], strict=True):
        assert same_bits(list(a.values()), list(b.values()))


def test_a_rank_that_joins_gets_the_state(ranks: list[dict[str, Any]]) -> None:
    first, second = (rank["join_late"] for rank in ranks)
    assert same_bits(first["weights"], second["weights"])
    for a, b in zip(first["states"], second["states"], strict=True):
        assert same_bits(list(a.values()), list(b.values()))
    model, _ = one_process({"start": "warm", "oversample": 2, "stagger": True})
    for p, weight in zip(model.parameters(), first["weights"], strict=True):
        torch.testing.assert_close(p.detach(), weight, rtol=0, atol=1e-9)


def test_overflow_on_one_rank_lowers_the_scale_on_all(ranks: list[dict[str, Any]]) -> None:
    first, second = (rank["scale_the_loss"] for rank in ranks)
    assert first["scales"] == second["scales"] == [512.0] * 3 + [256.0] * 3
    assert first["moved"] == second["moved"] == [False, True, True, False, True, True]
    assert same_bits(first["weights"], second["weights"])


def test_freed_gradients_that_nothing_summed_are_refused(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        refused, dropped, reduced = rank["step_without_a_sum"]["found"]
        assert "Call reduce(AllReduce()" in refused
        assert (dropped, reduced) == ("", "")


def test_whole_gradients_are_refused() -> None:
    model = Network()
    optimizer = optimizer_of(model, refresh_from="current")
    with pytest.raises(ValueError, match="refresh_from='current'.*Set refresh_from='previous'"):
        optimizer.reduce(lambda tensors: None, lambda tensors, source: None, rank=0, world=2)


def test_one_process_sends_nothing() -> None:
    model = Network()
    optimizer = optimizer_of(model)

    def never(tensors: Sequence[Tensor], source: int = 0) -> None:
        raise AssertionError("one rank has nobody to talk to")

    for step in range(STEPS):
        optimizer.zero_grad()
        for rank in range(WORLD):
            backward(model, step, rank)
        optimizer.reduce(never, never, rank=0, world=1)
        optimizer.step()
    assert optimizer.reduced_bytes == 0
    alone, _ = one_process({})
    for p, q in zip(model.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-12)
