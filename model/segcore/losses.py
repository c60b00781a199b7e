"""Dice + cross-entropy on masks, by MONAI."""

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from segcore.batch import ClassSpec
from segcore.registry import STRICT


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LossConfig:
    """Weighted sum of soft Dice and cross-entropy (binary where classes overlap)."""

    dice_weight: Annotated[float, Field(ge=0)] = 1.0
    ce_weight: Annotated[float, Field(ge=0)] = 1.0

    def __post_init__(self) -> None:
        if self.dice_weight == self.ce_weight == 0:
            raise ValueError("dice_weight and ce_weight are both 0: give one of them a weight")

    def build(self, classes: ClassSpec) -> nn.Module:
        """The loss of logits (B, K, H, W) against targets (B, K, H, W): a mean over samples."""
        return MaskLoss(self, classes)


class MaskLoss(nn.Module):
    """MONAI's DiceCELoss, told how the classes relate. Background counts in the cross-entropy
    and not in the Dice term."""

    def __init__(self, config: LossConfig, classes: ClassSpec) -> None:
        super().__init__()
        from monai.losses.dice import DiceCELoss  # seconds to import, with much that is not needed

        self._loss = DiceCELoss(
            include_background=not classes.exclusive,
            softmax=classes.exclusive,
            sigmoid=not classes.exclusive,
            lambda_dice=config.dice_weight,
            lambda_ce=config.ce_weight,
        )

    def forward(self, logits_BKHW: Tensor, target_BKHW: Tensor) -> Tensor:
        """Scalar loss, computed in float32."""
        value: Tensor = self._loss(logits_BKHW.float(), target_BKHW)
        return value
