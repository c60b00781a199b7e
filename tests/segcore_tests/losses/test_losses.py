"""The loss against its formula, setting by setting."""

from typing import Any

import pytest
import torch
from monai.losses.dice import DiceCELoss
from torch import Tensor
from torch.nn import functional as F

from segcore.batch import Batch, Prediction
from segcore.classes import ClassSpec
from segcore.losses.cl_dice import ClDice
from segcore.losses.dice_ce import DiceCe
from segcore.losses.focal import Focal
from segcore.losses.structure import Structure
from segcore.losses.tversky import Tversky

LANDMARKS = ClassSpec(("background", "ridge", "silhouette", "ligament"), exclusive=True)
ORGANS = ClassSpec(("liver", "tumour"), exclusive=False)


def logits_and_target(size: int = 12) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels_BHW = torch.randint(4, (3, size, size), generator=generator)
    logits_BKHW = torch.randn(3, 4, size, size, generator=generator)
    return logits_BKHW, F.one_hot(labels_BHW, 4).permute(0, 3, 1, 2).float()


def batch_of(target_BKHW: Tensor, ignore_B1HW: Tensor | None = None) -> Batch:
    """A batch of which a loss sees the target."""
    names = tuple(str(i) for i in range(len(target_BKHW)))
    return Batch(
        torch.empty(len(names), 3, 0, 0), target_BKHW, names, names, ignore_B1HW=ignore_B1HW
    )


def dice(p_BKHW: Tensor, y_BKHW: Tensor) -> Tensor:
    """One minus soft Dice of each image and class, averaged, smoothed by 1e-5."""
    overlap, size = (p_BKHW * y_BKHW).sum((2, 3)), (p_BKHW + y_BKHW).sum((2, 3))
    return (1 - (2 * overlap + 1e-5) / (size + 1e-5)).mean()


def binary(p_BKHW: Tensor, y_BKHW: Tensor) -> Tensor:
    return -(y_BKHW * p_BKHW.log() + (1 - y_BKHW) * (1 - p_BKHW).log()).mean()


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("entropy", ["softmax", "binary", "binary_of_log_softmax"])
def test_value_is_that_of_the_formula(entropy: Any, background: bool) -> None:
    logits, target = logits_and_target()
    p = logits.double().softmax(1)
    first = 0 if background else 1
    entropies = {
        "softmax": -(target * p.log()).sum(1).mean(),
        "binary": binary(logits.double().sigmoid(), target),
        "binary_of_log_softmax": binary(p / (1 + p), target),
    }
    expected = 0.5 * dice(p[:, first:], target[:, first:]) + 2 * entropies[entropy]
    config = DiceCe(dice_weight=0.5, ce_weight=2, background=background, entropy=entropy)
    value = config.build(LANDMARKS)(Prediction(logits), batch_of(target))
    torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("classes", [LANDMARKS, ORGANS], ids=["exclusive", "overlapping"])
def test_values_and_gradients_are_monais_to_the_last_digit(
    classes: ClassSpec, background: bool, squared: bool
) -> None:
    if background and not classes.exclusive:
        return
    logits, target = logits_and_target()
    logits, target = logits[:, : len(classes.names)], target[:, : len(classes.names)]
    theirs, ours = (logits.clone().requires_grad_() for _ in range(2))
    reference = DiceCELoss(
        include_background=background or not classes.exclusive,
        softmax=classes.exclusive,
        sigmoid=not classes.exclusive,
        squared_pred=squared,
        lambda_dice=0.5,
        lambda_ce=2,
    )(theirs, target)
    config = DiceCe(background=background, squared=squared, dice_weight=0.5, ce_weight=2)
    value = config.build(classes)(Prediction(ours), batch_of(target))
    assert torch.equal(value, reference)
    value.backward()
    reference.backward()
    assert ours.grad is not None
    assert theirs.grad is not None
    assert torch.equal(ours.grad, theirs.grad)


def test_the_native_loss_looks_at_the_networks_own_map() -> None:
    logits, target = logits_and_target()
    _, fine = logits_and_target(48)
    fine[..., ::4, ::4] = target  # what nearest neighbours keep
    large = F.interpolate(logits, (48, 48), mode="bilinear", align_corners=False)
    prediction = Prediction(large, {"native": logits})
    at_target = DiceCe().build(LANDMARKS)
    native = DiceCe(resolution="native").build(LANDMARKS)
    assert torch.equal(
        native(prediction, batch_of(fine)), at_target(Prediction(logits), batch_of(target))
    )
    assert not torch.isclose(
        native(prediction, batch_of(fine)), at_target(prediction, batch_of(fine))
    )


