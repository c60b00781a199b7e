"""Dice of masks and of their centrelines (clDice, Shit et al., arXiv 2003.07311), by MONAI: for
thin structures, of which a gap costs little overlap and the whole of the line.
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

LIBRARIES = ("monai.losses.cldice",)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ClDice(ClassWeighted):
    """(1 - share) Dice + share clDice + cross-entropy."""

    name: ClassVar[str] = "cl_dice"

    share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Of the centrelines' Dice against the masks'."""
    iterations: Annotated[int, Field(ge=1, le=100)] = 10
    """Of soft thinning, a pixel from each side in each: as many as the widest line is half wide, at
    the target's size, or a line is thinned to a band."""
    ce_weight: Annotated[float, Field(ge=0)] = 1.0
    """Of the cross-entropy beside it."""
    class_weights: tuple[str, ...] = ()
    """Of classes in the cross-entropy, as `dice_ce` has them."""

    def __post_init__(self) -> None:
        check_weights(self.class_weights, self.ce_weight, "ce_weight")

    def build(self, classes: ClassSpec) -> "ClDiceLoss":
        """The loss for these classes: a mean over samples.

        Raises:
            ValueError: as of `check`.
        """
        return ClDiceLoss(self, classes)


class ClDiceLoss(nn.Module):
    """The mean over samples and classes but the background."""

    _class_weights: Tensor | None

    def __init__(self, config: ClDice, classes: ClassSpec) -> None:
        super().__init__()
        from monai.losses.cldice import SoftclDiceLoss  # seconds to import

        self._config, self._exclusive = config, classes.exclusive
        weights_K = weights_of(config.class_weights, classes)
        self.register_buffer("_class_weights", weights_K, persistent=False)
        self._lines = SoftclDiceLoss(iter_=config.iterations)

    def forward(self, prediction: Prediction, batch: Batch) -> Tensor:
        """Scalar loss, computed in float32 at the target's size."""
        logits, target = at_target(prediction, batch, exclusive=self._exclusive)
        shares = probabilities(logits, target, exclusive=self._exclusive)
        share = self._config.share
        value: Tensor = share * self._lines(*shares) + (1 - share) * soft_dice(*shares)
        if self._config.ce_weight:
            entropy = cross_entropy(
                logits, target, exclusive=self._exclusive, weights_K=self._class_weights
            )
            value = value + self._config.ce_weight * entropy
        return value
