"""A step that treats each parameter by itself, as a CPU likes it."""

from collections.abc import Sequence

from srft_galore.entries import Entry
from srft_galore.gradients import extremes
from srft_galore.refresh.strategies import Strategies

from .adamw import update


def update_one_by_one(entries: Sequence[Entry], strategies: Strategies) -> None:
    """Update parameters from the gradients that their strategies give; bases were refreshed.

    The host reads whether gradients can be used, once per device and dtype.

    Raises:
        ValueError: A learning rate is no finite number; nothing was moved.
    """
    ready = list(strategies.gradients(entries))
    found = extremes([gradient for _, gradient in ready])
    skipped = {e.position for (e, _), f in zip(ready, found, strict=True) if not f.finite}
    update([pair for pair, f in zip(ready, found, strict=True) if f.finite])
    moved = []
    for entry in entries:
        if entry.position in skipped or strategies.of(entry).is_spoiled(entry):
            entry.state["skipped"] += 1
        else:
            moved.append(entry)
    strategies.finish(moved)
