"""What a parameter group may say.

A group of either kind takes "lr", "betas", "eps" and "weight_decay", and "rounding" for bfloat16
weights: "nearest" or "stochastic" ("nearest"); see `rounding`. A group with "rank" is projected and
takes these keys too, in GaLore's own words where it has them; defaults are in brackets:

- "rank": columns of the basis, clamped to the smaller dimension, where the projection only rotates.
- "update_proj_gap": steps between refreshes of the basis (200). The bases are due at steps 0, gap,
  2 gap, ...
- "scale": factor of the update (1.0).
- "projector": "srft", "svd", "gaussian", "identity" or "srft_published" ("srft"); see
  `range_finder`.
- "side": "short", "left", "right" or "input" ("short", which is the right one where M >= N); see
  `projection`.
- "blocks": equal blocks of rows that have a basis each (1); 3 for a fused qkv weight.
- "oversample", "power_iterations", "seed": of `range_finder` (0, 0, 0). Each refresh has a seed of
  its own, derived from the group's seed and the number of refreshes before: equal on all ranks, and
  untouched by torch's global random state.
- "sketch": "shared" or "per_weight" ("shared"): whether weights of one shape that are refreshed
  together share the random matrix, which is then drawn once, or have one each.
- "signs": "aligned" or "free" ("aligned"), of "svd": whether a new singular vector points where the
  old one in its place did. A decomposition leaves signs open, and moments that are kept would
  change theirs.
- "start": "cold" or "warm" ("cold"): whether a refresh starts from the old basis, with "oversample"
  random columns beside it.
- "stagger": whether the parameters of the group take turns (False), so that the cost of the
  refreshes is spread evenly over the interval. At step 0 all have their first.
- "moments": "keep", "rotate" or "reset" ("keep", GaLore's way); see `moments.change_basis`.
- "refresh_from": "current" or "previous" ("current", GaLore's way): which step's gradient the basis
  of a step comes from. With "previous" a gradient is looked at once: it is projected, and sketched
  where the next step is to have a new basis, and freed (`grad` is then None). Both are linear in
  the gradient, so microbatches (`attach`) and ranks (`reduce`) add up. The first step then has no
  basis: it moves the plain parameters and looks for the first bases.
- "residual": "drop" or "sign" ("drop", GaLore's way): what a step does with the gradient
  outside of the subspace, without a state of its own; see `update.residual`.

Keys of others (a scheduler's, timm's "lr_scale") stay in the group untouched, as in torch's own
optimizers. What looks like a slip in one of the above, or is a key of another GaLore or of APOLLO,
is refused, at the start and where it is added later.
"""

import difflib
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from srft_galore.basis.range_finder import (
    RANDOM,
    SKETCHING,
    check_integer,
    check_projection,
)
from srft_galore.projection import SIDES
from srft_galore.update.rounding import ROUNDINGS

from .torch_options import TORCH_OPTIONS, check_torch_options

ADAM_KEYS = ("lr", "betas", "eps", "weight_decay")
PROJECTION_DEFAULTS: Mapping[str, Any] = {
    "update_proj_gap": 200,
    "scale": 1.0,
    "projector": "srft",
    "side": "short",
    "blocks": 1,
    "sketch": "shared",
    "signs": "aligned",
    "start": "cold",
    "oversample": 0,
    "power_iterations": 0,
    "refresh_from": "current",
    "stagger": False,
    "moments": "keep",
    "residual": "drop",
    "seed": 0,
}
"""Keys, beside "rank", of a group that is projected, and what they are where not given."""
_OURS = (*ADAM_KEYS, "rounding", "rank", *PROJECTION_DEFAULTS)
RECOMMENDED: Mapping[str, Any] = {
    "update_proj_gap": 5,
    "start": "warm",
    "oversample": 8,
    "moments": "rotate",
}
"""Options that measured better than GaLore's or as well, on all that was tried (README, "Which
options pay"). They are not the defaults: `{"params": ..., "rank": 32, **RECOMMENDED}`."""
_CHOICES = {
    "side": SIDES,
    "sketch": ("shared", "per_weight"),
    "signs": ("aligned", "free"),
    "start": ("cold", "warm"),
    "refresh_from": ("current", "previous"),
    "moments": ("keep", "rotate", "reset"),
    "residual": ("drop", "sign"),
    "stagger": (False, True),
}
_OF_OTHERS = {
    "proj_type": "side ('std' is 'short', 'reverse_std' the longer side, 'right', 'left')",
    **dict.fromkeys(
        (
            *("update_gap", "proj_gap", "gap", "T"),
            *("interval", "update_interval", "update_proj_interval"),
        ),
        "update_proj_gap",
    ),
    "warm_start": "start='warm' and oversample=8",
    "r": "rank",
    "proj": "projector",
    "alpha": "scale",
    "wd": "weight_decay",
}
"""Keys of other GaLores that would say something here too -> how it is said here."""
_NOT_HERE = {"scale_type": "APOLLO scales by channel or tensor, which there is not here"}
"""Keys of others that ask for what there is not."""
_SLIP = 0.8
"""From this likeness on (`difflib`) a key is taken for a misspelt one of ours; `lr_scale`, which
others have, is like `scale` by 0.77."""


