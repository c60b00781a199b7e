"""Dice + cross-entropy on masks.

Shape suffixes: B batch, K classes, H W target size.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from segcore.batch import Batch, Prediction
from segcore.classes import ClassSpec
from segcore.losses.at_target import at_target, binary_cross_entropy, cross_entropy
from segcore.losses.class_weights import ClassWeighted, check_weights, weights_of
from segcore.losses.soft_dice import soft_dice
from segcore.registry import STRICT


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DiceCe(ClassWeighted):
    """Weighted sum of soft Dice and cross-entropy (binary where classes overlap)."""

    name: ClassVar[str] = "dice_ce"

    dice_weight: Annotated[float, Field(ge=0)] = 1.0
    ce_weight: Annotated[float, Field(ge=0)] = 1.0
    background: bool = False
    """Whether the background counts in the Dice term, as in SRFT-GaLore's code. In the
    cross-entropy it always does."""
    entropy: Literal["softmax", "binary", "binary_of_log_softmax"] = "softmax"
    """Cross-entropy of classes that exclude one another: one over all of them, or a binary one per
    class. SRFT-GaLore's code takes binary ones of log-probabilities in the place of logits: what
    its sigmoid makes of a probability p is p / (1 + p), never more than a half."""
    squared: bool = False
    """Whether Dice's denominator sums squares (I-MedSAM's code)."""
    resolution: Literal["target", "native"] = "target"
    """Where the loss looks: at the target's size, or at the size of the network's own map (SRFT-
    GaLore's code: 256 of 1024), the target thinned out by nearest neighbours."""
    class_weights: tuple[str, ...] = ()
    """Weights of classes in the cross-entropy by name, as `ridge=2`; of those that are not named,
    1. Where classes exclude one another a pixel counts by the weight of its own class, the
    background's too, and each image's mean is divided by the weights of its own pixels. Dice counts
    its classes alike, however large they are."""

    def __post_init__(self) -> None:
        check_weights(self.class_weights, self.ce_weight, "ce_weight")
        if self.dice_weight == self.ce_weight == 0:
            raise ValueError("dice_weight and ce_weight are both 0: give one of them a weight")
        for field in ("background", "squared"):
            if getattr(self, field) and self.dice_weight == 0:
                raise ValueError(f"{field} has no effect with dice_weight=0: leave it at False")
        if self.entropy != "softmax" and self.ce_weight == 0:
            raise ValueError("entropy has no effect with ce_weight=0: leave it at 'softmax'")

    def check(self, classes: ClassSpec) -> None:
        """See that such a loss means something for these classes.

        Raises:
            ValueError: a setting needs classes that exclude one another, and these do not; or they
                have not the names that `class_weights` has.
        """
        if not classes.exclusive and (self.background or self.entropy != "softmax"):
            raise ValueError(
                "system.loss.background and .entropy have no effect where classes overlap: there "
                "is no background, and every class has a binary cross-entropy; leave both out"
            )
        super().check(classes)

    def build(self, classes: ClassSpec) -> "MaskLoss":
        """The loss for these classes: a mean over samples.

        Raises:
            ValueError: as of `check`.
        """
        self.check(classes)
        return MaskLoss(self, classes)


class MaskLoss(nn.Module):
    """Dice and cross-entropy, told how the classes relate."""

    _class_weights: Tensor | None

    def __init__(self, config: DiceCe, classes: ClassSpec) -> None:
        super().__init__()
        self._config, self._exclusive = config, classes.exclusive
        weights_K = weights_of(config.class_weights, classes)
        self.register_buffer("_class_weights", weights_K, persistent=False)

    def forward(self, prediction: Prediction, batch: Batch) -> Tensor:
        """Scalar loss, computed in float32.

        Args:
            prediction: with `extras["native"]` if the loss is to look there.
            batch: whose targets and ignored pixels count.
        """
        native = self._config.resolution == "native"
        logits, target_BKHW = at_target(prediction, batch, exclusive=self._exclusive, native=native)
        value = self._config.dice_weight * self._dice(logits, target_BKHW)
        return value + self._config.ce_weight * self._entropy(logits, target_BKHW)

    def _dice(self, logits: Tensor, target_BKHW: Tensor) -> Tensor:
        if not self._exclusive:
            shares = logits.sigmoid()
        else:
            first = 0 if self._config.background else 1
            shares, target_BKHW = logits.softmax(1)[:, first:], target_BKHW[:, first:]
        return soft_dice(shares, target_BKHW, squared=self._config.squared)

    def _entropy(self, logits: Tensor, target_BKHW: Tensor) -> Tensor:
        weights_K = self._class_weights
        if self._config.entropy != "softmax":
            logged = "log_softmax" in self._config.entropy
            return binary_cross_entropy(
                logits.log_softmax(1) if logged else logits, target_BKHW, weights_K
            )
        if weights_K is None and logits.shape[1] > 1:
            # Of overlapping classes too, as MONAI has it: results rest on it.
            return F.cross_entropy(logits, target_BKHW)
        return cross_entropy(logits, target_BKHW, exclusive=self._exclusive, weights_K=weights_K)
