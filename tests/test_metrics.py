"""Metrics against medpy and MONAI, by their properties, and where masks are empty."""

import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from medpy.metric import binary as medpy
from monai.metrics.meandice import compute_dice
from numpy.typing import NDArray

from segcore.batch import ClassSpec
from segcore.evaluation import ImageScore
from segcore.metrics import aggregate, assd, dice, hausdorff, iou, score_masks

Mask = NDArray[np.bool_]

LANDMARKS = ClassSpec(names=("background", "ridge", "silhouette", "ligament"), exclusive=True)
EMPTY = np.zeros((30, 40), bool)
FULL = np.ones((30, 40), bool)
DIAGONAL = 50.0

masks = arrays(np.bool_, (13, 17))


def some_masks(count: int) -> list[tuple[Mask, Mask]]:
    """Pairs of blobs and specks, never empty; some touch the border."""
    pairs = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        pair = []
        for _ in range(2):
            mask = rng.random((48, 40)) < 0.02
            y, x = rng.integers(0, 30, 2)
            mask[y : y + rng.integers(1, 20), x : x + rng.integers(1, 20)] = True
            pair.append(mask)
        pairs.append((pair[0], pair[1]))
    return pairs


@pytest.mark.parametrize("pair", some_masks(12))
def test_values_are_those_of_medpy(pair: tuple[Mask, Mask]) -> None:
    a, b = pair
    assert dice(a, b) == pytest.approx(medpy.dc(a, b))
    assert iou(a, b) == pytest.approx(medpy.jc(a, b))
    assert assd(a, b) == pytest.approx(medpy.assd(a, b))
    assert hausdorff(a, b) == pytest.approx(medpy.hd(a, b))
    assert hausdorff(a, b, percentile=95) == pytest.approx(medpy.hd95(a, b))