def test_logits_of_another_size_are_brought_to_the_targets() -> None:
    logits, _ = logits_and_target()
    _, fine = logits_and_target(48)
    large = F.interpolate(logits, (48, 48), mode="bilinear", align_corners=False)
    loss = DiceCe().build(LANDMARKS)
    assert torch.equal(
        loss(Prediction(logits), batch_of(fine)), loss(Prediction(large), batch_of(fine))
    )


@pytest.mark.parametrize("entropy", ["softmax", "binary", "binary_of_log_softmax"])
def test_hopeless_logits_have_a_finite_loss_and_gradient(entropy: Any) -> None:
    logits, target = logits_and_target()
    extreme = (1e4 * logits).requires_grad_()
    loss = DiceCe(entropy=entropy, background=True).build(LANDMARKS)(
        Prediction(extreme), batch_of(target)
    )
    loss.backward()
    assert loss.isfinite()
    assert extreme.grad is not None
    assert extreme.grad.isfinite().all()


def test_log_probabilities_for_logits_leave_a_perfect_prediction_a_loss() -> None:
    _, target = logits_and_target()
    perfect = Prediction(200 * target - 100)
    binary_loss = DiceCe(entropy="binary", dice_weight=0).build(LANDMARKS)(
        perfect, batch_of(target)
    )
    coded = DiceCe(entropy="binary_of_log_softmax", dice_weight=0).build(LANDMARKS)
    assert binary_loss < 1e-6
    torch.testing.assert_close(coded(perfect, batch_of(target)), torch.tensor(2.0).log() / 4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dice_weight": 0, "ce_weight": 0}, "both 0"),
        ({"dice_weight": 0, "background": True}, "background has no effect"),
        ({"ce_weight": 0, "entropy": "binary"}, "entropy has no effect"),
    ],
)
def test_settings_without_effect_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DiceCe(**fields)


@pytest.mark.parametrize("fields", [{"background": True}, {"entropy": "binary"}])
def test_overlapping_classes_have_neither_background_nor_a_choice(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="where classes overlap"):
        DiceCe(**fields).build(ORGANS)


@pytest.mark.parametrize("entropy", ["softmax", "binary", "binary_of_log_softmax"])
@pytest.mark.parametrize("resolution", ["target", "native"])
def test_pixels_that_nobody_knows_teach_nothing(entropy: Any, resolution: Any) -> None:
    """No gradient there, and whatever the target says there makes no difference."""
    config = DiceCe(entropy=entropy, background=True, resolution=resolution)
    loss = config.build(LANDMARKS)
    logits, target = logits_and_target()
    ignore = torch.zeros(len(logits), 1, *logits.shape[-2:], dtype=torch.bool)
    ignore[..., :5, 3:9] = True
    moved = logits.requires_grad_()
    value = loss(Prediction(moved, {"native": moved}), batch_of(target, ignore))
    value.backward()
    assert moved.grad is not None
    assert not moved.grad[ignore.expand_as(moved)].any()
    assert moved.grad[~ignore.expand_as(moved)].any()
    other = torch.where(ignore, target.roll(1, dims=1), target)
    again = loss(Prediction(moved, {"native": moved}), batch_of(other, ignore))
    assert torch.equal(again, value)


def test_ignoring_nothing_changes_no_digit() -> None:
    loss = DiceCe().build(LANDMARKS)
    logits, target = logits_and_target()
    nothing = torch.zeros(len(logits), 1, *logits.shape[-2:], dtype=torch.bool)
    assert torch.equal(
        loss(Prediction(logits), batch_of(target)),
        loss(Prediction(logits), batch_of(target, nothing)),
    )


def test_ignored_pixels_of_overlapping_classes() -> None:
    loss = DiceCe().build(ORGANS)
    logits = torch.randn(2, len(ORGANS.names), 8, 8, requires_grad=True)
    ignore = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    ignore[:, :, 4:] = True
    loss(Prediction(logits), batch_of(torch.ones_like(logits).detach(), ignore)).backward()
    assert logits.grad is not None
    assert not logits.grad[:, :, 4:].any()
    assert logits.grad[:, :, :4].any()


def weight_at(target_HW: Tensor, y: int, x: int) -> float:
    """One, and five times how far a pixel is from the mean of the 31 x 31 around it; beyond: 0."""
    own, around = float(target_HW[y, x]), 0.0
    for row in range(max(0, y - 15), min(len(target_HW), y + 16)):
        around += float(target_HW[row, max(0, x - 15) : x + 16].sum())
    return 1 + 5 * abs(around / 31**2 - own)


