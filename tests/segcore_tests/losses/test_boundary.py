"""The loss of distances to the border, against a slow restatement and by properties."""

import math

import pytest
import torch
from torch import Tensor

from segcore.batch import Batch, Prediction
from segcore.classes import ClassSpec
from segcore.losses.boundary import Boundary
from segcore.losses.dice_ce import DiceCe

ORGANS = ClassSpec(("liver", "tumour"), exclusive=False)
ONE = ClassSpec(("polyp",), exclusive=False)


def batch_of(target: Tensor, ignore: Tensor | None = None) -> Batch:
    ids = tuple(str(i) for i in range(len(target)))
    return Batch(torch.empty(len(ids), 3, 0, 0), target, ids, ids, ignore_B1HW=ignore)


def distance_term(logits: Tensor, batch: Batch, spec: ClassSpec) -> Tensor:
    """What a weight of one adds to Dice."""
    with_it: Tensor = Boundary(weight=1, ce_weight=0).build(spec)(Prediction(logits), batch)
    without: Tensor = DiceCe(ce_weight=0).build(spec)(Prediction(logits), batch)
    return with_it - without


def slow(probability: Tensor, truth: Tensor) -> float:
    """Every pixel's distance to the nearest of the other kind: beyond the border as it is, within
    one pixel less, negative; in heights of the image."""
    height, width = truth.shape
    pixels = [(y, x) for y in range(height) for x in range(width)]
    total = 0.0
    for y, x in pixels:
        inside = bool(truth[y, x])
        others = [math.dist((y, x), q) for q in pixels if bool(truth[q]) != inside]
        if others:
            phi = -(min(others) - 1) if inside else min(others)
            total += float(probability[y, x]) * phi / height
    return total / len(pixels)


def test_the_term_is_that_of_its_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.zeros(2, 2, 7, 9)
    target[0, 0, 2:6, 1:6] = 1
    target[0, 1, 3, 4] = 1
    target[1, 0] = 1  # all of it, and of the other class nothing
    logits = torch.randn(target.shape, generator=generator)
    pairs = zip(logits.sigmoid().flatten(0, 1), target.flatten(0, 1), strict=True)
    expected = [slow(p, y) for p, y in pairs]
    found = distance_term(logits, batch_of(target), ORGANS)
    assert float(found) == pytest.approx(sum(expected) / 4, rel=1e-4)
    assert expected[2:] == [0, 0]


def test_a_far_false_alarm_costs_more_than_a_near_one() -> None:
    """By Dice they cost the same."""
    target = torch.zeros(1, 1, 64, 64)
    target[..., 8:16, 8:16] = 1
    near, far = target.clone(), target.clone()
    near[..., 18:22, 8:12] = 1
    far[..., 58:62, 58:62] = 1
    batch = batch_of(target)
    values = [float(distance_term(40 * m - 20, batch, ONE)) for m in (target, near, far)]
    assert values[0] < values[1] < values[2]
    dice = [
        float(DiceCe(ce_weight=0).build(ONE)(Prediction(40 * m - 20), batch)) for m in (near, far)
    ]
    assert dice[0] == pytest.approx(dice[1])


def test_one_weight_means_the_same_at_any_size() -> None:
    small = torch.zeros(1, 1, 32, 32)
    small[..., 8:20, 8:20] = 1
    large = small.repeat_interleave(4, -1).repeat_interleave(4, -2)
    values = [float(distance_term(torch.zeros_like(t), batch_of(t), ONE)) for t in (small, large)]
    assert values[0] == pytest.approx(values[1], rel=0.1)


def test_descending_on_it_finds_the_mask() -> None:
    """From a prediction of everything, by the distances and a little Dice."""
    target = torch.zeros(1, 1, 24, 24)
    target[..., 6:14, 9:15] = 1
    logits = torch.ones_like(target).requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.3)
    loss = Boundary(ce_weight=0).build(ONE)
    for _ in range(60):
        optimizer.zero_grad()
        loss(Prediction(logits), batch_of(target)).backward()
        optimizer.step()
    assert torch.equal(logits > 0, target > 0)


def test_distances_alone_are_refused() -> None:
    with pytest.raises(ValueError, match="both 0: the distances alone say nothing"):
        Boundary(dice_weight=0, ce_weight=0)
