"""Options of torch's AdamW that there are not here."""

from collections.abc import Collection, Mapping
from typing import Any

TORCH_OPTIONS: Mapping[str, Any] = {
    "amsgrad": False,
    "maximize": False,
    "foreach": None,
    "capturable": False,
    "differentiable": False,
    "fused": None,
}
"""Name -> the value at which it changes nothing, which is taken wherever torch takes it."""


def check_torch_options(options: Mapping[str, Any]) -> None:
    """Refuse options of torch's AdamW at values that would do something there.

    Args:
        options: These and any others, which are not looked at.

    Raises:
        ValueError: Names the option, its value and what is allowed.
    """
    for key in TORCH_OPTIONS.keys() & options.keys():
        if options[key] != TORCH_OPTIONS[key]:
            raise ValueError(
                f"{key}={options[key]!r} is not there in GaLoreAdamW: leave it out, or give "
                f"{TORCH_OPTIONS[key]!r}."
            )


def check_arguments(arguments: Mapping[str, Any], of_groups: Collection[str]) -> None:
    """Refuse keyword arguments of the optimizer that it does not have.

    Args:
        arguments: Those beyond its own.
        of_groups: Keys that a parameter group may have.

    Raises:
        TypeError: One is unknown, or belongs into a group.
        ValueError: As `check_torch_options`.
    """
    for key in arguments:
        if key in of_groups:
            raise TypeError(
                f"{key} is an option of a parameter group: GaLoreAdamW([{{'params': weights, "
                f"'rank': 8}}, {{'params': others}}], ...)."
            )
        if key not in TORCH_OPTIONS:
            raise TypeError(f"GaLoreAdamW has no option {key!r}.")
    check_torch_options(arguments)
