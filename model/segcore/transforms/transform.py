"""What every further transform offers: a sample in, a sample out, its own generator."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from segcore.batch import Modality
from segcore.data.dataset import Sample
from segcore.registry import Choice
from segcore.tables import Table
from segcore.transforms import TRANSFORMS


class Transform(Choice, ABC):
    """Base of the further transforms' configurations: frozen pydantic dataclasses.

    `Augment.transforms` names them; they run in the loader's threads after everything else that
    `Augment` does, in their order, and before boxes are drawn around what is there.
    """

    table: ClassVar[Table] = TRANSFORMS

    @abstractmethod
    def apply(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The sample as one epoch sees it, of the same size; the argument stays as it is.

        Args:
            sample: as the data set and all earlier transforms left it.
            rng: of this transform, seed, epoch and sample; draw from nothing else, so that the same
                arguments give the same sample.
        """

    def repeats(self, part: Modality) -> bool:
        """Whether a sample's image or depth is left alone, so that later epochs see it again and
        may keep what was computed of it."""
        return False
