"""The parameter groups of a model: which weights are projected, and which stay plain AdamW."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

from torch import Tensor, nn

from srft_galore.projection import can_be_projected

from .names import check_known

_LISTED = 40
"""Lines of a message at most."""


def for_model(
    model: nn.Module, *, rank: int, targets: str | Sequence[str], **options: Any
) -> list[dict[str, Any]]:
    """Make the groups of a model for `GaLoreAdamW`.

    The first group has the weights that `targets` name, in two dimensions or more; the second all
    other parameters, which take plain AdamW. Frozen parameters are in neither. A weight that two
    layers share has both names, and is in one group once. The groups are plain dictionaries: what
    one of them is to say beside, such as `groups[1]["weight_decay"] = 0.0`, is written into it.

    Args:
        model: Its parameters keep their order.
        rank: Of the projected group.
        targets: Regular expressions, each to be found somewhere in the name of a parameter as
            `model.named_parameters()` gives it: "attn", "layers.*mlp", ["q_proj", "v_proj"].
        options: More of the projected group: those of `options`, "lr" among them.

    Returns:
        The projected group, and the plain one where anything is left for it.

    Raises:
        ValueError: A pattern is no regular expression, or names no weight that is trained and can
            be projected. Says why, and lists the weights that there are.
        TypeError: An option is unknown.
    """
    check_known(options)
    named = list(model.named_parameters(remove_duplicate=False))
    one = isinstance(targets, str | bytes) or not isinstance(targets, Iterable)
    patterns = cast("list[str]", [targets] if one else list(targets))
    faults = list(_faults(patterns, named))
    if faults:
        there = Counter(_shortened(name, p) for name, p in named if _takes_part(p))
        lines = [f"{line}, {n} of them" if n > 1 else line for line, n in there.items()]
        if len(lines) > _LISTED:
            lines[_LISTED:] = [f"... and {len(lines) - _LISTED} more"]
        raise ValueError("\n  ".join([f"{'; '.join(faults)}. Weights of the model:", *lines]))
    chosen = {
        parameter: None
        for name, parameter in named
        if _takes_part(parameter) and any(re.search(pattern, name) for pattern in patterns)
    }
    others = [p for p in model.parameters() if p.requires_grad and p not in chosen]
    projected = [p for p in model.parameters() if p in chosen]
    groups: list[dict[str, Any]] = [{"params": projected, "rank": rank, **options}]
    return [*groups, {"params": others}] if others else groups


def _faults(patterns: Sequence[object], named: Sequence[tuple[str, Tensor]]) -> Iterator[str]:
    if not patterns:
        yield "targets is empty: give a pattern of the names of weights"
    for pattern in patterns:
        if not isinstance(pattern, str):
            yield f"{pattern!r} in targets is no string: give a pattern of the names of weights"
            continue
        try:
            found = [parameter for name, parameter in named if re.search(pattern, name)]
        except re.error as error:
            yield f"{pattern!r} in targets is no regular expression ({error})"
            continue
        if not found:
            yield f"{pattern!r} in targets is in no parameter's name"
        elif not any(_takes_part(parameter) for parameter in found):
            trained = any(parameter.requires_grad for parameter in found)
            what = "scalars, vectors and the like, which are not projected" if trained else "frozen"
            yield f"what {pattern!r} in targets names is {what}"


def _takes_part(parameter: Tensor) -> bool:
    return parameter.requires_grad and can_be_projected(parameter.shape)


def _shortened(name: str, parameter: Tensor) -> str:
    """A name and shape with numbers of layers left out, so that alike ones are one line."""
    shape = " x ".join(map(str, parameter.shape))
    return f"{re.sub(r'(^|(?<=[.]))[0-9]+(?=[.]|$)', '*', name)} ({shape})"
