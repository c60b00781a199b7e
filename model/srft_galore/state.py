"""The state of a parameter, and whether a saved one fits."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .groups.checks import check_complete, check_values
from .groups.options import ADAM_KEYS, PROJECTION_DEFAULTS
from .groups.torch_options import check_torch_options
from .projection import Projection, plan_projection
from .step_counts import StepCounts

_MEANINGLESS = "Moments of one projection mean nothing in another"
_TAKEN_OVER = "Loading takes the options of the state over, and would silently change this one"
_FIXED = {
    **dict.fromkeys(("rank", "side", "blocks"), _MEANINGLESS),
    **dict.fromkeys(("projector", "refresh_from"), _TAKEN_OVER),
}
"""Option -> why a state that was saved with another value of it is not loaded."""
_FIRST_KEYS = (
    *("rank", "update_proj_gap", "scale", "projector", "side"),
    *("oversample", "power_iterations", "seed"),
)
"""Options that a projected group has had since the first version."""


def plan(parameter: Tensor, group: Mapping[str, Any]) -> Projection | None:
    """How this group treats a parameter: its projection, or None for plain AdamW."""
    if "rank" not in group:
        return None
    check_complete(group)
    return plan_projection(
        parameter.shape,
        rank=group["rank"],
        side=group["side"],
        projector=group["projector"],
        blocks=group["blocks"],
    )


def moment_dtype(parameter: Tensor) -> torch.dtype:
    """Of basis, moments and arithmetic: float32, or float64 for float64 parameters."""
    return torch.promote_types(parameter.dtype, torch.float32)


def new_state(parameter: Tensor, projection: Projection | None) -> dict[str, Tensor]:
    """State of a parameter before its first step.

    What decides when a basis is refreshed is counted on the CPU, where reading it waits for no
    device; `skipped` is counted where the gradients are. Bytes:

        projected: B b (S R + 2 R T) + 40     plain: 2 b M N + 16

    with B blocks of M x N, b = 4 (8 for float64), the projected side S, the other one T, the rank
    R, and 8 per counter.
    """
    dtype, device = moment_dtype(parameter), parameter.device
    shape = parameter.shape if projection is None else projection.moment_shape
    state = {
        "step": torch.zeros((), dtype=torch.int64, device="cpu"),
        "skipped": torch.zeros((), dtype=torch.int64, device=device),
        "exp_avg": torch.zeros(shape, dtype=dtype, device=device),
        "exp_avg_sq": torch.zeros(shape, dtype=dtype, device=device),
    }
    if projection is not None:
        *leading, side, rank = projection.basis_shape
        # Stored by columns: products with a narrow basis are several times faster on a CPU.
        state["basis"] = torch.zeros((*leading, rank, side), dtype=dtype, device=device).mT
        state["refreshes"] = torch.zeros((), dtype=torch.int64, device="cpu")
        state["refreshed_at"] = torch.full((), -1, dtype=torch.int64, device="cpu")
        state["restarted_at"] = torch.zeros((), dtype=torch.int64, device="cpu")
    return state


def migrated(saved: Mapping[str, Any]) -> dict[str, Any]:
    """A state that an earlier version saved, as this one would have saved it.

    Options of the groups that came later are set to what was done before there was a choice. When
    moments were reset for the last time, which once followed from the options, is written down. An
    empty state, which reading `state[p]` before the first step leaves behind, is none.

    Args:
        saved: What `state_dict` gave, of any optimizer.

    Raises:
        ValueError: It was not saved by a GaLoreAdamW.
    """
    if not isinstance(saved.get("state"), Mapping) or "param_groups" not in saved:
        raise ValueError(
            f"This is no optimizer's state: it has {', '.join(map(str, saved)) or 'nothing'} in "
            f"the place of state and param_groups. Give what state_dict() returned."
        )
    groups = []
    for number, group in enumerate(saved["param_groups"]):
        first = (*ADAM_KEYS, *(_FIRST_KEYS if "rank" in group else ()))
        missing = [key for key in first if key not in group]
        if missing:
            raise ValueError(
                f"Group {number} of the saved state lacks {', '.join(missing)}: it was not saved "
                f"by a GaLoreAdamW. Load it into the optimizer that saved it, or start afresh."
            )
        later = {"rounding": "nearest"}
        if "rank" in group:
            later |= PROJECTION_DEFAULTS
            later["signs"] = "free" if group["projector"] == "svd" else later["signs"]
        groups.append({**later, **group})
    reset = {i for g in groups if g.get("moments") == "reset" for i in g["params"]}
    states = {
        index: _with_restart(state, was_reset=index in reset)
        for index, state in saved["state"].items()
        if state
    }
    return {**saved, "state": states, "param_groups": groups}


def _with_restart(state: Mapping[str, Any], *, was_reset: bool) -> Mapping[str, Any]:
    """The state of a parameter with the step at which its moments were reset for the last time."""
    refreshed_at = state.get("refreshed_at")
    if "restarted_at" in state or not isinstance(refreshed_at, Tensor):
        return state
    at = refreshed_at if was_reset else torch.zeros((), dtype=torch.int64, device="cpu")
    return {**state, "restarted_at": at.clamp(min=0)}


def reduced_bytes(parameter: Tensor, group: Mapping[str, Any]) -> float:
    """Bytes that `GaLoreAdamW.reduce` hands over of a parameter at a step, once it has a basis.

    Sketch and basis, which are handed over where a basis is due, count by their share of an
    interval.
    """
    projection = plan(parameter, group)
    if projection is None or group["refresh_from"] == "current":
        return parameter.nbytes
    elements: float = math.prod(projection.moment_shape)
    if group["projector"] != "identity":
        columns = projection.rank + group["oversample"]
        columns = min(columns, projection.rows, projection.cols) + projection.rank
        elements += projection.blocks * projection.side * columns / group["update_proj_gap"]
    return elements * moment_dtype(parameter).itemsize


def check_loadable(groups: Sequence[Mapping[str, Any]], saved: Mapping[str, Any]) -> None:
    """Refuse a saved state that was made for other groups, projections or shapes.

    Args:
        groups: The optimizer's own parameter groups.
        saved: What `migrated` made of another optimizer's state.

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
        for key, why in _FIXED.items():
            if group.get(key) != other.get(key):
                raise ValueError(
                    f"Group {number} has {key}={group.get(key)!r}, the saved state "
                    f"{key}={other.get(key)!r} (None: not projected). {why}: build the "
                    f"optimizer with the saved {key}, or start afresh."
                )
        check_torch_options(other)
        check_values(other)
        for position, (parameter, index) in enumerate(
            zip(group["params"], other["params"], strict=True)
        ):
            if index in saved["state"]:
                expected = new_state(parameter.to("meta"), plan(parameter, group))
                name = f"parameter {position} of group {number}"
                _check_state(name, expected, saved["state"][index])