def complete_group(group: Mapping[str, Any], adam_defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The group with every default filled in, checked.

    Args:
        group: As the user gave it, with "params".
        adam_defaults: The optimizer's own lr, betas, eps and weight_decay.

    Raises:
        ValueError: A key is unknown or has no effect, or a value is not allowed.
    """
    _check_keys(group)
    defaults = {**adam_defaults, "rounding": "nearest"}
    complete = {**defaults, **(PROJECTION_DEFAULTS if "rank" in group else {}), **group}
    for key in (*ADAM_KEYS, *PROJECTION_DEFAULTS, "rank"):
        if key in complete:
            complete[key] = _plain(complete[key])
    params = group["params"]
    complete["params"] = [params] if isinstance(params, Tensor) else list(params)
    check_values(complete)
    _check_rounding(complete)
    return complete


def check_values(group: Mapping[str, Any]) -> None:
    """Refuse values of a complete group that are not allowed, or that change nothing.

    Raises:
        ValueError: Names the key, its value and what is allowed.
    """
    _check_one(group["lr"])
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
    for key, choices in _CHOICES.items():
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
    _check_keys(group)
    _check_one(group["lr"])
    held_back = {"lr": 0.0} if isinstance(group["lr"], Tensor) else {}
    check_values({**group, **held_back})


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


def check_known(options: Mapping[str, Any]) -> None:
    """Refuse what is no option of a projected group.

    Args:
        options: Of such a group, without "params" and "rank".

    Raises:
        TypeError: Names the options that are none, and those that there are.
    """
    known = (*ADAM_KEYS, "rounding", *PROJECTION_DEFAULTS)
    unknown = sorted(options.keys() - {*known, *TORCH_OPTIONS})
    if unknown:
        names = (f"{key!r} ({told})" if (told := _meant(key)) else repr(key) for key in unknown)
        raise TypeError(
            f"for_model has no option {', '.join(names)}; there are {', '.join(known)}. What else "
            f"a group is to hold is written into it afterwards."
        )


def check_rate(lr: float) -> None:
    """Refuse a learning rate that is no finite number of at least 0.

    Raises:
        ValueError: It is none.
    """
    _check_number("lr", lr, least=0.0)


def _check_one(lr: object) -> None:
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError(f"lr has shape {tuple(lr.shape)}; give a number or a tensor with one.")


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


def _check_keys(group: Mapping[str, Any]) -> None:
    check_torch_options(group)
    unknown = sorted(map(str, group.keys() - {*_OURS, *TORCH_OPTIONS}))
    slips = [f"{key!r}: {told}" for key in unknown if (told := _meant(key))]
    if slips:
        raise ValueError(
            f"Unknown in a parameter group: {'; '.join(slips)}. Ours are {', '.join(_OURS)}; a key "
            f"of your own may not be so like one of them."
        )
    if group.get("side") in ("std", "reverse_std"):
        raise ValueError(
            f"side={group['side']!r} is a name of other GaLores: write side='short' for 'std'; for "
            f"the longer side say 'left' or 'right'."
        )
    idle = sorted(group.keys() & PROJECTION_DEFAULTS.keys())
    if idle and "rank" not in group:
        raise ValueError(
            f"{', '.join(idle)} without rank: a group is projected only where it gives a rank. "
            f"Add rank, or take {', '.join(idle)} out."
        )


@functools.cache
def _meant(key: str) -> str | None:
    """What to do about a key that is not ours; None where it means nothing here."""
    if key in _NOT_HERE:
        return f"leave it out; {_NOT_HERE[key]}"
    near = difflib.get_close_matches(key, _OURS, n=1, cutoff=_SLIP)
    ours = _OF_OTHERS.get(key, near[0] if near else None)
    return None if ours is None else f"write {ours}"


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
        raise ValueError(f"{key}={value!r} is not a number.")
    if not (math.isfinite(value) and value >= least):
        bound = f" of at least {least}" if math.isfinite(least) else ""
        raise ValueError(f"{key}={value!r} is not allowed; give a finite number{bound}.")
