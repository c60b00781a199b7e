"""A running mean of the trained weights, which is scored and kept in their place.

Polyak and Juditsky (1992), with a decay; the update is torch's own.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class RunningMean:
    """The mean over the steps of the parameters that move; buffers stay the training's."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Begin with the weights as they are.

        Args:
            model: with its adapters in, on its device.
            decay: as of `OptimConfig.ema`.
        """
        self._moving: list[Tensor] = [p for p in model.parameters() if p.requires_grad]
        self._decay = decay
        self.tensors: list[Tensor] = [p.detach().clone() for p in self._moving]

    @torch.no_grad()
    def add(self, step: int) -> None:
        """Take in the weights after an optimizer step, counted from 1."""
        decay = min(self._decay, (1 + step) / (10 + step))
        get_ema_multi_avg_fn(decay)(self.tensors, [p.detach() for p in self._moving], step)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """While it lasts, the model has the mean's values, and afterwards its own again."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def restore(self, tensors: Sequence[Tensor]) -> None:
        """Go on from a mean that was kept, its tensors in the same order."""
        for own, kept in zip(self.tensors, tensors, strict=True):
            own.copy_(kept)

    @torch.no_grad()
    def _exchange(self) -> None:
        for mean, parameter in zip(self.tensors, self._moving, strict=True):
            kept = parameter.clone()
            parameter.copy_(mean)
            mean.copy_(kept)
