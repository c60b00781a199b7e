"""What a parameter group may say, and whether a saved state fits it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .projection import SIDES, Projection, plan_projection
from .range_finder import check_integer, check_projection

ADAM_KEYS = ("lr", "betas", "eps", "weight_decay")
PROJECTION_DEFAULTS: Mapping[str, Any] = {
    "update_proj_gap": 200,
    "scale": 1.0,
    "projector": "srft",
    "side": "short",
    "oversample": 0,
    "power_iterations": 0,
    "seed": 0,
}
"""Keys, beside "rank", of a group that is projected, and what they are where not given."""
# torch's own: names of parameters, and what schedulers leave in a group.
_TORCH_KEYS = ("params", "param_names", "initial_lr")


def complete_group(group: Mapping[str, Any], adam_defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The group with every default filled in, checked.

    Args:
        group: As the user gave it, with "params".
        adam_defaults: The optimizer's own lr, betas, eps and weight_decay.

    Raises:
        ValueError: A key is unknown or has no effect, or a value is not allowed.
    """
    allowed = (*_TORCH_KEYS, *ADAM_KEYS, "rank", *PROJECTION_DEFAULTS)
    unknown = sorted(set(group) - set(allowed))
    if unknown:
        raise ValueError(
            f"Unknown key {', '.join(map(repr, unknown))} in a parameter group; "
            f"allowed are {', '.join(allowed)}."
        )
    idle = sorted(set(group) & set(PROJECTION_DEFAULTS))
    if idle and "rank" not in group:
        raise ValueError(
            f"{', '.join(idle)} without rank: a group is projected only where it gives a rank. "
            f"Add rank, or take {', '.join(idle)} out."
        )
    defaults = {**adam_defaults, **(PROJECTION_DEFAULTS if "rank" in group else {})}
    complete = {**defaults, **group}
    check_values(complete)
    return complete


def check_values(group: Mapping[str, Any]) -> None:
    """Refuse values of a complete group that are not allowed.

    Raises:
        ValueError: Names the key, its value and what is allowed.
    """
    lr = group["lr"]
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError(f"lr has shape {tuple(lr.shape)}; give a number or a tensor with one.")
    for key in ("lr", "eps", "weight_decay"):
        _check_number(key, group[key], least=0.0)
    betas = group["betas"]
    if not isinstance(betas, tuple | list) or len(betas) != 2:
        raise ValueError(f"betas={betas!r} is not allowed; give two numbers in [0, 1).")
    for beta in betas:
        if not isinstance(beta, float | int) or not 0 <= beta < 1:
            raise ValueError(f"betas={betas!r} is not allowed; give two numbers in [0, 1).")
    if "rank" not in group:
        return
    options = (group[key] for key in ("rank", "oversample", "power_iterations", "seed"))
    check_projection(group["projector"], *options)
    check_integer("update_proj_gap", group["update_proj_gap"], least=1)
    _check_number("scale", group["scale"], least=-math.inf)
    if group["side"] not in SIDES:
        raise ValueError(f"side={group['side']!r} is unknown; choose one of {', '.join(SIDES)}.")


def plan(parameter: Tensor, group: Mapping[str, Any]) -> Projection | None:
    """How this group treats a parameter: its projection, or None for plain AdamW."""
    if "rank" not in group:
        return None
    return plan_projection(
        parameter.shape, rank=group["rank"], side=group["side"], projector=group["projector"]
    )


def moment_dtype(parameter: Tensor) -> torch.dtype:
    """Of basis, moments and arithmetic: float32, or float64 for float64 parameters."""
    return torch.promote_types(parameter.dtype, torch.float32)


def new_state(parameter: Tensor, projection: Projection | None) -> dict[str, Tensor]:
    """State of a parameter before its first step. Counters are int64 and stay on the CPU."""
    dtype, device = moment_dtype(parameter), parameter.device
    shape = parameter.shape if projection is None else projection.moment_shape
    state = {
        "step": torch.zeros((), dtype=torch.int64),
        "skipped": torch.zeros((), dtype=torch.int64),
        "exp_avg": torch.zeros(shape, dtype=dtype, device=device),
        "exp_avg_sq": torch.zeros(shape, dtype=dtype, device=device),
    }
    if projection is not None:
        state["basis"] = torch.zeros(projection.basis_shape, dtype=dtype, device=device)
        state["refreshes"] = torch.zeros((), dtype=torch.int64)
        state["refreshed_at"] = torch.full((), -1, dtype=torch.int64)
    return state


def check_loadable(groups: Sequence[Mapping[str, Any]], saved: Mapping[str, Any]) -> None:
    """Refuse a saved state that was made for other groups, projections or shapes.

    Args:
        groups: The optimizer's own parameter groups.
        saved: What `state_dict` of another optimizer gave.

    Raises:
        ValueError: Names the first difference; nothing was changed.
    """
    ours = [len(group["params"]) for group in groups]
    theirs = [len(group["params"]) for group in saved["param_groups"]]
    if ours != theirs:
        raise ValueError(
            f"The saved state has groups of {theirs} parameters, this optimizer of {ours}; "
            f"build it from the same model and groups."
        )
    for number, (group, other) in enumerate(zip(groups, saved["param_groups"], strict=True)):
        missing = [key for key in ADAM_KEYS if key not in other]
        if "rank" in other:
            missing += [key for key in PROJECTION_DEFAULTS if key not in other]
        if missing:
            raise ValueError(
                f"Group {number} of the saved state lacks {', '.join(missing)}: "
                f"it was not saved by GaLoreAdamW."
            )
        for key in ("rank", "side", "projector"):
            if group.get(key) != other.get(key):
                raise ValueError(
                    f"Group {number} has {key}={group.get(key)!r}, the saved state "
                    f"{key}={other.get(key)!r} (None: not projected). Moments of one projection "
                    f"mean nothing in another: build the optimizer with the saved {key}, "
                    f"or start afresh."
                )
        check_values(other)
        for position, (parameter, index) in enumerate(
            zip(group["params"], other["params"], strict=True)
        ):
            if index in saved["state"]:
                expected = new_state(parameter.to("meta"), plan(parameter, group))
                name = f"parameter {position} of group {number}"
                _check_state(name, expected, saved["state"][index])


def _check_state(name: str, expected: Mapping[str, Tensor], found: Mapping[str, Any]) -> None:
    if set(expected) != set(found):
        raise ValueError(
            f"The saved state of {name} holds {', '.join(sorted(map(str, found)))}; "
            f"expected {', '.join(sorted(expected))}."
        )
    for key, tensor in expected.items():
        shape = getattr(found[key], "shape", None)
        if shape != tensor.shape:
            raise ValueError(
                f"The saved {key} of {name} has shape {shape and tuple(shape)}; "
                f"expected {tuple(tensor.shape)}. The model or its groups changed since."
            )


def _check_number(key: str, value: object, *, least: float) -> None:
    if isinstance(value, bool) or not isinstance(value, float | int | Tensor):
        raise ValueError(f"{key}={value!r} is not a number.")
    if not (math.isfinite(value) and value >= least):
        bound = f" of at least {least}" if math.isfinite(least) else ""
        raise ValueError(f"{key}={value!r} is not allowed; give a finite number{bound}.")
