"""The optimizers that are compared, each built with the same rank and interval."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from srft_galore import GaLoreAdamW

from .quality.arms import RECIPE
from .quality.peers import build_peer

COMMON: Mapping[str, Any] = {"lr": 1e-5, "weight_decay": 0.01}
FUSED = "AdamW, fused"
"""What every whole step is compared with."""

Build = Callable[[Sequence[nn.Parameter], int, int], Optimizer]
"""From parameters, rank and interval to an optimizer; ImportError where it is not installed."""


def _ours(params: Sequence[nn.Parameter], rank: int, gap: int, **options: Any) -> Optimizer:
    group = {"params": list(params), "rank": rank, "update_proj_gap": gap, **options}
    return GaLoreAdamW([group], **COMMON)


def _adamw(params: Sequence[nn.Parameter], rank: int, gap: int, **options: Any) -> Optimizer:
    return torch.optim.AdamW(params, **COMMON, **options)


def _peer(params: Sequence[nn.Parameter], rank: int, gap: int, *, name: str) -> Optimizer:
    return build_peer(name, params, (), rank, gap, **COMMON)


OPTIMIZERS: dict[str, Build] = {
    FUSED: partial(_adamw, fused=True),
    "AdamW, foreach": partial(_adamw, foreach=True),
    "srft": partial(_ours),
    "srft +8 +1 power": partial(_ours, oversample=8, power_iterations=1),
    "srft +8 +1 power, staggered": partial(_ours, oversample=8, power_iterations=1, stagger=True),
    "warm +8, staggered": partial(_ours, start="warm", oversample=8, stagger=True),
    "warm +8, staggered, rotated": partial(
        _ours, start="warm", oversample=8, stagger=True, moments="rotate"
    ),
    "warm +8, staggered, previous": partial(
        _ours, start="warm", oversample=8, stagger=True, refresh_from="previous"
    ),
    "plus": partial(_ours, **RECIPE),
    "plus, sign residual": partial(_ours, **RECIPE, residual="sign"),
    **{
        name: partial(_peer, name=name)
        for name in ("galore-torch", "pytorch_optimizer GaLore", "apollo-torch")
    },
}
"""By name: torch's, ours with several options, other people's."""


def build_all(
    params: Sequence[nn.Parameter], rank: int, gap: int, only: Sequence[str] = ()
) -> tuple[dict[str, Optimizer], dict[str, str]]:
    """Every optimizer that can be had here, and for the others the reason why not."""
    built, missing = {}, {}
    for name in only or OPTIMIZERS:
        try:
            built[name] = OPTIMIZERS[name](params, rank, gap)
        except ImportError as error:
            missing[name] = f"not installed ({error})"
    return built, missing


def formula_bytes(name: str, params: Sequence[nn.Parameter], rank: int, itemsize: int) -> int:
    """What the state should take, counters left out.

    Adam keeps two moments of each weight M x N; a projected one keeps a basis of the shorter side
    S and two moments of the longer side T: S r + 2 r T. `apollo-torch` keeps its random matrix.
    """
    total = 0
    for p in params:
        short, long = sorted(p.shape)
        kept = min(rank, short)
        plain = name.startswith("AdamW")
        total += 2 * p.numel() if plain else short * kept + 2 * kept * long
    return total * itemsize


def held_bytes(optimizer: Optimizer) -> int:
    """Bytes of storage behind every tensor in an optimizer's state, views counted whole.

    Projectors that are plain Python objects are looked into, too.
    """
    storages: dict[int, int] = {}

    def visit(value: object) -> None:
        if isinstance(value, Tensor):
            storage = value.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
        elif isinstance(value, Mapping):
            for inner in value.values():
                visit(inner)
        elif isinstance(value, list | tuple):
            for inner in value:
                visit(inner)
        elif hasattr(value, "__dict__"):
            visit(vars(value))

    for state in optimizer.state.values():
        visit(state)
    return sum(storages.values())
