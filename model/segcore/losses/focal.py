"""Focal cross-entropy (Lin et al., arXiv 1708.02002) and Dice, by MONAI."""

from typing import Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from segcore.batch import Batch, Prediction
from segcore.classes import ClassSpec
from segcore.losses.at_target import at_target, probabilities
from segcore.losses.loss import Loss
from segcore.registry import STRICT


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Focal(Loss):
    """Cross-entropy in which a pixel counts by how far it is from right, and soft Dice."""

    name: ClassVar[str] = "focal"

    gamma: Annotated[float, Field(gt=0, le=10)] = 2.0
    """A pixel with probability p of its class counts (1 - p) ^ gamma."""
    focal_weight: Annotated[float, Field(gt=0)] = 1.0
    dice_weight: Annotated[float, Field(ge=0)] = 1.0
    """Of the Dice beside it."""

    def build(self, classes: ClassSpec) -> "FocalDiceLoss":
        """The loss for these classes: a mean over samples."""
        return FocalDiceLoss(self, classes)


class FocalDiceLoss(nn.Module):
    """The mean over samples; the background counts in the focal term alone."""

    def __init__(self, config: Focal, classes: ClassSpec) -> None:
        super().__init__()
        from monai.losses.dice import DiceLoss  # seconds to import
        from monai.losses.focal_loss import FocalLoss

        self._config, self._exclusive = config, classes.exclusive
        self._focal = FocalLoss(gamma=config.gamma, use_softmax=classes.exclusive)
        self._dice = DiceLoss()

    def forward(self, prediction: Prediction, batch: Batch) -> Tensor:
        """Scalar loss, computed in float32 at the target's size."""
        logits, target = at_target(prediction, batch, exclusive=self._exclusive)
        value: Tensor = self._config.focal_weight * self._focal(logits, target)
        if self._config.dice_weight:
            shares = probabilities(logits, target, exclusive=self._exclusive)
            value = value + self._config.dice_weight * self._dice(*shares)
        return value
