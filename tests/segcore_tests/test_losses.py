"""The loss against its formula, setting by setting."""

from typing import Any

import pytest
import torch
from monai.losses.dice import DiceCELoss
from torch import Tensor
from torch.nn import functional as F

from segcore.batch import Batch, Prediction
from segcore.classes import ClassSpec
from segcore.losses.dice_ce import DiceCe
from segcore.losses.structure import Structure

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


def test_the_default_is_monais_to_the_last_digit() -> None:
    logits, target = logits_and_target()
    reference = DiceCELoss(include_background=False, softmax=True)
    assert torch.equal(
        DiceCe().build(LANDMARKS)(Prediction(logits), batch_of(target)), reference(logits, target)
    )


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
