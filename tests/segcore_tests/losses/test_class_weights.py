"""Weights of classes: against torch image by image, and what is refused."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from segcore.batch import Batch, Prediction
from segcore.classes import ClassSpec
from segcore.losses.boundary import Boundary
from segcore.losses.cl_dice import ClDice
from segcore.losses.dice_ce import DiceCe
from segcore.losses.focal import Focal
from segcore.losses.loss import Loss
from segcore.losses.tversky import Tversky
from segcore.testing import check_loss

LANDMARKS = ClassSpec(("background", "ridge", "silhouette", "ligament"), exclusive=True)
ORGANS = ClassSpec(("liver", "tumour"), exclusive=False)
TEXTS = ("background=0.25", "ligament=3")
WEIGHTS = torch.tensor([0.25, 1, 1, 3])


def of_landmarks() -> tuple[Tensor, Batch]:
    """Logits, and a batch of which the images have other classes each."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (3, 10, 12), generator=generator)
    labels[0] = labels[0].clamp(max=1)
    target = F.one_hot(labels, 4).permute(0, 3, 1, 2).float()
    logits = torch.randn(target.shape, generator=generator)
    ids = ("a", "b", "c")
    return logits, Batch(torch.empty(3, 3, 0, 0), target, ids, ids)


def of_torch(logits: Tensor, target: Tensor) -> Tensor:
    """The weighted cross-entropy of each image by itself, averaged."""
    each = [
        F.cross_entropy(x[None], y.argmax(0)[None], weight=WEIGHTS)
        for x, y in zip(logits, target, strict=True)
    ]
    return torch.stack(each).mean()


WEIGHTED: tuple[Any, ...] = (DiceCe, Tversky, ClDice, Boundary)


@pytest.mark.parametrize("kind", WEIGHTED)
def test_the_cross_entropy_is_torchs_of_each_image(kind: Any) -> None:
    logits, batch = of_landmarks()
    plain, weighted = (
        kind(class_weights=texts, ce_weight=2.0).build(LANDMARKS)(Prediction(logits), batch)
        for texts in ((), TEXTS)
    )
    entropy = of_torch(logits, batch.target_BKHW) - F.cross_entropy(logits, batch.target_BKHW)
    torch.testing.assert_close(weighted - plain, 2 * entropy, rtol=1e-4, atol=1e-6)
    whole = F.cross_entropy(logits, batch.target_BKHW.argmax(1), weight=WEIGHTS)
    assert not torch.isclose(whole, of_torch(logits, batch.target_BKHW))


def test_the_focal_term_counts_pixels_by_their_class() -> None:
    logits, batch = of_landmarks()
    p, target = logits.softmax(1), batch.target_BKHW
    each = -(target * (1 - p) ** 2 * p.log()).sum(1) / 4
    w = (target * WEIGHTS[:, None, None]).sum(1)
    expected = ((each * w).sum((1, 2)) / w.sum((1, 2))).mean()
    loss = Focal(dice_weight=0, class_weights=TEXTS).build(LANDMARKS)
    torch.testing.assert_close(loss(Prediction(logits), batch), expected)


def test_classes_that_overlap_are_averaged_by_their_weights() -> None:
    logits, target = torch.randn(2, 2, 8, 8), (torch.rand(2, 2, 8, 8) > 0.6).float()
    batch = Batch(torch.empty(2, 3, 0, 0), target, ("a", "b"), ("a", "b"))
    each = [F.binary_cross_entropy_with_logits(logits[:, k], target[:, k]) for k in range(2)]
    loss = DiceCe(dice_weight=0, class_weights=("tumour=4",)).build(ORGANS)
    torch.testing.assert_close(loss(Prediction(logits), batch), (each[0] + 4 * each[1]) / 5)
    focal = Focal(dice_weight=0, class_weights=("liver=0",)).build(ORGANS)
    only = Focal(dice_weight=0).build(ClassSpec(("tumour",), exclusive=False))
    alone = Batch(batch.image_B3HW, target[:, 1:], batch.sample_ids, batch.patient_ids)
    torch.testing.assert_close(
        focal(Prediction(logits), batch), only(Prediction(logits[:, 1:]), alone)
    )


@pytest.mark.parametrize("entropy", ["binary", "binary_of_log_softmax"])
def test_binary_entropies_of_exclusive_classes_are_weighed_by_class(entropy: Any) -> None:
    logits, batch = of_landmarks()
    of = logits.log_softmax(1) if "log" in entropy else logits
    each = F.binary_cross_entropy_with_logits(of, batch.target_BKHW, reduction="none")
    expected = (each.mean((0, 2, 3)) * WEIGHTS).sum() / WEIGHTS.sum()
    config = DiceCe(dice_weight=0, entropy=entropy, class_weights=TEXTS)
    torch.testing.assert_close(config.build(LANDMARKS)(Prediction(logits), batch), expected)


@pytest.mark.parametrize("kind", [*WEIGHTED, Focal])
def test_weighted_losses_keep_the_contract(kind: Any) -> None:
    loss: Loss = kind(class_weights=TEXTS)
    check_loss(loss)


def test_an_image_whose_pixels_weigh_nothing_has_no_loss() -> None:
    logits, batch = of_landmarks()
    batch.target_BKHW[:] = 0
    batch.target_BKHW[:, 0] = 1
    loss = DiceCe(dice_weight=0, class_weights=("background=0",)).build(LANDMARKS)
    assert loss(Prediction(logits), batch) == 0


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (("ridge",), "cannot use ridge: write 'name=weight'"),
        (("ridge=two", "=1", "ligament=-1", "silhouette=inf"), "ridge=two, =1, ligament=-1, silh"),
        (("ridge=1", "ridge=2"), "cannot use ridge, twice"),
    ],
)
def test_texts_that_are_no_weights_are_refused(texts: tuple[str, ...], message: str) -> None:
    for kind in (*WEIGHTED, Focal):
        with pytest.raises(ValueError, match=message):
            kind(class_weights=texts)


def test_weights_without_effect_and_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="class_weights have no effect with ce_weight=0"):
        Tversky(ce_weight=0, class_weights=TEXTS)
    told = "no class rigde, liver: choose of background, ridge, silhouette, ligament"
    with pytest.raises(ValueError, match=told):
        DiceCe(class_weights=("rigde=2", "liver=2")).build(LANDMARKS)
    with pytest.raises(ValueError, match="no effect where all classes have the same"):
        DiceCe(class_weights=("ridge=1",)).build(LANDMARKS)
    with pytest.raises(ValueError, match="are all 0"):
        DiceCe(class_weights=("liver=0", "tumour=0")).build(ORGANS)
