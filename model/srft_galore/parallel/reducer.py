"""Sums over data-parallel ranks that are on their way while the backward pass still runs."""

from collections.abc import Callable, Sequence

from torch import Tensor

from .collectives import AllReduce, Message

BUCKET = 25 * 2**20
"""Bytes that are sent at once, as torch's DistributedDataParallel does."""


class Reducer:
    """Sums what parameters have to send, in buckets, as soon as their gradients are whole.

    `DistributedDataParallel` sends gradients. This sends what is kept of them, so that they may
    have been freed by then.

    All ranks have to send the same messages in the same order, whatever their backward passes
    reach first. So buckets are filled in one order, the reverse of that of the parameters, and a
    gradient that comes before its turn waits. The last bucket waits for `finish`, and takes along
    what else is to be summed: what fits into one bucket is one message.

    Args:
        parameters: Those that are trained, in the order in which the model uses them.
        to_send: Gives what a parameter whose gradient is whole has to send: tensors of the same
            shapes on all ranks, which stay in place until `finish`.
        all_reduce: Sums over the ranks.
        bucket: Bytes from which a bucket is full.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        to_send: Callable[[Tensor], list[Tensor]],
        all_reduce: AllReduce,
        bucket: int = BUCKET,
    ) -> None:
        self._order = list(reversed(parameters))
        self._to_send, self._all_reduce, self._size = to_send, all_reduce, bucket
        for parameter in self._order:
            parameter.register_post_accumulate_grad_hook(self._reached)
        self._start_anew()

    def _start_anew(self) -> None:
        self._sending, self._next = False, 0
        self._whole: set[Tensor] = set()
        self._bucket: list[Tensor] = []
        self._sent: list[Message] = []

    def begin(self) -> None:
        """Send what the coming backward pass completes: it is the last one before `finish`."""
        self._sending = True

    def finish(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by their sums over the ranks. Called once for each step on every rank.

        Args:
            tensors: All that parameters have to send, of those too that no backward pass has
                reached, and what else is to be summed.
        """
        self._whole.update(self._order)
        self._fill()
        gone = {id(t) for t in self._bucket} | {id(t) for m in self._sent for t in m.tensors}
        others = [tensor for tensor in tensors if id(tensor) not in gone]
        for message in [*self._sent, *self._all_reduce.begin([*self._bucket, *others])]:
            message.finish()
        self._start_anew()

    def _reached(self, parameter: Tensor) -> None:
        if not self._sending:
            return
        if parameter in self._whole:
            raise RuntimeError(
                "A gradient was added to after it was sent to the other ranks: begin() comes "
                "before the last backward pass alone, and gradient checkpointing has to be torch's "
                "with use_reentrant=False."
            )
        self._whole.add(parameter)
        self._fill()

    def _fill(self) -> None:
        """Take in what has its turn, and send each bucket that is full once another one follows."""
        while self._next < len(self._order) and self._order[self._next] in self._whole:
            if sum(tensor.nbytes for tensor in self._bucket) >= self._size:
                self._sent += self._all_reduce.begin(self._bucket)
                self._bucket = []
            self._bucket += self._to_send(self._order[self._next])
            self._next += 1
