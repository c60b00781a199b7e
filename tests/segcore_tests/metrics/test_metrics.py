"""Metrics by their properties, and where masks are empty."""

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from segcore.classes import ClassSpec
from segcore.metrics import (
    METRICS as TABLE,
)
from segcore.metrics import (
    assd,
    background_10mm,
    dice,
    hausdorff,
    iou,
    stack3d,
    surface_dice,
)
from segcore.metrics.aggregate import aggregate
from segcore.metrics.images import Scored, score
from segcore.metrics.metric import Pair
from segcore.metrics.nearest import distances
from segcore.metrics.surface import border
from segcore.metrics.table import OF_IMAGES, default_protocol
from segcore.training.events import ImageScore

Mask = NDArray[np.bool_]
DEFAULT_PROTOCOLS = {
    name: default_protocol(name) for name in ("dice", "iou", "assd", "hd", "hd95", "nsd")
}

LANDMARKS = ClassSpec(names=("background", "ridge", "silhouette", "ligament"), exclusive=True)
OTHERS = {"assd": ("mean_of_directed", "image_px"), "hd95": ("pooled", "image_px")}
EMPTY = np.zeros((30, 40), bool)
FULL = np.ones((30, 40), bool)
DIAGONAL = 50.0

METRICS: tuple[Callable[[Mask, Mask], float], ...] = (
    dice,
    iou,
    assd,
    partial(assd, directions="averaged"),
    hausdorff,
    partial(hausdorff, percentile=95, directions="larger"),
    partial(surface_dice, tolerance=1.5),
)
DIRECTIONS: tuple[Literal["pooled", "larger"], ...] = ("pooled", "larger")
masks = arrays(np.bool_, (13, 17))


@pytest.mark.parametrize("shape", [(150, 200), (3, 60, 50)])
@pytest.mark.parametrize("density", [0.5, 0.02, 0.0005])
def test_nearest_distances_are_exact_however_they_are_found(
    shape: tuple[int, ...], density: float
) -> None:
    """Dense masks are looked up, few far points asked of a tree, many of a distance transform;
    the order in memory does not matter."""
    rng = np.random.default_rng(0)
    points, dense = rng.random(shape) < density, rng.random(shape) < 0.3
    points.flat[7] = True
    lone = np.zeros(shape, bool)
    lone.flat[-3] = True
    for targets in (rng.random(shape) < density, dense, lone):
        targets.flat[70] = True
        for a, b in ((points, targets), (targets, points)):
            exact = distance_transform_edt(~b)[a]
            for x, y in itertools.product((a, np.asfortranarray(a)), (b, np.asfortranarray(b))):
                np.testing.assert_array_equal(distances(x, y), exact)


@settings(max_examples=60, deadline=None)
@given(masks, masks)
def test_order_does_not_matter(a: Mask, b: Mask) -> None:
    for metric in (*METRICS, background_10mm):
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
    for metric in METRICS:
        assert metric(moved(a), moved(b)) == pytest.approx(metric(*still), nan_ok=True)


@settings(max_examples=60, deadline=None)
@given(masks, masks)
def test_distances_are_ordered(a: Mask, b: Mask) -> None:
    assume(a.any() and b.any())
    for directions in DIRECTIONS:
        assert hausdorff(a, b, percentile=95, directions=directions) <= hausdorff(a, b)
    within = [surface_dice(a, b, tolerance) for tolerance in (0, 1, 3, 30)]
    assert within == sorted(within)
    assert within[-1] == 1
    assert 0 <= assd(a, b) <= hausdorff(a, b) + 1e-9
    assert hausdorff(a, b) < np.hypot(*a.shape)


def test_single_pixels_are_as_far_apart_as_they_are() -> None:
    a, b = EMPTY.copy(), EMPTY.copy()
    a[2, 3] = b[5, 7] = True
    assert (assd(a, b), hausdorff(a, b)) == (5, 5)


