"""Distances to the border beside Dice and cross-entropy (Kervadec et al., arXiv 1812.07032), by
MONAI: for small structures, of which a far false alarm costs Dice no more than a near one.
"""

from typing import Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from segcore.batch import Batch, Prediction
from segcore.classes import ClassSpec
from segcore.losses.at_target import at_target, cross_entropy, probabilities
from segcore.losses.class_weights import ClassWeighted, check_weights, weights_of
from segcore.losses.soft_dice import soft_dice
from segcore.registry import STRICT

LIBRARIES = ("monai.losses.boundary_loss",)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Boundary(ClassWeighted):
    """The mean over pixels of a class's probability times its distance from the true border,
    negative within, beside soft Dice and cross-entropy.

    The term may be negative; of a class that an image has not, or that is all of it, it is 0. The
    distances are searched for in every step, on the CPU. Pixels that nobody knows count as
    background there.
    """

    repeats: ClassVar[bool] = False  # SciPy computes the distances

    name: ClassVar[str] = "boundary"

    weight: Annotated[float, Field(gt=0)] = 2.56
    """Of the term, its distances in heights of the image, so that it weighs the same at any size.
    The paper's are in pixels of images of 256 x 256: it begins with 0.01, which is 2.56 here, and
    raises it by as much every epoch. Here it stays."""
    dice_weight: Annotated[float, Field(ge=0)] = 1.0
    ce_weight: Annotated[float, Field(ge=0)] = 1.0
    class_weights: tuple[str, ...] = ()
    """Of classes in the cross-entropy, as `dice_ce` has them."""

    def __post_init__(self) -> None:
        if self.dice_weight == self.ce_weight == 0:
            raise ValueError(
                "dice_weight and ce_weight are both 0: the distances alone say nothing of images "
                "without a class; give one of them a weight"
            )
        check_weights(self.class_weights, self.ce_weight, "ce_weight")

    def build(self, classes: ClassSpec) -> "BorderLoss":
        """The loss for these classes: a mean over samples.

        Raises:
            ValueError: as of `check`.
        """
        return BorderLoss(self, classes)


class BorderLoss(nn.Module):
    """The mean over samples and classes but the background."""

    _class_weights: Tensor | None

    def __init__(self, config: Boundary, classes: ClassSpec) -> None:
        super().__init__()
        from monai.losses.boundary_loss import BoundaryLoss  # seconds to import

        self._config, self._exclusive = config, classes.exclusive
        self._distances = BoundaryLoss()
        weights_K = weights_of(config.class_weights, classes)
        self.register_buffer("_class_weights", weights_K, persistent=False)

    def forward(self, prediction: Prediction, batch: Batch) -> Tensor:
        """Scalar loss, computed in float32 at the target's size."""
        logits, target = at_target(prediction, batch, exclusive=self._exclusive)
        shares = probabilities(logits, target, exclusive=self._exclusive)
        value: Tensor = self._config.weight / target.shape[-2] * self._distances(*shares)
        if self._config.dice_weight:
            value = value + self._config.dice_weight * soft_dice(*shares)
        if self._config.ce_weight:
            entropy = cross_entropy(
                logits, target, exclusive=self._exclusive, weights_K=self._class_weights
            )
            value = value + self._config.ce_weight * entropy
        return value
