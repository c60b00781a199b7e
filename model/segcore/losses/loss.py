"""What every loss offers: a mean over samples."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import nn

from segcore.classes import ClassSpec
from segcore.losses import LOSSES
from segcore.registry import Choice
from segcore.tables import Table


class Loss(Choice, ABC):
    """Base of the losses' configurations: frozen pydantic dataclasses."""

    table: ClassVar[Table] = LOSSES
    needs_queries: ClassVar[bool] = False
    """Whether it looks at the queries of a prediction, not at its logits."""
    repeats: ClassVar[bool] = True
    """Whether it launches the same kernels for every batch of one form, and the host reads nothing
    of the device: as of `System.repeats`."""

    def check(self, classes: ClassSpec) -> None:
        """See that a loss for these classes can be built. One whose library takes long to import
        does so without it: who only checks a study need not wait.

        Raises:
            ValueError: a setting has no meaning for these classes.
        """
        self.build(classes)

    @abstractmethod
    def build(self, classes: ClassSpec) -> nn.Module:
        """A module from `(Prediction, Batch)` to a scalar.

        The scalar must be linear in the samples (no statistic across them), so that any split of
        a batch over microbatches and workers gives the same gradient. Pixels that the batch tells
        to ignore must have no gradient.

        Raises:
            ValueError: a setting has no meaning for these classes.
        """
