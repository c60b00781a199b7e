"""Mask2Former's loss (Cheng et al., arXiv 2112.01527), by transformers: each query is matched with
one object at most, and learns its class and its mask.

Shape suffixes: B batch, K classes, H W target size, D outputs, Q queries, L classes of a query, h w
mask size, N objects of an image.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from segcore.batch import Batch, Prediction, moved
from segcore.classes import ClassSpec
from segcore.data.prompts import seed_of
from segcore.losses.loss import Loss
from segcore.registry import STRICT

LIBRARIES = ("transformers.models.mask2former.modeling_mask2former",)
NOWHERE = -30.0
"""Mask logit of which nothing is left to learn in float32."""

Weight = Annotated[float, Field(ge=0)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class QueryMatching(Loss):
    """Cross-entropy of the queries' classes; cross-entropy and soft Dice of their masks at points
    that are drawn, more of them where a mask is unsure. Summed over all outputs of the head.

    Every class that an image has is one object, the background too. The matching weighs the same
    three terms by the same weights.
    """

    repeats: ClassVar[bool] = False  # SciPy matches queries and objects

    name: ClassVar[str] = "query_matching"
    needs_queries: ClassVar[bool] = True

    class_weight: Weight = 2.0
    mask_weight: Weight = 5.0
    dice_weight: Weight = 5.0
    """5 in WEFT's code, 2 as its paper is told of."""
    nothing_weight: Annotated[float, Field(gt=0)] = 0.1
    """Of the queries that no object was matched with, in the cross-entropy of classes."""
    points: Annotated[int, Field(ge=4)] = 1024
    """Of each mask that are compared; Mask2Former's are 12,544."""

    def __post_init__(self) -> None:
        if self.class_weight == self.mask_weight == self.dice_weight == 0:
            raise ValueError(
                "class_weight, mask_weight and dice_weight are all 0: give one of them a weight"
            )

    def check(self, classes: ClassSpec) -> None:
        """Nothing to see: it is a loss for any classes."""

    def build(self, classes: ClassSpec) -> "QueryLoss":
        """The loss for these classes: a mean over samples."""
        return QueryLoss(self, classes)


class QueryLoss(nn.Module):
    """transformers' loss of one image after the other: it would share its normaliser, and the
    points that it draws, among the images of a batch."""

    def __init__(self, config: QueryMatching, classes: ClassSpec) -> None:
        super().__init__()
        # Seconds to import, with much that is not needed.
        from transformers import Mask2FormerConfig
        from transformers.models.mask2former.modeling_mask2former import Mask2FormerLoss

        self._exclusive = classes.exclusive
        self._weights = {
            "cross_entropy": config.class_weight,
            "mask": config.mask_weight,
            "dice": config.dice_weight,
        }
        told: dict[str, Any] = {
            "num_labels": len(classes.foreground) + 1,
            "class_weight": config.class_weight,
            "mask_weight": config.mask_weight,
            "dice_weight": config.dice_weight,
            "no_object_weight": config.nothing_weight,
            "train_num_points": config.points,
        }
        self._loss = Mask2FormerLoss(Mask2FormerConfig(**told), {})

    def forward(self, prediction: Prediction, batch: Batch) -> Tensor:
        """Scalar loss, computed in float32.

        Args:
            prediction: with `extras["query_classes"]` (D, B, Q, L), logits of the background, the
                classes and nothing; `extras["query_masks"]` (D, B, Q, h, w), logits; and, where
                points are to be others in every step, the number of the step, `extras["step"]`.
            batch: whose targets and ignored pixels count.
        """
        classes_DBQL = prediction.extras["query_classes"].float()
        masks_DBQhw = prediction.extras["query_masks"].float()
        target_BLHW = batch.target_BKHW
        if not self._exclusive:
            nothing_B1HW = 1 - target_BLHW.amax(1, keepdim=True)
            target_BLHW = torch.cat([nothing_B1HW, target_BLHW], dim=1)
        if batch.ignore_B1HW is not None:
            target_BLHW = target_BLHW * ~batch.ignore_B1HW
            size = masks_DBQhw.shape[-2:]
            unknown_B1hw = F.interpolate(batch.ignore_B1HW.float(), size, mode="nearest") > 0
            masks_DBQhw = masks_DBQhw.masked_fill(unknown_B1hw, NOWHERE)
        present_BL = target_BLHW.flatten(2).any(2).cpu()  # of all images at once
        step = int(prediction.extras["step"]) if "step" in prediction.extras else 0
        losses = []
        with torch.autocast(masks_DBQhw.device.type, enabled=False):
            for i, sample_id in enumerate(batch.sample_ids):
                with _drawing(f"{sample_id} {step}", masks_DBQhw.device):
                    present_N = present_BL[i].nonzero()[:, 0]
                    losses.append(
                        self._one_image(
                            classes_DBQL[:, i], masks_DBQhw[:, i], target_BLHW[i], present_N
                        )
                    )
        return torch.stack(losses).mean()

    def _one_image(
        self, classes_DQL: Tensor, masks_DQhw: Tensor, target_LHW: Tensor, present_N: Tensor
    ) -> Tensor:
        if not len(present_N):  # all of it is ignored
            return 0 * (classes_DQL.sum() + masks_DQhw.sum())
        present_N = moved(present_N, target_LHW.device)
        outputs = [
            {"class_queries_logits": c_QL[None], "masks_queries_logits": m_Qhw[None]}
            for c_QL, m_Qhw in zip(classes_DQL, masks_DQhw, strict=True)
        ]
        found: dict[str, Tensor] = self._loss(
            **outputs[-1],
            mask_labels=[target_LHW[present_N]],
            class_labels=[present_N],
            auxiliary_predictions=outputs[:-1],
        )
        # Named loss_mask, loss_mask_0, loss_mask_1, ...; not weighed yet.
        return torch.stack(
            [
                weight * value
                for term, weight in self._weights.items()
                for name, value in found.items()
                if name.startswith(f"loss_{term}")
            ]
        ).sum()


@contextmanager
def _drawing(name: str, device: torch.device) -> Iterator[None]:
    """Inside, the global random state is a sample's own: transformers draws from no other, and what
    is drawn must not depend on the rest of a batch."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed_of(name)[0])
        yield
