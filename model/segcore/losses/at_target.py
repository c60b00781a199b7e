"""Logits and target as a loss of masks compares them: of one size, in float32, pixels that nobody
knows made such that they teach nothing.

Shape suffixes: B batch, K classes, H W size at which they are compared.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from segcore.batch import Batch, Prediction
from segcore.losses.class_weights import weighted_mean, weighted_over_classes

CERTAIN = 30.0
"""A logit of which nothing is left to learn in float32."""


def at_target(
    prediction: Prediction, batch: Batch, *, exclusive: bool, native: bool = False
) -> tuple[Tensor, Tensor]:
    """Logits and target, (B, K, H, W) both.

    Ignored pixels are background, predicted with certainty: they have no gradient, and no
    foreground class sees them.

    Args:
        prediction: with `extras["native"]` where the loss is to look there.
        batch: whose targets and ignored pixels count.
        exclusive: whether the classes exclude one another, so that channel 0 is the background.
        native: whether they are compared at the size of the network's own map, the target thinned
            out by nearest neighbours, and not at the target's size.
    """
    target_BKHW = batch.target_BKHW
    if native:
        logits_BKHW = prediction.extras["native"].float()
        target_BKHW = F.interpolate(target_BKHW, logits_BKHW.shape[-2:], mode="nearest")
    else:
        logits_BKHW = logits_like(target_BKHW, prediction)
    if batch.ignore_B1HW is None:
        return logits_BKHW, target_BKHW
    shrunk = F.interpolate(batch.ignore_B1HW.float(), logits_BKHW.shape[-2:], mode="nearest")
    ignored_B1HW = shrunk.bool()
    certain = torch.full_like(logits_BKHW[:1, :, :1, :1], -CERTAIN)
    nothing = torch.zeros_like(certain)
    if exclusive:
        certain[:, 0], nothing[:, 0] = CERTAIN, 1
    return (
        torch.where(ignored_B1HW, certain, logits_BKHW),
        torch.where(ignored_B1HW, nothing, target_BKHW),
    )


def logits_like(target_BKHW: Tensor, prediction: Prediction) -> Tensor:
    """A prediction's logits at the target's size, in float32."""
    logits, size = prediction.logits_BKhw, target_BKHW.shape[-2:]
    if logits.shape[-2:] != size:
        logits = F.interpolate(logits, size, mode="bilinear", align_corners=False)
    return logits.float()


def probabilities(
    logits_BKHW: Tensor, target_BKHW: Tensor, *, exclusive: bool
) -> tuple[Tensor, Tensor]:
    """Of the classes that are no background, and the same part of the target."""
    if exclusive:
        return logits_BKHW.softmax(1)[:, 1:], target_BKHW[:, 1:]
    return logits_BKHW.sigmoid(), target_BKHW


def cross_entropy(
    logits_BKHW: Tensor,
    target_BKHW: Tensor,
    *,
    exclusive: bool,
    weights_K: Tensor | None = None,
) -> Tensor:
    """Its mean over pixels, the background among the classes; binary where classes overlap.

    Args:
        logits_BKHW: as `at_target` gives them.
        target_BKHW: alike.
        exclusive: whether the classes exclude one another.
        weights_K: of the classes; None: all count alike.
    """
    if exclusive:
        if weights_K is None:
            return F.cross_entropy(logits_BKHW, target_BKHW)
        each_BKHW = -target_BKHW * logits_BKHW.log_softmax(1)
        return weighted_mean(each_BKHW, target_BKHW, weights_K)
    return binary_cross_entropy(logits_BKHW, target_BKHW, weights_K)


def binary_cross_entropy(
    logits_BKHW: Tensor, target_BKHW: Tensor, weights_K: Tensor | None
) -> Tensor:
    """One for each class, and their mean."""
    if weights_K is None:
        return F.binary_cross_entropy_with_logits(logits_BKHW, target_BKHW)
    each_BKHW = F.binary_cross_entropy_with_logits(logits_BKHW, target_BKHW, reduction="none")
    return weighted_over_classes(each_BKHW, weights_K)