def test_hd95_sees_a_false_island_that_is_a_small_part_of_both_outlines() -> None:
    """The default is the larger of the directed percentiles, as MONAI and DeepMind state it."""
    truth: Mask = np.zeros((300, 300), bool)
    truth[100:200, 100:200] = True
    prediction = np.roll(truth, 1, axis=0)
    prediction[5:15, 5:15] = True

    def directed(a: Mask, b: Mask) -> float:
        between = np.argwhere(border(a))[:, None] - np.argwhere(border(b))
        return float(np.percentile(np.sqrt((between**2).sum(axis=2)).min(axis=1), 95))

    found = {protocol: TABLE[f"hd95.{protocol}"].load().compute(Pair(prediction, truth))
             for protocol in ("max_of_directed", "pooled")}  # fmt: skip
    larger = max(directed(prediction, truth), directed(truth, prediction))
    assert found == {"max_of_directed": pytest.approx(larger), "pooled": 1.0}
    assert larger > 100
    assert hausdorff(prediction, truth, percentile=95) == found["max_of_directed"]
    assert default_protocol("hd95") == "max_of_directed"
    assert not TABLE["hd95.max_of_directed"].load().only_at_test


@pytest.mark.parametrize("own_size", [(54, 96), (90, 120)])
def test_distances_in_pixels_of_the_image_do_not_mind_the_shape_of_the_masks(
    own_size: tuple[int, int],
) -> None:
    rng = np.random.default_rng(0)
    a, b = EMPTY.copy(), EMPTY.copy()
    a[5:20, 8:30] = b[9:22, 4:33] = True
    a[rng.random(a.shape) < 0.02] = True
    scale = np.array(own_size) / a.shape  # (90, 120): not squashed, three times as large
    at = [np.argwhere(border(m)) * scale for m in (a, b)]
    between = np.sqrt(((at[0][:, None] - at[1]) ** 2).sum(axis=2))
    there, back = between.min(axis=1), between.min(axis=0)
    rows = {name: TABLE[f"{name}.image_px"].load() for name in ("assd", "hd95")}
    found = {name: row.compute(Pair(a, b, own_size=own_size)) for name, row in rows.items()}
    assert found["assd"] == pytest.approx(np.concatenate([there, back]).mean())
    assert found["hd95"] == pytest.approx(max(np.percentile(d, 95) for d in (there, back)))
    alone = Pair(a, EMPTY, own_size=own_size)
    assert rows["assd"].compute(alone) == pytest.approx(np.hypot(*own_size))
    assert math.isnan(rows["assd"].compute(Pair(EMPTY, EMPTY, own_size=own_size)))
    assert math.isnan(rows["assd"].compute(Pair(a, b)))
    plain = TABLE["assd.per_class_px"].load()
    assert rows["assd"].compute(Pair(a, b, own_size=(30, 40))) == plain.compute(Pair(a, b))


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
    scores = score_masks(prediction, truth, LANDMARKS, every_protocol=True)
    return {f"{s.class_name} {s.metric} {s.protocol}": s.value for s in scores}


def test_shifted_stripes_score_by_class() -> None:
    """Every class is off by 5 px."""
    found = values(stripes(5), stripes(0))
    for name in LANDMARKS.foreground:
        assert found[f"{name} assd per_class_px"] == pytest.approx(4.91, abs=0.005)
        assert found[f"{name} hd per_class_px"] == 5
        assert found[f"{name} dice per_image"] == pytest.approx(15 / 20)


def test_what_published_protocols_make_of_the_same_errors() -> None:
    """The background does not see classes and counts 1 px as 10; the stack hardly sees them."""
    truth = stripes(0)
    cases = {
        "shifted by 5 px": stripes(5),
        "two classes swapped": stripes(0, (2, 1, 3)),
        "one class missing": np.where(truth == 2, 0, truth).astype(np.uint8),
    }
    found = {case: values(prediction, truth) for case, prediction in cases.items()}
    background = {case: v["pooled assd background_10mm"] for case, v in found.items()}
    stack = {case: v["pooled assd stack3d"] for case, v in found.items()}
    per_class = {case: v["ridge assd per_class_px"] for case, v in found.items()}
    assert list(background.values()) == pytest.approx([30.36, 0, 150.3], abs=0.05)
    assert list(stack.values()) == pytest.approx([0.75, 0.667, 37.1], abs=0.01)
    assert list(per_class.values()) == pytest.approx([4.91, 190.5, 0], abs=0.005)


def test_published_protocols_of_empty_masks() -> None:
    one = np.zeros((3, 30, 40), bool)
    one[1, 4:6, 7:9] = True
    none = np.zeros_like(one)
    assert stack3d(one, none) == stack3d(none, one) == stack3d(none, none) == 80
    assert stack3d(one, one) == 0
    assert math.isnan(background_10mm(EMPTY, FULL))
    assert math.isnan(background_10mm(FULL, EMPTY))
    assert math.isnan(background_10mm(EMPTY, EMPTY))
    assert background_10mm(FULL, FULL) == 0


