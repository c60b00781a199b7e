"""The contracts of losses and metrics."""

import dataclasses

import numpy as np
import torch
from torch import Tensor

from segcore.batch import Prediction
from segcore.losses.loss import Loss
from segcore.metrics.metric import Metric, Pair
from segcore.testing.configs import check_config
from segcore.testing.samples import LANDMARKS, noise


def check_loss(loss: Loss) -> None:
    """The contract of `Loss`: a mean over samples that ignored pixels do not enter."""
    check_config(loss)
    module, batch = loss.build(LANDMARKS), noise(2, (16, 24))
    logits = torch.randn(batch.target_BKHW.shape, generator=torch.Generator().manual_seed(0))
    whole = module(_prediction(logits), batch)
    parts = [module(_prediction(logits[i : i + 1]), batch.take([i])) for i in range(2)]
    assert whole.ndim == 0, "a loss is a scalar"
    assert torch.allclose(whole, torch.stack(parts).mean(), rtol=1e-4), "it must be a mean"
    ignore = torch.zeros(2, 1, 16, 24, dtype=torch.bool)
    ignore[:, :, :4] = True
    known = dataclasses.replace(batch, ignore_B1HW=ignore)
    moved = logits.requires_grad_()
    module(_prediction(moved), known).backward()
    assert moved.grad is not None
    assert not moved.grad[:, :, :4].any(), "ignored pixels must have no gradient"


def _prediction(logits_BKhw: Tensor) -> Prediction:
    """Logits with all that a loss may look at beside them; queries are the classes, in order."""
    samples, classes = logits_BKhw.shape[:2]
    sure_QL = 5 * torch.eye(classes, classes + 1)
    queries = {
        "query_classes": sure_QL.expand(1, samples, -1, -1),
        "query_masks": logits_BKhw[None],
    }
    return Prediction(logits_BKhw, {"native": logits_BKhw, **queries})


def check_metric(metric: Metric) -> None:
    """The contract of `Metric`: a perfect prediction is best, and a worse one is no better. Of one
    that needs uncertainty: to be unsure where a prediction is wrong is best."""
    shape = (2, 24, 32) if metric.scope == "case" or metric.classes == "stacked" else (24, 32)
    truth = np.zeros(shape, bool)
    truth[..., 6:18, 8:20] = True
    worse = np.roll(truth, 5, axis=-1)
    spacing, own = tuple(1.0 for _ in shape), (48, 128)

    def value(prediction: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> float:
        if metric.needs == "uncertainty":
            unsure = (prediction == truth) & (worse != truth)
            pair = Pair(worse, truth, None, spacing, unsure.astype(np.float32), own)
            return metric.number(metric.compute(pair))
        shares = prediction.astype(np.float32)
        pair = Pair(prediction, truth, shares, spacing, own_size=own)
        return metric.number(metric.compute(pair))

    best, other = value(truth), value(worse)
    assert np.isfinite([best, other]).all(), "two masks that are not empty must have a value"
    better = best >= other if metric.direction == "maximize" else best <= other
    assert better, f"{metric.key} says {best} of the truth and {other} of a shifted mask"
    if metric.unit == "fraction":
        assert 0 <= min(best, other) <= max(best, other) <= 1, "a fraction lies between 0 and 1"