@pytest.mark.parametrize("pair", some_masks(12))
def test_values_are_those_of_monai(pair: tuple[Mask, Mask]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI warns of its own imports.
        from monai.metrics.hausdorff_distance import compute_hausdorff_distance
        from monai.metrics.surface_distance import compute_average_surface_distance

        a, b = (torch.from_numpy(m)[None, None].float() for m in pair)
        theirs = {
            "dice": compute_dice(a, b).item(),
            "assd": compute_average_surface_distance(
                a, b, include_background=True, symmetric=True
            ).item(),
            "hd": compute_hausdorff_distance(a, b, include_background=True).item(),
        }
    assert dice(*pair) == pytest.approx(theirs["dice"])
    assert assd(*pair) == pytest.approx(theirs["assd"], rel=1e-5)
    assert hausdorff(*pair) == pytest.approx(theirs["hd"], rel=1e-5)


@settings(max_examples=60, deadline=None)
@given(masks, masks)
def test_order_does_not_matter(a: Mask, b: Mask) -> None:
    for metric in (dice, iou, assd, hausdorff):
        assert metric(a, b) == pytest.approx(metric(b, a), nan_ok=True)


@settings(max_examples=60, deadline=None)
@given(masks)
def test_a_mask_agrees_with_itself(a: Mask) -> None:
    assume(a.any())
    assert (dice(a, a), iou(a, a), assd(a, a), hausdorff(a, a)) == (1, 1, 0, 0)


@settings(max_examples=60, deadline=None)
@given(masks, masks, st.integers(0, 9), st.integers(0, 9))
def test_moving_both_masks_changes_nothing(a: Mask, b: Mask, down: int, right: int) -> None:
    def moved(mask: Mask) -> Mask:
        return np.pad(mask, ((down, 9 - down), (right, 9 - right)))

    still = [np.pad(m, ((0, 9), (0, 9))) for m in (a, b)]
    for metric in (dice, iou, assd, hausdorff):
        assert metric(moved(a), moved(b)) == pytest.approx(metric(*still), nan_ok=True)


@settings(max_examples=60, deadline=None)
@given(masks, masks)
def test_distances_are_ordered(a: Mask, b: Mask) -> None:
    assume(a.any() and b.any())
    assert 0 <= assd(a, b) <= hausdorff(a, b) + 1e-9
    assert hausdorff(a, b, percentile=95) <= hausdorff(a, b) < np.hypot(*a.shape)


def test_single_pixels_are_as_far_apart_as_they_are() -> None:
    a, b = EMPTY.copy(), EMPTY.copy()
    a[2, 3] = b[5, 7] = True
    assert (assd(a, b), hausdorff(a, b)) == (5, 5)


@pytest.mark.parametrize("metric", [dice, iou])
def test_overlap_of_empty_masks(metric: Callable[..., float]) -> None:
    assert math.isnan(metric(EMPTY, EMPTY))
    assert metric(EMPTY, EMPTY, empty=1.0) == 1
    assert metric(EMPTY, FULL) == metric(FULL, EMPTY) == 0
    assert metric(EMPTY, FULL, empty=1.0) == 0


@pytest.mark.parametrize("metric", [assd, hausdorff])
def test_distance_of_empty_masks(metric: Callable[..., float]) -> None:
    assert math.isnan(metric(EMPTY, EMPTY))
    assert math.isnan(metric(EMPTY, EMPTY, empty=80))
    assert metric(EMPTY, FULL) == metric(FULL, EMPTY) == DIAGONAL
    assert metric(EMPTY, FULL, empty=80) == metric(FULL, EMPTY, empty=80) == 80


def stripes(shift: int, order: tuple[int, int, int] = (1, 2, 3)) -> NDArray[np.uint8]:
    """Three horizontal stripes, 20 rows high, 200 apart."""
    labels = np.zeros((1024, 1024), np.uint8)
    for i, value in enumerate(order):
        labels[200 * (i + 1) + shift :][:20] = value
    return labels


def values(prediction: NDArray[np.uint8], truth: NDArray[np.uint8]) -> dict[str, float]:
    scores = score_masks(prediction, truth, LANDMARKS)
    return {f"{s.class_name} {s.metric} {s.protocol}": s.value for s in scores}


def test_shifted_stripes_score_by_class() -> None:
    """Every class is off by 5 px. The volume protocol of the literature says 1.0 here, the
    background protocol 26.7: see the module's note on protocols."""
    found = values(stripes(5), stripes(0))
    for name in LANDMARKS.foreground:
        assert found[f"{name} assd per_class_px"] == pytest.approx(4.91, abs=0.005)
        assert found[f"{name} hd per_class_px"] == 5
        assert found[f"{name} dice per_image"] == pytest.approx(15 / 20)


def test_swapped_classes_are_errors_wherever_classes_count() -> None:
    found = values(stripes(0, (2, 1, 3)), stripes(0))
    assert found["ridge dice per_image"] == found["silhouette dice per_image"] == 0
    assert found["ligament dice per_image"] == 1
    assert found["pooled dice per_image"] == 1
    assert found["pooled assd per_class_px"] == 0
    assert found["pooled dice stacked"] == pytest.approx(1 / 3)
    assert found["ridge assd per_class_px"] > 150


def test_a_missing_class_costs_the_diagonal() -> None:
    truth = stripes(0)
    found = values(np.where(truth == 2, 0, truth).astype(np.uint8), truth)
    assert found["silhouette dice per_image"] == 0
    assert found["silhouette hd95 per_class_px"] == pytest.approx(1024 * math.sqrt(2))
    nowhere = values(np.zeros_like(truth), np.zeros_like(truth))
    assert all(math.isnan(v) for v in nowhere.values())


def test_overlapping_classes_are_read_bit_by_bit() -> None:
    both = ClassSpec(names=("tool", "shadow"), exclusive=False)
    truth: NDArray[np.uint8] = np.zeros((8, 8), np.uint8)
    truth[:4] = 0b01
    truth[2:6] |= 0b10
    prediction = truth & np.uint8(0b01)
    scores = {(s.class_name, s.metric, s.protocol): s for s in score_masks(prediction, truth, both)}
    assert scores["tool", "dice", "per_image"].value == 1
    assert scores["shadow", "dice", "per_image"].value == 0
    assert scores["pooled", "iou", "per_image"].value == pytest.approx(4 / 6)
    assert scores["pooled", "iou", "stacked"].value == pytest.approx(4 / 8)


def image_score(sample: str, class_name: str, value: float, metric: str = "dice") -> ImageScore:
    return ImageScore("val", 8, sample, sample[0], class_name, metric, "per_image", value)


def test_means_count_defined_images_and_macro_counts_classes() -> None:
    nan = math.nan
    images = [
        image_score("a1", "ridge", 0.2),
        image_score("a1", "ligament", nan),
        image_score("a1", "pooled", 0.9),
        image_score("b1", "ridge", 0.4),
        image_score("b1", "ligament", 0.9),
        image_score("b1", "pooled", 0.7),
    ]
    found = [(s.class_name, round(s.value, 9), s.n) for s in aggregate(images)]
    assert found == [("ridge", 0.3, 2), ("ligament", 0.9, 1), ("pooled", 0.8, 2), ("macro", 0.6, 2)]


def test_a_class_that_no_image_defines_is_not_in_macro() -> None:
    images = [image_score("a1", "ridge", 0.2), image_score("a1", "ligament", math.nan)]
    by_class = {s.class_name: s for s in aggregate(images)}
    assert math.isnan(by_class["ligament"].value)
    assert by_class["ligament"].n == 0
    assert by_class["macro"].value == 0.2
    nothing = {s.class_name: s for s in aggregate(images[1:])}
    assert math.isnan(nothing["macro"].value)


def test_macro_exists_once_per_metric_and_protocol() -> None:
    truth: NDArray[np.uint8] = stripes(0)[::8, ::8]
    images = [
        ImageScore("val", 128, f"p{i}", "p", *s)
        for i in range(2)
        for s in score_masks(np.roll(truth, i, axis=0), truth, LANDMARKS)
    ]
    scores = aggregate(images)
    macro = [(s.metric, s.protocol) for s in scores if s.class_name == "macro"]
    assert macro == [
        ("dice", "per_image"),
        ("iou", "per_image"),
        ("assd", "per_class_px"),
        ("hd", "per_class_px"),
        ("hd95", "per_class_px"),
    ]
    assert aggregate(images) == scores
