"""The loss of matched queries against its formula, point by point."""

import dataclasses
import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from segcore.batch import Batch, Prediction
from segcore.classes import ClassSpec
from segcore.config import TrainConfig
from segcore.data.prompts import seed_of
from segcore.losses.query_matching import QueryMatching
from segcore.systems.system import SystemConfig

LANDMARKS = ClassSpec(("background", "ridge", "ligament"), exclusive=True)
POLYP = ClassSpec(("polyp",), exclusive=False)
ORGANS = ClassSpec(("liver", "tumour"), exclusive=False)
POINTS = 48


def batch_of(target_BKHW: Tensor, ignore_B1HW: Tensor | None = None) -> Batch:
    names = tuple(f"s{i}" for i in range(len(target_BKHW)))
    return Batch(
        torch.empty(len(names), 3, 0, 0), target_BKHW, names, names, ignore_B1HW=ignore_B1HW
    )


def said(classes_DBQL: Tensor, masks_DBQhw: Tensor, step: int = 0) -> Prediction:
    extras = {"query_classes": classes_DBQL, "query_masks": masks_DBQhw}
    return Prediction(torch.empty(0), extras | {"step": torch.tensor(step)})


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def at(map_hw: Tensor, points_P2: Tensor) -> Tensor:
    """A map at points (x, y) in [0, 1], bilinear, zero outside of it; one point after the other."""
    height, width = map_hw.shape
    found = []
    for x, y in (points_P2 * torch.tensor([width, height]) - 0.5).tolist():
        left, top = math.floor(x), math.floor(y)
        total = 0.0
        for i, j in itertools.product((top, top + 1), (left, left + 1)):
            if 0 <= i < height and 0 <= j < width:
                total += float(map_hw[i, j]) * (1 - abs(y - i)) * (1 - abs(x - j))
        found.append(total)
    return torch.tensor(found, dtype=torch.float64)


def differences(logit_P: Tensor, truth_P: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy and soft Dice of a mask at points."""
    p_P = logit_P.sigmoid()
    entropy = -(truth_P * p_P.log() + (1 - truth_P) * (1 - p_P).log()).mean()
    return entropy, 1 - (2 * (p_P * truth_P).sum() + 1) / (p_P.sum() + truth_P.sum() + 1)


def of_one_output(
    class_QL: Tensor, mask_Qhw: Tensor, target_LHW: Tensor, config: QueryMatching
) -> Tensor:
    """The loss of an output, with points from the global random state. The matching is the best of
    all there are."""
    present = [k for k, truth in enumerate(target_LHW) if truth.any()]
    points = torch.rand(1, POINTS, 2)[0]
    weights = (config.mask_weight, config.dice_weight)

    def cost(q: int, k: int) -> Tensor:
        mask, dice = differences(at(mask_Qhw[q], points), at(target_LHW[k], points))
        likely = class_QL[q].softmax(0)[k]
        return weights[0] * mask + weights[1] * dice - config.class_weight * likely

    costs = [[cost(q, k) for k in present] for q in range(len(mask_Qhw))]
    best = min(
        itertools.permutations(range(len(mask_Qhw)), len(present)),
        key=lambda queries: float(sum(costs[q][n] for n, q in enumerate(queries))),
    )
    pairs = sorted(zip(best, present, strict=True))
    many = torch.rand(len(pairs), 3 * POINTS, 2)
    sure = [at(mask_Qhw[q], many[n]).abs().argsort() for n, (q, _) in enumerate(pairs)]
    unsure = 3 * POINTS // 4
    others = torch.rand(len(pairs), POINTS - unsure, 2)
    wanted = torch.full((len(mask_Qhw),), class_QL.shape[1] - 1)
    total = torch.zeros((), dtype=torch.float64)
    for n, (q, k) in enumerate(pairs):
        wanted[q] = k
        chosen = torch.cat([many[n][sure[n][:unsure]], others[n]])
        mask, dice = differences(at(mask_Qhw[q], chosen), at(target_LHW[k], chosen))
        total = total + (weights[0] * mask + weights[1] * dice) / len(pairs)
    of_class = torch.ones(class_QL.shape[1], dtype=torch.float64)
    of_class[-1] = config.nothing_weight
    entropy: Tensor = F.cross_entropy(class_QL.double(), wanted, of_class)
    return total + config.class_weight * entropy


def expected(
    classes_DBQL: Tensor, masks_DBQhw: Tensor, target_BLHW: Tensor, config: QueryMatching
) -> Tensor:
    """The mean over images of the sum over outputs, the last one's first."""
    images = []
    for i in range(len(target_BLHW)):
        with torch.random.fork_rng([]):
            torch.manual_seed(seed_of(f"s{i} 0")[0])
            outputs = [
                of_one_output(classes_DBQL[d, i], masks_DBQhw[d, i], target_BLHW[i], config)
                for d in (-1, *range(len(classes_DBQL) - 1))
            ]
        images.append(torch.stack(outputs).sum())
    return torch.stack(images).mean()


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"dice_weight": 2.0},
        {"class_weight": 0.5, "mask_weight": 0.0, "nothing_weight": 1.0},
    ],
)
def test_the_loss_is_that_of_the_formula(fields: dict[str, float]) -> None:
    """An image with all classes and one that is background. Three outputs, four queries."""
    config = QueryMatching(points=POINTS, **fields)
    labels = torch.zeros(2, 12, 16, dtype=torch.int64)
    labels[0, 2:7, 3:9], labels[0, 6:, 10:] = 1, 2
    target = F.one_hot(labels, 3).permute(0, 3, 1, 2).float()
    classes, masks = drawn(3, 2, 4, 4), 2 * drawn(3, 2, 4, 6, 8, seed=1)
    found = config.build(LANDMARKS)(said(classes, masks), batch_of(target))
    wanted = expected(classes, masks, target, config)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=0)


