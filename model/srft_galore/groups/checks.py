"""Whether a group says what is allowed: when it is added, and after it was edited."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from srft_galore.basis.range_finder import RANDOM, SKETCHING, check_integer, check_projection
from srft_galore.update.rounding import ROUNDINGS

from .names import check_keys
from .options import ADAM_KEYS, CHOICES, PROJECTION_DEFAULTS


def complete_group(group: Mapping[str, Any], adam_defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The group with every default filled in, checked.

    Args:
        group: As the user gave it, with "params".
        adam_defaults: The optimizer's own lr, betas, eps and weight_decay.

    Raises:
        ValueError: A key is unknown or has no effect, or a value is not allowed.
        TypeError: The parameters have no order.
    """
    check_keys(group)
    defaults = {**adam_defaults, "rounding": "nearest"}
    complete = {**defaults, **(PROJECTION_DEFAULTS if "rank" in group else {}), **group}
    for key in (*ADAM_KEYS, *PROJECTION_DEFAULTS, "rank"):
        if key in complete:
            complete[key] = _plain(complete[key])
    params = group["params"]
    if isinstance(params, set | frozenset):
        raise TypeError(
            "params is a set, whose order differs from run to run, and states and seeds go by it; "
            "give a list."
        )
    complete["params"] = [params] if isinstance(params, Tensor) else list(params)
    check_values(complete)
    _check_rounding(complete)
    return complete


def check_values(group: Mapping[str, Any]) -> None:
    """Refuse values of a complete group that are not allowed, or that change nothing.

    Raises:
        ValueError: Names the key, its value and what is allowed.
    """
    for key in ("lr", "eps", "weight_decay"):
        _check_number(key, group[key], least=0.0)
    betas = group["betas"]
    if not isinstance(betas, tuple | list) or len(betas) != 2:
        raise ValueError(f"betas={betas!r} is not allowed; give two numbers in [0, 1).")
    for beta in betas:
        if not isinstance(beta, float | int) or not 0 <= beta < 1:
            raise ValueError(f"betas={betas!r} is not allowed; give two numbers in [0, 1).")
    if group["rounding"] not in ROUNDINGS:
        raise ValueError(
            f"rounding={group['rounding']!r} is unknown; choose one of {', '.join(ROUNDINGS)}."
        )
    if "rank" not in group:
        return
    for key, choices in CHOICES.items():
        if group[key] not in choices or type(group[key]) is not type(choices[0]):
            raise ValueError(
                f"{key}={group[key]!r} is unknown; choose one of {', '.join(map(str, choices))}."
            )
    options = (group[key] for key in ("rank", "oversample", "power_iterations", "seed"))
    check_projection(group["projector"], *options, warm=group["start"] == "warm")
    check_integer("update_proj_gap", group["update_proj_gap"], least=1)
    check_integer("blocks", group["blocks"], least=1)
    _check_number("scale", group["scale"], least=-math.inf)
    _check_idle(group)
    _check_refresh(group)


def check_edited(group: Mapping[str, Any]) -> None:
    """Refuse keys and values that a group was given after it was added; `update` checks a rate's
    tensor, which is on a device, where it reads it.

    Raises:
        ValueError: As `complete_group`, or a plain group was given a rank.
    """
    check_complete(group)
    check_keys(group)
    _check_one("lr", group["lr"])
    held_back = {"lr": 0.0} if isinstance(group["lr"], Tensor) else {}
    check_values({**group, **held_back})
    _check_rounding(group)


def check_complete(group: Mapping[str, Any]) -> None:
    """Refuse a group that lacks options, as a plain one does that was given a rank later.

    Raises:
        ValueError: Says what is missing.
    """
    of_a_rank = PROJECTION_DEFAULTS.keys() if "rank" in group else ()
    if of_a_rank and not of_a_rank & group.keys():
        raise ValueError(
            "rank was added to a group that is plain: what is projected is decided when a group is "
            "added. Take it out, or build a new optimizer from groups with rank."
        )
    missing = [key for key in (*ADAM_KEYS, "rounding", *of_a_rank) if key not in group]
    if missing:
        raise ValueError(
            f"A group of the optimizer lacks {', '.join(missing)}, which it was given when it was "
            f"added: set it again."
        )


