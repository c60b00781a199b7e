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

    @abstractmethod
    def build(self, classes: ClassSpec) -> nn.Module:
        """A module from `(Prediction, Batch)` to a scalar.

        The scalar must be linear in the samples (no statistic across them), so that any split of
        a batch over microbatches and workers gives the same gradient. Pixels that the batch tells
        to ignore must have no gradient.

        Raises:
            ValueError: a setting has no meaning for these classes.
        """