def test_overlapping_classes_have_a_background_where_none_is() -> None:
    """Of an empty image it is the only object; where both classes are everywhere there is none."""
    config = QueryMatching(points=POINTS)
    target = torch.zeros(2, 2, 16, 16)
    target[1] = 1
    classes, masks = drawn(1, 2, 4, 4), 2 * drawn(1, 2, 4, 8, 8, seed=1)
    found = config.build(ORGANS)(said(classes, masks), batch_of(target))
    with_background = torch.cat([1 - target[:, :1], target], dim=1)
    wanted = expected(classes, masks, with_background, config)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=0)


def test_a_right_prediction_costs_less_than_a_wrong_one() -> None:
    target = torch.zeros(1, 1, 32, 32)
    target[:, :, 8:24, 4:20] = 1
    inside = (target * 2 - 1) * 12
    classes = 12 * torch.eye(3)[[0, 1, 2]][None, None]
    masks = torch.cat([-inside, inside, inside], dim=1)[None]
    loss = QueryMatching(points=256).build(POLYP)
    good = loss(said(classes, masks), batch_of(target))
    bad = loss(said(classes, masks.flip(-1)), batch_of(target))
    assert 4 * good < bad


def test_points_are_the_samples_own_and_other_ones_in_every_step() -> None:
    target = (drawn(3, 1, 32, 32) > 0).float()
    classes, masks = drawn(2, 3, 5, 3), drawn(2, 3, 5, 8, 8, seed=1)
    loss, batch = QueryMatching(points=16).build(POLYP), batch_of(target)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    whole = loss(said(classes, masks), batch)
    assert torch.equal(torch.get_rng_state(), state), "the global random state is left alone"
    parts = [loss(said(classes[:, [i]], masks[:, [i]]), batch.take([i])) for i in (2, 0, 1)]
    torch.testing.assert_close(whole, torch.stack(parts).mean())
    assert not torch.isclose(whole, loss(said(classes, masks, step=1), batch))


def test_of_an_image_that_nobody_knows_nothing_is_learnt() -> None:
    target = torch.zeros(2, 1, 16, 16)
    target[:, :, 4:8] = 1
    ignore = torch.zeros(2, 1, 16, 16, dtype=torch.bool)
    ignore[0] = True
    classes, masks = drawn(1, 2, 4, 3).requires_grad_(), drawn(1, 2, 4, 8, 8).requires_grad_()
    loss = QueryMatching(points=16).build(POLYP)
    loss(said(classes, masks), batch_of(target, ignore)).backward()
    assert classes.grad is not None
    assert masks.grad is not None
    assert not classes.grad[:, 0].any()
    assert not masks.grad[:, 0].any()
    assert classes.grad[:, 1].any()
    assert masks.grad[:, 1].any()


def test_half_precision_is_left_at_the_door() -> None:
    target = (drawn(1, 1, 32, 32) > 0).float()
    prediction = said(drawn(1, 1, 4, 3), drawn(1, 1, 4, 8, 8))
    loss = QueryMatching(points=16).build(POLYP)
    single = loss(prediction, batch_of(target))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(loss(prediction, batch_of(target)), single)
    assert math.isfinite(single)


def test_it_is_for_systems_with_queries(tiny: TrainConfig) -> None:
    system = SystemConfig.named("dual_encoder", loss=QueryMatching())
    with pytest.raises(ValueError, match="'query_matching' looks at queries, and the system dual_"):
        dataclasses.replace(tiny, system=system)
    with pytest.raises(ValueError, match="are all 0: give one of them a weight"):
        QueryMatching(class_weight=0.0, mask_weight=0.0, dice_weight=0.0)
