"""How many steps parameters made, as far as the host can say without waiting for a device."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from .sending import is_captured


class StepCounts:
    """What the host knows of the step counts that a device keeps.

    A parameter whose gradient cannot be used skips a step, and the device alone knows it. So the
    host has bounds from above, and reads the counts only where it matters.
    """

    def __init__(self) -> None:
        self._batches: list[tuple[Sequence[Tensor], Tensor]] = []
        self._bounds: dict[int, int | None] = {}
        """Of each count that is followed, by its id, which is quicker than a tensor; None where
        nothing is known."""
        self._exact = False
        self._replayed = False
        """Whether steps may be made without the host: a CUDA graph holds one."""

    def begin(self) -> None:
        """To be called before counts are asked for, at the beginning of a step or a refresh."""
        if self._replayed and not any(is_captured(counts.device) for _, counts in self._batches):
            self.doubt()

    def follow(
        self, counts: Sequence[Tensor], together: Tensor, known: Sequence[int | None]
    ) -> None:
        """Follow counts of a device.

        Args:
            counts: One per parameter, without dimensions; views of `together`.
            together: All of them, to be read at once.
            known: A bound of each, where there is one.
        """
        self._batches.append((counts, together))
        self._bounds.update(zip(map(id, counts), known, strict=True))
        self._exact = False

    def bound(self, count: Tensor) -> int | None:
        """Of a count, as far as the host has one without reading."""
        return int(count) if count.device.type == "cpu" else self._bounds.get(id(count))

    def clear(self) -> None:
        """Follow none any more."""
        self._batches.clear()
        self._bounds.clear()

    def doubt(self) -> None:
        """Know nothing of the counts, as where something else has written them."""
        self._bounds.update(dict.fromkeys(self._bounds))

    def advance(self, counts: Sequence[Tensor]) -> None:
        """Some of the parameters made a step, or skipped it.

        Args:
            counts: Theirs, of one device.
        """
        self._exact = False
        self._replayed |= is_captured(counts[0].device)
        for number in map(id, counts):
            bound = self._bounds[number]
            self._bounds[number] = None if bound is None else bound + 1

    def stepped(self, count: Tensor) -> None:
        """A parameter that is in no batch any more made a step."""
        bound = self._bounds.get(id(count))
        if bound is not None:
            self._bounds[id(count)] = bound + 1

    def at_most(self, state: Mapping[str, Tensor]) -> int:
        """A bound of the steps that a parameter made, read only where nothing is known."""
        bound = self._bounds.get(id(state["step"]))
        return self.exact(state) if bound is None else bound

    def exact(self, state: Mapping[str, Tensor]) -> int:
        """The steps that a parameter made. Where a device counts them, all are read at once.

        Raises:
            RuntimeError: A CUDA graph is being captured.
        """
        count = state["step"]
        if id(count) not in self._bounds:
            return int(count)
        if not self._exact or self._bounds[id(count)] is None:
            self._read()
        bound = self._bounds[id(count)]
        assert bound is not None
        return bound

    def _read(self) -> None:
        for counts, together in self._batches:
            if is_captured(together.device):
                raise RuntimeError(
                    "A CUDA graph is being captured where a basis may be due: call refresh() first."
                )
            self._bounds.update(zip(map(id, counts), together.cpu().tolist(), strict=True))
        self._exact = True
