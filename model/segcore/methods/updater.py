"""What a training loop asks of an optimizer between the backward pass and the step."""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from segcore.systems.system import System
from segcore.training.runtime import Runtime
from srft_galore import Reducer

LOSS = 4
"""Bytes of the loss of a batch."""


class Updater:
    """The plain case, which serves every optimizer that reads `grad` in its `step`.

    A method whose optimizer needs something else overrides `Method.updater`.
    """

    keeps_gradients: ClassVar[bool] = True
    """Whether gradients stay in `grad` from the backward pass to the step."""

    def __init__(self, system: System, optimizer: Optimizer) -> None:
        self.optimizer: Optimizer = optimizer
        self.trained = [p for p in system.parameters() if p.requires_grad]
        self._runtime = Runtime()
        self._reducer: Reducer | None = None

    def join(self, runtime: Runtime) -> None:
        """Sum over the workers of a runtime from here on, where it has several. Called once, before
        the first backward pass."""
        self._runtime = runtime
        if runtime.world > 1:
            self._reducer = Reducer(self.trained, self._to_send, runtime.all_reduce)

    @property
    def sends_projections(self) -> bool:
        """Whether several workers sum projections of gradients, and not the gradients."""
        return False

    def bytes_to_sum(self) -> float:
        """Bytes that each of several workers hands over at a step, the mean over many."""
        return sum(p.nbytes for p in self.trained) + LOSS

    def before_last_backward(self) -> None:
        """Called before the last backward pass of a batch: what it completes is sent to the other
        workers while it goes on."""
        if self._reducer is not None:
            self._reducer.begin()

    def reduce_and_clip(self, loss: Tensor, clip_norm: float | None) -> Tensor:
        """Sum loss and gradients over the workers, in place, and clip the gradients.

        Called on every worker after the last backward pass of a batch.

        Args:
            loss: this worker's part of the batch's loss, a scalar.
            clip_norm: largest global norm of the gradient; None does not clip.

        Returns:
            The global norm of the gradient before it was clipped, a scalar.
        """
        for parameter in self.trained:
            if parameter.grad is None:  # an empty share still takes part in the sum
                parameter.grad = torch.zeros_like(parameter)
        self._sum([*(p.grad for p in self.trained if p.grad is not None), loss])
        return torch.nn.utils.clip_grad_norm_(self.trained, clip_norm or math.inf)

    def refresh(self) -> None:
        """Renew what the optimizer renews now and then, so that its time is measured apart from
        the step's. Called before every step; the plain case has nothing to renew."""

    def _sum(self, tensors: Sequence[Tensor]) -> None:
        """Sum tensors over the workers in place, of which some may be on their way."""
        if self._reducer is not None:
            self._reducer.finish(tensors)

    def _to_send(self, parameter: Tensor) -> list[Tensor]:
        """What is summed over the workers of a parameter whose gradient is whole."""
        assert parameter.grad is not None
        return [parameter.grad]
