"""A step that treats each parameter by itself, as a CPU likes it."""

from collections.abc import Sequence

from srft_galore.entries import Entry
from srft_galore.gradients import Size, sizes
from srft_galore.refresh.strategies import Strategies

from .adamw import update


def update_one_by_one(entries: Sequence[Entry], strategies: Strategies) -> None:
    """Update parameters from the gradients that their strategies give; bases were refreshed.

    The host reads whether gradients can be used, once per device and dtype.

    Raises:
        ValueError: A learning rate is no finite number; nothing was moved.
    """
    ready = list(strategies.gradients(entries))
    found = sizes([gradient for _, gradient in ready])
    usable = [_is_usable(e, size) for (e, _), size in zip(ready, found, strict=True)]
    skipped = {e.position for (e, _), used in zip(ready, usable, strict=True) if not used}
    update([pair for pair, used in zip(ready, usable, strict=True) if used])
    moved = []
    for entry in entries:
        if entry.position in skipped or strategies.of(entry).is_spoiled(entry):
            entry.state["skipped"] += 1
        else:
            moved.append(entry)
    strategies.finish(moved)


def _is_usable(entry: Entry, size: Size) -> bool:
    """Whether a gradient of such a size moves its parameter; plain ones do where torch's would."""
    return size.finite if entry.projection is None else size.in_range
