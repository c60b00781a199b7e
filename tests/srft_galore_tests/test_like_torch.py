"""What a user of torch's own optimizers expects of this one too."""

import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.overrides import TorchFunctionMode

from srft_galore import GaLoreAdamW

PROJECTORS = ("srft", "svd", "gaussian", "identity", "srft_published")


def weights(*shapes: tuple[int, ...], dtype: torch.dtype = torch.float32) -> list[nn.Parameter]:
    generator = torch.Generator("cpu").manual_seed(0)
    return [
        nn.Parameter(torch.randn(s, generator=generator, device="cpu").to(dtype)) for s in shapes
    ]


def train(optimizer: GaLoreAdamW, steps: int) -> None:
    generator = torch.Generator("cpu").manual_seed(1)
    for _ in range(steps):
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad = torch.randn(p.shape, generator=generator, device="cpu").to(p)
        optimizer.step()


def low_rank(**options: Any) -> GaLoreAdamW:
    return GaLoreAdamW([{"params": weights((12, 8), (6, 9)), "rank": 3, **options}], lr=0.01)


def test_a_hook_may_hand_in_another_state() -> None:
    """Before and after loading; the pre-hook's tensors are those that count."""
    donor, taker = low_rank(), low_rank()
    train(donor, 3)

    def doubled(optimizer: Optimizer, saved: dict[str, Any]) -> dict[str, Any]:
        state = {i: {**of, "exp_avg": 2 * of["exp_avg"]} for i, of in saved["state"].items()}
        return {**saved, "state": state}

    taker.register_load_state_dict_pre_hook(doubled)
    seen = []
    taker.register_load_state_dict_post_hook(
        lambda optimizer: seen.append([s["exp_avg"].clone() for s in optimizer.state.values()])
    )
    taker.load_state_dict(donor.state_dict())
    expected = [2 * s["exp_avg"] for s in donor.state.values()]
    loaded = [s["exp_avg"] for s in taker.state.values()]
    for told, own, doubled_ in zip(seen[0], loaded, expected, strict=True):
        assert torch.equal(told, doubled_), "a post-hook sees what was loaded"
        assert torch.equal(own, doubled_)
    train(taker, 1)


def test_what_a_hook_hands_in_is_checked_before_anything_changes() -> None:
    donor, taker = low_rank(), low_rank()
    train(donor, 1)
    train(taker, 2)
    held = [{k: v.clone() for k, v in s.items()} for s in taker.state.values()]
    handle = taker.register_load_state_dict_pre_hook(
        lambda optimizer, saved: {**saved, "state": {0: {"step": torch.ones(())}}}
    )
    with pytest.raises(ValueError, match="parameter 0 of group 0 holds step"):
        taker.load_state_dict(donor.state_dict())
    for before, after in zip(held, taker.state.values(), strict=True):
        assert all(torch.equal(before[k], after[k]) for k in before)
    handle.remove()
    taker.load_state_dict(donor.state_dict())


def test_keys_of_others_stay_in_a_group() -> None:
    """SAM's rho, timm's lr_scale, and what OneCycleLR leaves; they go through a state too."""
    others = {"rho": 0.05, "lr_scale": 0.5}
    optimizer = low_rank(**others)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=10)
    train(optimizer, 2)
    schedule.step()
    plain = {"params": weights((4,)), "amsgrad": False, "foreach": None, "fused": None}
    optimizer.add_param_group(plain)
    twin = low_rank()
    twin.add_param_group({"params": weights((4,))})
    twin.load_state_dict(optimizer.state_dict())
    assert {k: twin.param_groups[0][k] for k in others} == others
    assert "max_lr" in twin.param_groups[0]


def test_options_of_torchs_adamw() -> None:
    params = weights((4, 3))
    GaLoreAdamW(params, lr=0.1, amsgrad=False, foreach=None, maximize=False, fused=None)
    with pytest.raises(ValueError, match="maximize=True is not there in GaLoreAdamW.*give False"):
        GaLoreAdamW(params, lr=0.1, maximize=True)
    with pytest.raises(TypeError, match=r"rank is an option of a parameter group: GaLoreAdamW\("):
        GaLoreAdamW(params, lr=0.1, rank=8)
    with pytest.raises(TypeError, match="no option 'momentum'"):
        GaLoreAdamW(params, lr=0.1, momentum=0.9)


def test_numpys_numbers_are_taken_and_saved_as_pythons() -> None:
    optimizer = low_rank(
        rank=np.int64(3), lr=np.float32(0.5), betas=(np.float64(0.8), 0.9), scale=np.float32(1)
    )
    group = optimizer.param_groups[0]
    assert [type(group[k]) for k in ("rank", "lr", "scale")] == [int, float, float]
    assert type(group["betas"][0]) is float
    train(optimizer, 2)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        ({"update_proj_gap": 0}, "update_proj_gap=0.*from 1"),
        ({"lr": float("nan")}, "lr=nan"),
        ({"lr": torch.tensor(float("nan"))}, "lr=nan"),
        ({"scale": float("inf")}, "scale=inf"),
    ],
)
def test_a_later_edit_is_refused_before_anything_moves(edit: dict[str, Any], words: str) -> None:
    optimizer = low_rank()
    train(optimizer, 1)
    held = [p.detach().clone() for p in optimizer.param_groups[0]["params"]]
    optimizer.param_groups[0].update(edit)
    with pytest.raises(ValueError, match=words):
        train(optimizer, 1)
    for p, before in zip(optimizer.param_groups[0]["params"], held, strict=True):
        assert torch.equal(p, before)


@pytest.fixture
def default_device() -> Iterator[None]:
    torch.set_default_device("meta")
    yield
    torch.set_default_device(None)


@pytest.mark.usefixtures("default_device")
@pytest.mark.parametrize("projector", PROJECTORS)
def test_a_default_device_changes_nothing(projector: str) -> None:
    """`meta` computes nothing, so whatever lands there by default is noticed."""
    optimizer = low_rank(projector=projector, update_proj_gap=2)
    train(optimizer, 3)
    torch.set_default_device(None)
    twin = low_rank(projector=projector, update_proj_gap=2)
    train(twin, 3)
    own, other = (o.param_groups[0]["params"] for o in (optimizer, twin))
    assert all(torch.equal(p, q) for p, q in zip(own, other, strict=True))


class CastsAlive(TorchFunctionMode):
    """How many matrices that were cast to float32 are alive at once, at most."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._casts: list[weakref.ref[Tensor]] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        is_cast = func is Tensor.to and out is not args[0] and out.dtype == torch.float32
        if is_cast and out.dim() > 1:
            self._casts = [ref for ref in (*self._casts, weakref.ref(out)) if ref() is not None]
            self.peak = max(self.peak, len(self._casts))
        return out


@pytest.mark.parametrize("rank", [None, 3])
def test_bfloat16_weights_are_copied_one_at_a_time(rank: int | None) -> None:
    """Weight and gradient of one parameter, however many there are."""
    params = weights(*[(16, 12)] * 6, dtype=torch.bfloat16)
    group = {"params": params, **({} if rank is None else {"rank": rank, "update_proj_gap": 2})}
    optimizer = GaLoreAdamW([group], lr=0.01)
    train(optimizer, 1)
    for step in range(2):  # one with a refresh
        for p in params:
            p.grad = torch.full_like(p, step + 1.0)
        with CastsAlive() as casts:
            optimizer.step()
        assert 1 <= casts.peak <= 3