def check_rate(lr: float) -> None:
    """Refuse a learning rate that is no finite number of at least 0.

    Raises:
        ValueError: It is none.
    """
    _check_number("lr", lr, least=0.0)


def _check_one(key: str, value: object) -> None:
    if isinstance(value, Tensor) and value.numel() != 1:
        raise ValueError(
            f"{key} has shape {tuple(value.shape)}; give a number or a tensor with one."
        )


def check_released(groups: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a projected group whose bases need whole gradients.

    Raises:
        ValueError: A projected group has refresh_from="current", or a plain one was given a rank.
    """
    for number, group in enumerate(groups):
        check_complete(group)
        if "rank" in group and group["refresh_from"] != "previous":
            raise ValueError(
                f"Group {number} has refresh_from={group['refresh_from']!r}: its bases come "
                f"from whole gradients, which are gone once they are projected. "
                f"Set refresh_from='previous'."
            )


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's, which checkpoints hold without NumPy; pairs likewise."""
    if isinstance(value, tuple | list):
        return type(value)(_plain(v) for v in value)
    if not isinstance(value, Tensor) and getattr(value, "shape", None) == ():
        return value.item()
    return value


def _check_rounding(group: Mapping[str, Any]) -> None:
    if group["rounding"] == "nearest":
        return
    named_or_not = (p[1] if isinstance(p, tuple) else p for p in group["params"])
    dtypes = {parameter.dtype for parameter in named_or_not}
    if torch.bfloat16 not in dtypes:
        raise ValueError(
            f"rounding={group['rounding']!r} is for bfloat16 parameters; this group has "
            f"{', '.join(sorted(map(str, dtypes)))}. Leave it out."
        )


def _check_idle(group: Mapping[str, Any]) -> None:
    """Refuse a random matrix, or signs, that the projector does not have."""
    for key, projectors in (("sketch", RANDOM), ("signs", ("svd",))):
        if group[key] != PROJECTION_DEFAULTS[key] and group["projector"] not in projectors:
            raise ValueError(
                f"{key}={group[key]!r} has no effect with projector={group['projector']!r}; leave "
                f"it out, or choose {', '.join(projectors)}."
            )


def _check_refresh(group: Mapping[str, Any]) -> None:
    projector = group["projector"]
    if group["start"] == "warm" and group["oversample"] == 0:
        raise ValueError(
            "start='warm' with oversample=0 could never leave the range of the first basis; "
            "set oversample to 1 or more (8 is plenty)."
        )
    if group["refresh_from"] == "previous":
        if projector not in (*SKETCHING, "identity"):
            raise ValueError(
                f"refresh_from='previous' has no whole gradient for projector={projector!r}; "
                f"choose one of {', '.join(SKETCHING)}."
            )
        if group["power_iterations"]:
            raise ValueError(
                "refresh_from='previous' sees each gradient once: set power_iterations to 0; "
                "start='warm' is the power iteration of this mode."
            )
        if group["residual"] != "drop":
            raise ValueError(
                f"residual={group['residual']!r} needs whole gradients at the step, which "
                f"refresh_from='previous' frees: set residual='drop' or refresh_from='current'."
            )
    if projector == "identity":
        for key in ("moments", "stagger", "residual"):
            if group[key] != PROJECTION_DEFAULTS[key]:
                raise ValueError(
                    f"{key}={group[key]!r} has no effect with projector='identity', whose basis "
                    f"never changes and holds all of a gradient; leave it out."
                )


def _check_number(key: str, value: object, *, least: float) -> None:
    if isinstance(value, bool) or not isinstance(value, float | int | Tensor):
        raise ValueError(f"{key}={value!r} is no Python number and no tensor; give one of them.")
    _check_one(key, value)
    if not (math.isfinite(value) and value >= least):
        bound = f" of at least {least}" if math.isfinite(least) else ""
        raise ValueError(f"{key}={value!r} is not allowed; give a finite number{bound}.")
