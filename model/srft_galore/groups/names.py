"""Keys of a group that are not ours: slips, those of other optimizers, and the user's own."""

import difflib
import functools
from collections.abc import Mapping
from typing import Any

from .options import ADAM_KEYS, OPTIONS, PROJECTION_DEFAULTS
from .torch_options import TORCH_OPTIONS, check_torch_options

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


def check_keys(group: Mapping[str, Any]) -> None:
    """Refuse keys that look like a slip in one of ours, or say here what another key says.

    Raises:
        ValueError: Names them, with what to write.
    """
    check_torch_options(group)
    unknown = sorted(map(str, group.keys() - {*OPTIONS, *TORCH_OPTIONS}))
    slips = [f"{key!r}: {told}" for key in unknown if (told := _meant(key))]
    if slips:
        raise ValueError(
            f"Unknown in a parameter group: {'; '.join(slips)}. Ours are {', '.join(OPTIONS)}; a "
            f"key of your own may not be so like one of them."
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


@functools.cache
def _meant(key: str) -> str | None:
    """What to do about a key that is not ours; None where it means nothing here."""
    if key in _NOT_HERE:
        return f"leave it out; {_NOT_HERE[key]}"
    near = difflib.get_close_matches(key, OPTIONS, n=1, cutoff=_SLIP)
    ours = _OF_OTHERS.get(key, near[0] if near else None)
    return None if ours is None else f"write {ours}"
