"""Focal cross-entropy (Lin et al., arXiv 1708.02002) and Dice, by MONAI."""

from typing import Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from segcore.batch import Batch, Prediction
from segcore.classes import ClassSpec
from segcore.losses.at_target import at_target, probabilities
from segcore.losses.class_weights import (
    ClassWeighted,
    check_weights,
    weighted_mean,
    weighted_over_classes,
    weights_of,
)
from segcore.losses.soft_dice import soft_dice
from segcore.registry import STRICT

LIBRARIES = ("monai.losses.focal_loss",)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Focal(ClassWeighted):
    """Cross-entropy in which a pixel counts by how far it is from right, and soft Dice."""

    name: ClassVar[str] = "focal"

    gamma: Annotated[float, Field(gt=0, le=10)] = 2.0
    """A pixel with probability p of its class counts (1 - p) ^ gamma."""
    focal_weight: Annotated[float, Field(gt=0)] = 1.0
    dice_weight: Annotated[float, Field(ge=0)] = 1.0
    """Of the Dice beside it."""
    class_weights: tuple[str, ...] = ()
    """Of classes in the focal term, as `dice_ce` has them in the cross-entropy."""

    def __post_init__(self) -> None:
        check_weights(self.class_weights, self.focal_weight, "focal_weight")

    def build(self, classes: ClassSpec) -> "FocalDiceLoss":
        """The loss for these classes: a mean over samples.

        Raises:
            ValueError: as of `check`.
        """
        return FocalDiceLoss(self, classes)


class FocalDiceLoss(nn.Module):
    """The mean over samples; the background counts in the focal term alone."""

    _class_weights: Tensor | None

    def __init__(self, config: Focal, classes: ClassSpec) -> None:
        super().__init__()
        from monai.losses.focal_loss import FocalLoss  # seconds to import

        self._config, self._exclusive = config, classes.exclusive
        weights_K = weights_of(config.class_weights, classes)
        self.register_buffer("_class_weights", weights_K, persistent=False)
        self._focal = FocalLoss(
            gamma=config.gamma,
            use_softmax=classes.exclusive,
            reduction="mean" if weights_K is None else "none",
        )

    def forward(self, prediction: Prediction, batch: Batch) -> Tensor:
        """Scalar loss, computed in float32 at the target's size."""
        logits, target = at_target(prediction, batch, exclusive=self._exclusive)
        found: Tensor = self._focal(logits, target)
        if self._class_weights is not None:
            if self._exclusive:
                found = weighted_mean(found / found.shape[1], target, self._class_weights)
            else:
                found = weighted_over_classes(found, self._class_weights)
        value = self._config.focal_weight * found
        if self._config.dice_weight:
            shares = probabilities(logits, target, exclusive=self._exclusive)
            value = value + self._config.dice_weight * soft_dice(*shares)
        return value
