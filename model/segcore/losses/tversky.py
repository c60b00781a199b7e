"""Tversky's index and cross-entropy (Salehi et al., arXiv 1706.05721; its focal form, Abraham and
Khan, arXiv 1810.07842), by MONAI: for structures that a network rather misses than makes up.
"""

from typing import Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from segcore.batch import Batch, Prediction
from segcore.classes import ClassSpec
from segcore.losses.at_target import at_target, cross_entropy, probabilities
from segcore.losses.class_weights import ClassWeighted, check_weights, weights_of
from segcore.registry import STRICT

LIBRARIES = ("monai.losses.tversky",)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Tversky(ClassWeighted):
    """One minus TP / (TP + alpha FP + beta FN) of each image and class, raised to a power."""

    name: ClassVar[str] = "tversky"

    alpha: Annotated[float, Field(gt=0)] = 0.3
    """What a false positive weighs. Both at 0.5 are Dice."""
    beta: Annotated[float, Field(gt=0)] = 0.7
    """What a false negative weighs."""
    power: Annotated[float, Field(gt=0, le=5)] = 1.0
    """Below 1 it lets classes that are nearly right count more, above 1 those that are not; the
    focal form's is 0.75."""
    ce_weight: Annotated[float, Field(ge=0)] = 1.0
    """Of the cross-entropy beside it."""
    class_weights: tuple[str, ...] = ()
    """Of classes in the cross-entropy, as `dice_ce` has them."""

    def __post_init__(self) -> None:
        check_weights(self.class_weights, self.ce_weight, "ce_weight")

    def build(self, classes: ClassSpec) -> "TverskyLoss":
        """The loss for these classes: a mean over samples.

        Raises:
            ValueError: as of `check`.
        """
        return TverskyLoss(self, classes)


class TverskyLoss(nn.Module):
    """The mean over samples and classes but the background."""

    _class_weights: Tensor | None

    def __init__(self, config: Tversky, classes: ClassSpec) -> None:
        super().__init__()
        from monai.losses.tversky import TverskyLoss as Index  # seconds to import

        self._config, self._exclusive = config, classes.exclusive
        weights_K = weights_of(config.class_weights, classes)
        self.register_buffer("_class_weights", weights_K, persistent=False)
        self._index = Index(alpha=config.alpha, beta=config.beta, reduction="none")

    def forward(self, prediction: Prediction, batch: Batch) -> Tensor:
        """Scalar loss, computed in float32 at the target's size."""
        logits, target = at_target(prediction, batch, exclusive=self._exclusive)
        missed: Tensor = self._index(*probabilities(logits, target, exclusive=self._exclusive))
        # Its root is steep at zero, where rounding may have left it below.
        value = missed.clamp(min=1e-6).pow(self._config.power).mean()
        if self._config.ce_weight:
            entropy = cross_entropy(
                logits, target, exclusive=self._exclusive, weights_K=self._class_weights
            )
            value = value + self._config.ce_weight * entropy
        return value
