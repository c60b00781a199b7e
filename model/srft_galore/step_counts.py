"""How many steps parameters made, as far as the host can say without waiting for a device."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


class StepCounts:
    """What the host knows of the step counts that a device keeps.

    A parameter whose gradient cannot be used skips a step, and the device alone knows it. So the
    host has bounds from above, and reads the counts only where it matters.
    """

    def __init__(self) -> None:
        self._batches: list[tuple[Sequence[Tensor], Tensor]] = []
        self._bounds: dict[Tensor, int | None] = {}
        """Of each count that is followed; None where nothing is known."""
        self._exact = False

    def follow(self, counts: Sequence[Tensor], together: Tensor) -> None:
        """Follow counts of a device.

        Args:
            counts: One per parameter, without dimensions; views of `together`.
            together: All of them, to be read at once.
        """
        self._batches.append((counts, together))
        self._bounds.update(dict.fromkeys(counts))

    def clear(self) -> None:
        """Follow none any more."""
        self._batches.clear()
        self._bounds.clear()

    def doubt(self) -> None:
        """Know nothing of the counts, as where something else has written them."""
        self._bounds.update(dict.fromkeys(self._bounds))

    def advance(self, counts: Sequence[Tensor]) -> None:
        """Some of the parameters made a step, or skipped it.

        What a CUDA graph captures is replayed without the host: no bound holds from then on.

        Args:
            counts: Theirs, of one device.
        """
        self._exact = False
        if counts and is_captured(counts[0].device):
            self.doubt()
        for count in counts:
            bound = self._bounds[count]
            self._bounds[count] = None if bound is None else bound + 1

    def at_most(self, state: Mapping[str, Tensor]) -> int:
        """A bound of the steps that a parameter made, read only where nothing is known."""
        bound = self._bounds.get(state["step"])
        return self.exact(state) if bound is None else bound

    def exact(self, state: Mapping[str, Tensor]) -> int:
        """The steps that a parameter made. Where a device counts them, all are read at once.

        Raises:
            RuntimeError: A CUDA graph is being captured.
        """
        count = state["step"]
        if count not in self._bounds:
            return int(count)
        if not self._exact or self._bounds[count] is None:
            self._read()
        bound = self._bounds[count]
        assert bound is not None
        return bound

    def _read(self) -> None:
        for counts, together in self._batches:
            if is_captured(together.device):
                raise RuntimeError(
                    "A CUDA graph is being captured where a basis may be due: call refresh() first."
                )
            self._bounds.update(zip(counts, together.cpu().tolist(), strict=True))
        self._exact = True


def is_captured(device: torch.device) -> bool:
    """Whether what is launched on a device now goes into a CUDA graph."""
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()
