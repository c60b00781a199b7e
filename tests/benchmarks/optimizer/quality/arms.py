"""The optimizers that are compared."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from srft_galore import RECOMMENDED, GaLoreAdamW

from .peers import build_peer
from .variants import EightBitMoments, LazyRefresh, OrthogonalMomentum, RandomBasis

RECIPE = {key: value for key, value in RECOMMENDED.items() if key != "update_proj_gap"}
"""The options that are recommended, at any interval."""

Build = Callable[[Sequence[nn.Parameter], Sequence[nn.Parameter], int, int, float], Optimizer]
"""From projected weights, plain parameters, rank, interval and rate; ImportError where it is not
installed."""


@dataclass(frozen=True)
class Arm:
    """An optimizer and its options."""

    name: str
    about: str
    build: Build
    low_rank: bool = True
    """Whether rank and interval mean anything to it."""


def _ours(
    projected: Sequence[nn.Parameter],
    plain: Sequence[nn.Parameter],
    rank: int,
    gap: int,
    rate: float,
    *,
    built_as: type[GaLoreAdamW] = GaLoreAdamW,
    **options: Any,
) -> Optimizer:
    group = {"params": list(projected), "rank": rank, "update_proj_gap": gap, **options}
    return built_as([group, {"params": list(plain)}], lr=rate, weight_decay=0.0)


def _adamw(
    projected: Sequence[nn.Parameter],
    plain: Sequence[nn.Parameter],
    rank: int,
    gap: int,
    rate: float,
    *,
    frozen: bool = False,
) -> Optimizer:
    moved = [*plain] if frozen else [*projected, *plain]
    return torch.optim.AdamW(moved, lr=rate, weight_decay=0.0)


def _peer(
    projected: Sequence[nn.Parameter],
    plain: Sequence[nn.Parameter],
    rank: int,
    gap: int,
    rate: float,
    *,
    name: str,
) -> Optimizer:
    return build_peer(name, projected, plain, rank, gap, lr=rate)


_MOMENTS = ("keep", "rotate")


def _arms() -> list[Arm]:
    arms = [
        Arm("AdamW", "torch's, of all weights", _adamw, low_rank=False),
        Arm("frozen", "AdamW of the plain parameters alone", partial(_adamw, frozen=True), False),
    ]
    for moments in _MOMENTS:
        for projector in ("svd", "srft", "gaussian"):
            build = partial(_ours, projector=projector, moments=moments)
            arms.append(Arm(f"{projector}, {moments}", f"moments={moments!r}", build))
        build = partial(_ours, built_as=RandomBasis, moments=moments)
        arms.append(Arm(f"random, {moments}", "a basis of noise", build))
    arms += [
        Arm("plus", "srft, warm, oversample 8, rotate", partial(_ours, **RECIPE)),
        Arm(
            "plus, gaussian",
            "the same with a Gaussian sketch",
            partial(_ours, projector="gaussian", **RECIPE),
        ),
        Arm(
            "plus, sign residual",
            "residual='sign'",
            partial(_ours, residual="sign", **RECIPE),
        ),
        Arm(
            "random, sign residual",
            "a basis of noise, moments rotated: what the basis is worth beside the residual",
            partial(_ours, built_as=RandomBasis, moments="rotate", residual="sign"),
        ),
        Arm(
            "plus, no second moment",
            "the first moment's singular values set to one (SUMO)",
            partial(_ours, built_as=OrthogonalMomentum, **RECIPE),
        ),
        Arm(
            "plus, lazy",
            "no refresh while the basis still catches nine tenths of what it did",
            partial(_ours, built_as=LazyRefresh, **RECIPE),
        ),
        Arm(
            "plus, 8-bit moments",
            "moments rounded to eight bits after each step, as bitsandbytes does",
            partial(_ours, built_as=EightBitMoments, **RECIPE),
        ),
        *(
            Arm(name, about, partial(_peer, name=name))
            for name, about in (
                ("galore-torch", "as published"),
                ("apollo-torch", "scaled by channel"),
                ("Fira", "pytorch_optimizer's"),
            )
        ),
    ]
    return arms


ARMS: dict[str, Arm] = {arm.name: arm for arm in _arms()}
"""By name."""


def missing_arms() -> dict[str, str]:
    """The arms that cannot be built here, with the reason."""
    missing = {}
    for name, arm in ARMS.items():
        try:
            arm.build([nn.Parameter(torch.zeros(4, 4))], [nn.Parameter(torch.zeros(4))], 2, 1, 1e-3)
        except ImportError as error:
            missing[name] = f"not installed ({error})"
    return missing