def test_surface_dice_of_empty_masks() -> None:
    assert math.isnan(surface_dice(EMPTY, EMPTY, 1))
    assert surface_dice(EMPTY, EMPTY, 1, empty=1.0) == 1
    assert surface_dice(EMPTY, FULL, 100) == surface_dice(FULL, EMPTY, 100) == 0
    scores = {
        s.metric: s.value
        for s in score_masks(EMPTY.astype(np.uint8), FULL.astype(np.uint8), LANDMARKS)
        if (s.class_name, s.protocol) == ("ridge", DEFAULT_PROTOCOLS[s.metric])
    }
    assert scores == {"dice": 0, "iou": 0, "assd": 50, "hd": 50, "hd95": 50, "nsd": 0}


def test_the_tolerance_of_surface_dice_is_a_share_of_the_height() -> None:
    """The same error is forgiven, or not, at every resolution."""
    for side in (128, 256, 1024):
        truth = np.zeros((side, side), np.uint8)
        truth[side // 4 : side // 2] = 1
        near, far = (np.roll(truth, round(side * shift), axis=0) for shift in (0.008, 0.02))
        assert values(near, truth)["ridge nsd tolerance_1pct"] == 1
        assert values(far, truth)["ridge nsd tolerance_1pct"] < 0.25


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
    assert found["silhouette nsd tolerance_1pct"] == 0
    assert found["silhouette hd95 max_of_directed"] == pytest.approx(1024 * math.sqrt(2))
    nowhere = values(np.zeros_like(truth), np.zeros_like(truth))
    published = {nowhere.pop("pooled assd stack3d"), nowhere.pop("pooled assd background_10mm")}
    assert published == {80, 0}
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


class MaskScore(NamedTuple):
    """One value, by the names under which it stands in the tables."""

    class_name: str
    metric: str
    protocol: str
    value: float


def score_masks(
    prediction: NDArray[np.uint8],
    truth: NDArray[np.uint8],
    classes: ClassSpec,
    *,
    every_protocol: bool = False,
) -> list[MaskScore]:
    """All metrics of an image; those that take long only where they are asked for."""
    rows = [TABLE[key].load() for key in OF_IMAGES]
    rows = [m for m in rows if every_protocol or not m.only_at_test]
    size = (truth.shape[0], truth.shape[1])
    found = score(Scored(prediction, truth, own_size=size), classes, rows, "image")
    return [
        MaskScore(s.class_name, s.metric.name, s.metric.protocol, s.metric.number(s.value))
        for s in found
    ]


def image_score(sample: str, class_name: str, value: float, metric: str = "dice") -> ImageScore:
    return ImageScore(
        "val", "8x8", sample, sample[0], "image", sample, class_name, metric, "per_image", value
    )


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


def test_without_the_other_protocols_every_metric_has_its_default() -> None:
    truth: NDArray[np.uint8] = stripes(0)[::8, ::8]
    prediction = np.roll(truth, 2, axis=0)
    few = score_masks(prediction, truth, LANDMARKS)
    every = score_masks(prediction, truth, LANDMARKS, every_protocol=True)
    assert set(few) < set(every)
    for name in (*LANDMARKS.foreground, "pooled"):
        found = [(s.metric, s.protocol) for s in few if s.class_name == name]
        stacked = [("dice", "stacked"), ("iou", "stacked")] if name == "pooled" else []
        assert sorted(found) == sorted([*DEFAULT_PROTOCOLS.items(), *stacked])


def test_macro_exists_once_per_metric_and_protocol() -> None:
    truth: NDArray[np.uint8] = stripes(0)[::8, ::8]
    images = [
        ImageScore("val", "128x128", f"p{i}", "p", "image", f"p{i}", *s)
        for i in range(2)
        for s in score_masks(np.roll(truth, i, axis=0), truth, LANDMARKS, every_protocol=True)
    ]
    scores = aggregate(images)
    macro = [(s.metric, s.protocol) for s in scores if s.class_name == "macro"]
    others = [(n, p) for n, ps in OTHERS.items() for p in ps]
    assert sorted(macro) == sorted([*DEFAULT_PROTOCOLS.items(), *others])
    of_the_whole = {(s.metric, s.protocol) for s in scores if s.class_name == "pooled"}
    published = {("assd", "background_10mm"), ("assd", "stack3d")}
    assert of_the_whole == {*macro, *published, ("dice", "stacked"), ("iou", "stacked")}
    assert {s.n for s in scores} == {2}
    assert aggregate(images) == scores
