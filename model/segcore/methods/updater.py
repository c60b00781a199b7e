"""What a training loop asks of an optimizer between the backward pass and the step."""

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from segcore.systems.system import System
from segcore.training.runtime import Runtime


class Updater:
    """The plain case, which serves every optimizer that reads `grad` in its `step`.

    A method whose optimizer needs something else overrides `Method.updater`.
    """

    keeps_gradients: ClassVar[bool] = True
    """Whether gradients stay in `grad` from the backward pass to the step."""

    def __init__(self, system: System, optimizer: Optimizer) -> None:
        self.optimizer: Optimizer = optimizer
        self.trained = [p for p in system.parameters() if p.requires_grad]

    def reduce_and_clip(self, loss: Tensor, runtime: Runtime, clip_norm: float | None) -> Tensor:
        """Sum loss and gradients over the workers, in place, and clip the gradients.

        Called on every worker after the last backward pass of a batch.

        Args:
            loss: this worker's part of the batch's loss, a scalar.
            runtime: sums over the workers.
            clip_norm: largest global norm of the gradient; None does not clip.

        Returns:
            The global norm of the gradient before it was clipped, a scalar.
        """
        for parameter in self.trained:
            if parameter.grad is None:  # an empty share still takes part in the sum
                parameter.grad = torch.zeros_like(parameter)
        gradients = [p.grad for p in self.trained if p.grad is not None]
        runtime.reduce([*gradients, loss])
        return torch.nn.utils.clip_grad_norm_(self.trained, clip_norm or math.inf)

    def refresh(self) -> None:
        """Renew what the optimizer renews now and then, so that its time is measured apart from
        the step's. Called before every step; the plain case has nothing to renew."""
