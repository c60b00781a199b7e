"""What every system offers: a prediction at any size, its loss, and what may be adapted."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor, nn

from segcore.batch import Batch, ClassSpec, Part, Prediction
from segcore.losses import LossConfig
from segcore.registry import Choice, Entry
from segcore.systems import SYSTEMS

Targets = Literal["attention", "attention+mlp"]


class System(nn.Module, ABC):
    """A whole network: pretrained encoders and a head that is always trained."""

    @abstractmethod
    def forward(self, batch: Batch, size: int) -> Prediction:
        """Predict logits (B, K, size, size)."""

    @abstractmethod
    def loss(self, prediction: Prediction, batch: Batch, progress: float) -> Tensor:
        """Mean loss over the samples of a batch, as a scalar.

        The mean must be linear in the samples (no statistic across them), so that any split of a
        batch over microbatches and workers gives the same gradient.

        Args:
            prediction: what `forward` gave.
            batch: the same batch.
            progress: share of the training done, in [0, 1].
        """

    @abstractmethod
    def pretrained(self) -> Mapping[str, nn.Module]:
        """The pretrained encoders by attribute path; everything else is head."""

    @abstractmethod
    def adaptable(self, targets: Targets) -> Mapping[str, nn.Linear]:
        """The pretrained projections that low-rank methods adapt, by module path."""

    @abstractmethod
    def fused_qkv(self) -> Mapping[str, nn.Linear]:
        """Those of `adaptable("attention")` whose outputs are queries, keys and values, a third
        each, by module path."""

    @abstractmethod
    def weights_hash(self) -> str:
        """Hash of the pretrained weights as they were loaded."""

    @property
    def needs_depth(self) -> bool:
        """Whether every batch must bring depth maps."""
        return False

    @property
    def remembers(self) -> Part | None:
        """The part of a sample of which it keeps features, if batches bring hashes of it; None if
        it keeps nothing."""
        return None


class SystemConfig(Choice):
    """Base of the systems' configurations: frozen pydantic dataclasses."""

    kind: ClassVar[str] = "system"

    image_size: int
    """Side of the square input image, pixels."""

    @classmethod
    def table(cls) -> Mapping[str, Entry]:
        """The table of systems."""
        return SYSTEMS

    @property
    def needs_depth(self) -> bool:
        """Whether every image must come with a depth map."""
        return False

    def check_weights(self) -> None:
        """Read the user's weight files, so that what is wrong with them is known beforehand.

        Raises:
            ValueError: files are missing or do not fit; all of them.
        """
        raise NotImplementedError

    def build(self, classes: ClassSpec, loss: LossConfig) -> System:
        """Build the network on the CPU from the global RNG, its pretrained weights loaded."""
        raise NotImplementedError
