"""Cross-entropy and IoU that weigh borders more: the structure loss of F3Net (Wei et al., arXiv
1911.11445), with which polyps and camouflaged objects are mostly learned.

Shape suffixes: B batch, K classes, H W target size.
"""

from typing import ClassVar, Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from segcore.batch import Batch, Prediction
from segcore.classes import ClassSpec
from segcore.losses.at_target import logits_like
from segcore.losses.loss import Loss
from segcore.registry import STRICT

WINDOW = 31
"""Side of the square in which a pixel's surroundings are compared with it, pixels."""
EMPHASIS = 5.0
"""How much more a pixel counts that all of its surroundings differ from."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Structure(Loss):
    """Binary cross-entropy and soft IoU of each class, the background too, of equal weight."""

    name: ClassVar[str] = "structure"

    entropy: Literal["weighted", "plain"] = "weighted"
    """Whether borders weigh more in the cross-entropy too, as it is described, or in the IoU alone,
    as the code of F3Net, SAM2-UNet and others computes it: it writes `reduce='none'`, which torch
    takes for a mean, and weighing one number changes nothing."""

    def build(self, classes: ClassSpec) -> "StructureLoss":
        """The loss for these classes: a mean over samples."""
        return StructureLoss(self)


class StructureLoss(nn.Module):
    """The mean over samples and classes."""

    def __init__(self, config: Structure) -> None:
        super().__init__()
        self._weighted = config.entropy == "weighted"

    def forward(self, prediction: Prediction, batch: Batch) -> Tensor:
        """Scalar loss, computed in float32 at the target's size."""
        target_BKHW = batch.target_BKHW
        logits_BKHW = logits_like(target_BKHW, prediction)
        around_BKHW = F.avg_pool2d(target_BKHW, WINDOW, stride=1, padding=WINDOW // 2)
        weight_BKHW = 1 + EMPHASIS * (around_BKHW - target_BKHW).abs()
        known_BKHW = torch.ones_like(weight_BKHW)
        if batch.ignore_B1HW is not None:
            known_BKHW = known_BKHW * ~batch.ignore_B1HW
        weight_BKHW = weight_BKHW * known_BKHW
        entropy = F.binary_cross_entropy_with_logits(logits_BKHW, target_BKHW, reduction="none")
        share = _mean(entropy, weight_BKHW if self._weighted else known_BKHW)
        found_BKHW = logits_BKHW.sigmoid()
        both = (found_BKHW * target_BKHW * weight_BKHW).sum((2, 3))
        either = ((found_BKHW + target_BKHW) * weight_BKHW).sum((2, 3)) - both
        return (share + 1 - (both + 1) / (either + 1)).mean()


def _mean(x_BKHW: Tensor, weight_BKHW: Tensor) -> Tensor:
    """Weighted mean over the pixels, (B, K); 0 where none counts."""
    return (x_BKHW * weight_BKHW).sum((2, 3)) / weight_BKHW.sum((2, 3)).clamp(min=1)