@pytest.mark.parametrize("entropy", ["weighted", "plain"])
def test_structure_is_that_of_its_formula(entropy: Any) -> None:
    logits, target = logits_and_target(6)
    values = []
    for logit_HW, y_HW in zip(logits.double().flatten(0, 1), target.flatten(0, 1), strict=True):
        w = torch.tensor([[weight_at(y_HW, y, x) for x in range(6)] for y in range(6)])
        p = logit_HW.sigmoid()
        each = -(y_HW * p.log() + (1 - y_HW) * (1 - p).log())
        bce = (w * each).sum() / w.sum() if entropy == "weighted" else each.mean()
        both, either = (w * p * y_HW).sum(), (w * (p + y_HW)).sum()
        values.append(bce + 1 - (both + 1) / (either - both + 1))
    value = Structure(entropy=entropy).build(LANDMARKS)(Prediction(logits), batch_of(target))
    expected = torch.stack(values).mean()
    torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=0)


def test_structure_of_an_image_of_which_nothing_is_known_is_finite() -> None:
    logits, target = logits_and_target(6)
    batch = batch_of(target, torch.ones(3, 1, 6, 6, dtype=torch.bool))
    assert Structure().build(LANDMARKS)(Prediction(logits), batch) == 0


@pytest.mark.parametrize("power", [1.0, 0.75])
def test_tversky_is_its_formula_and_dice_where_both_errors_weigh_the_same(power: float) -> None:
    logits, target = logits_and_target()
    p, y = logits.double().softmax(1)[:, 1:], target[:, 1:].double()
    found, false, missed = (x.sum((2, 3)) for x in (p * y, p * (1 - y), (1 - p) * y))
    index = found / (found + 0.2 * false + 0.9 * missed)
    entropy = -(target * logits.double().log_softmax(1)).sum(1).mean()
    expected = (1 - index).pow(power).mean() + 0.5 * entropy
    config = Tversky(alpha=0.2, beta=0.9, power=power, ce_weight=0.5)
    value = config.build(LANDMARKS)(Prediction(logits), batch_of(target))
    torch.testing.assert_close(value.double(), expected, rtol=1e-4, atol=0)
    even = Tversky(alpha=0.5, beta=0.5).build(LANDMARKS)(Prediction(logits), batch_of(target))
    usual = DiceCe().build(LANDMARKS)(Prediction(logits), batch_of(target))
    torch.testing.assert_close(even, usual, rtol=1e-4, atol=0)


def test_focal_is_its_formula() -> None:
    logits, target = logits_and_target()
    p = logits.double().softmax(1)
    expected = -(target * (1 - p).pow(1.5) * p.log()).mean() + 2 * dice(p[:, 1:], target[:, 1:])
    config = Focal(gamma=1.5, dice_weight=2)
    value = config.build(LANDMARKS)(Prediction(logits), batch_of(target))
    torch.testing.assert_close(value.double(), expected, rtol=1e-4, atol=0)
    overlapping = ClassSpec(("a", "b", "c", "d"), exclusive=False)
    q = logits.double().sigmoid()
    both = target * (1 - q).pow(1.5) * q.log() + (1 - target) * q.pow(1.5) * (1 - q).log()
    value = config.build(overlapping)(Prediction(logits), batch_of(target))
    torch.testing.assert_close(value.double(), 2 * dice(q, target) - both.mean(), rtol=1e-4, atol=0)


def test_a_gap_in_a_line_costs_more_by_its_centreline() -> None:
    """A line eleven pixels wide, with five of its columns missing, against one that is two rows
    thinner: the second loses more of the mask, the first more of the line."""
    line = torch.zeros(1, 1, 48, 96)
    line[..., 18:29, 8:88] = 1
    gap, thin = line.clone(), line.clone()
    gap[..., 40:45] = 0
    thin[..., 18:19, :] = 0
    thin[..., 28:29, :] = 0
    spec = ClassSpec(("line",), exclusive=False)

    def cost(mask: Tensor, share: float) -> float:
        loss = ClDice(share=share, iterations=8, ce_weight=0).build(spec)
        return float(loss(Prediction(40 * mask - 20), batch_of(line)))

    assert cost(line, 1.0) == pytest.approx(0, abs=1e-3)
    assert cost(gap, 1.0) > cost(thin, 1.0)
    masks = DiceCe(ce_weight=0).build(spec)
    worst = [float(masks(Prediction(40 * m - 20), batch_of(line))) for m in (gap, thin)]
    assert worst[0] < worst[1]
    half = 0.5 * (cost(gap, 1.0) + worst[0])
    assert cost(gap, 0.5) == pytest.approx(half, rel=1e-4)
    with_entropy = ClDice(share=0.5, iterations=8).build(spec)
    assert float(with_entropy(Prediction(40 * gap - 20), batch_of(line))) > cost(gap, 0.5)