def copied_states(
    groups: Sequence[Mapping[str, Any]], saved: Mapping[str, Any]
) -> dict[Tensor, dict[str, Tensor]]:
    """A saved state as new tensors, by parameter; dtypes and devices are those of `new_state`.

    Args:
        groups: The optimizer's own parameter groups.
        saved: What `state_dict` gave, and `check_loadable` accepted.
    """
    states = {}
    for group, other in zip(groups, saved["param_groups"], strict=True):
        for parameter, index in zip(group["params"], other["params"], strict=True):
            if index in saved["state"]:
                states[parameter] = new_state(parameter, plan(parameter, group))
                for key, tensor in states[parameter].items():
                    tensor.copy_(saved["state"][index][key])
    return states


def own_storage(state: Mapping[str, Tensor], counts: StepCounts) -> dict[str, Tensor]:
    """A state whose tensors have storage of their own and are where `new_state` has them.

    Args:
        state: Of a parameter.
        counts: Of the optimizer.
    """
    if all(t.untyped_storage().nbytes() == t.nbytes for t in state.values()):
        return dict(state)
    step = torch.tensor(counts.exact(state), dtype=torch.int64, device="cpu")
    return {**{key: tensor.clone() for key, tensor in state.items()}, "step": step}


def held_bytes(states: Iterable[Mapping[str, Tensor]]) -> int:
    """Bytes of storage that the tensors of states hold, each storage once."""
    storages = (tensor.untyped_storage() for state in states for tensor in state.values())
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def skipped_steps(states: Iterable[Mapping[str, Tensor]]) -> int:
    """Steps that were skipped for NaN or Inf, of all parameters together; one wait per device."""
    by_device: dict[torch.device, list[Tensor]] = {}
    for state in filter(None, states):
        by_device.setdefault(state["skipped"].device, []).append(state["skipped"])
    return sum(int(torch.stack(counts).sum()) for counts in by_device.values())


def _check_state(name: str, expected: Mapping[str, Tensor], found: Mapping[str, Any]) -> None:
    if set(expected) != set(found):
        raise ValueError(
            f"The saved state of {name} holds {', '.join(sorted(map(str, found)))}; "
            f"expected {', '.join(sorted(expected))}. It is another optimizer's: load it into "
            f"that one, or start afresh."
        )
    for key, tensor in expected.items():
        shape = found[key].shape if isinstance(found[key], Tensor) else None
        if shape != tensor.shape:
            raise ValueError(
                f"The saved {key} of {name} has shape {shape and tuple(shape)}; "
                f"expected {tuple(tensor.shape)}. The model or its groups changed since: build "
                f"the optimizer as it was, or start afresh."
            )
