"""Thin structures: against slow restatements of the sources, and by properties."""

import dataclasses
import itertools
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image
from support.data_folders import p2ilf

from segcore.classes import ClassSpec
from segcore.data.sets.folder import Folder
from segcore.data.sets.l3d import L3D
from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.metrics import METRICS, centreline, centreline_distances, cl_dice, p2ilf_distance
from segcore.metrics.images import Scored, score
from segcore.metrics.metric import Metric, Pair
from segcore.metrics.table import OF_IMAGES, OF_LINES, OF_P2ILF
from segcore.presets import nano
from segcore.training.predicting import PredictedSample, Target
from segcore.training.runtime import Runtime
from segcore.training.scoring import score_predictions

Mask = NDArray[np.bool_]
EMPTY = np.zeros((60, 80), bool)
masks = arrays(np.bool_, (12, 15))
points = st.lists(st.tuples(st.integers(0, 49), st.integers(0, 59)), max_size=12)


def band(y: int, width: int = 5, *, x: tuple[int, int] = (0, 80)) -> Mask:
    """A horizontal band around a row."""
    out = EMPTY.copy()
    out[y - width // 2 : y + width // 2 + 1, x[0] : x[1]] = True
    return out


def curve(shift: int) -> Mask:
    """A wave, 7 pixels wide."""
    x = np.arange(80)
    drawn = np.zeros((60, 80), np.uint8)
    points = np.stack([x, 30 + shift + 10 * np.sin(x / 12)], 1).astype(np.int32)
    cv2.polylines(drawn, [points], False, 1, 7)
    return drawn.astype(bool)


def of_row(key: str, prediction: Mask, truth: Mask) -> float:
    metric: Metric = METRICS[key].load()
    return metric.number(metric.compute(Pair(prediction, truth)))


def pixels(mask: Mask) -> list[tuple[int, int]]:
    return [(int(y), int(x)) for y, x in zip(*np.nonzero(mask), strict=True)]


def slow_cl_dice(a: Mask, b: Mask) -> float:
    """Equations 1 and 2 of the paper, pixel by pixel."""
    line_a, line_b = (set(pixels(centreline(m))) for m in (a, b))
    all_a, all_b = set(pixels(a)), set(pixels(b))
    if not line_a or not line_b:
        return math.nan if not line_a and not line_b else 0.0
    precision = sum(p in all_b for p in line_a) / len(line_a)
    sensitivity = sum(p in all_a for p in line_b) / len(line_b)
    both = precision + sensitivity
    return 2 * precision * sensitivity / both if both else 0.0


def slow_p2ilf(a: Mask, b: Mask, limit: float) -> float:
    """The challenge's score, every distance by itself; without its 1e-7."""

    def nearest(points: list[tuple[int, int]], others: list[tuple[int, int]]) -> list[float]:
        return [min((math.dist(p, q) for q in others), default=math.inf) for p in points]

    found, there = pixels(a), pixels(b)
    if not found and not there:
        return math.nan
    outward, back = nearest(found, there), nearest(there, found)
    near = sum(d for d in outward + back if d < limit)
    outliers = limit * sum(d >= limit for d in outward) / (a.size - 2 * limit * len(there))
    if not there:
        return outliers
    missed = limit * sum(d >= limit for d in back) / len(there)
    return near / (2 * len(there)) + missed + outliers


@settings(max_examples=60, deadline=None)
@given(masks, masks)
def test_cl_dice_is_its_formula_and_does_not_mind_the_order(a: Mask, b: Mask) -> None:
    assert cl_dice(a, b) == pytest.approx(slow_cl_dice(a, b), nan_ok=True)
    assert cl_dice(a, b) == pytest.approx(cl_dice(b, a), nan_ok=True)
    assert of_row("cl_dice.per_image", a, b) == pytest.approx(cl_dice(a, b), nan_ok=True)


@settings(max_examples=60, deadline=None)
@given(points, points, st.sampled_from([2.0, 5.0, 10.0]))
def test_p2ilf_is_the_challenges_score(
    some: list[tuple[int, int]], others: list[tuple[int, int]], limit: float
) -> None:
    a, b = (np.zeros((50, 60), bool) for _ in range(2))
    for mask, there in ((a, some), (b, others)):
        for place in there:
            mask[place] = True
    expected = slow_p2ilf(a, b, limit)
    assert p2ilf_distance(a, b, limit=limit) == pytest.approx(expected, nan_ok=True)


@settings(max_examples=40, deadline=None)
@given(masks)
def test_a_mask_agrees_with_itself_and_a_centreline_lies_within(mask: Mask) -> None:
    line = centreline(mask)
    assert not (line & ~mask).any()
    assert line.any() == mask.any()
    if mask.any():
        assert cl_dice(mask, mask) == 1
        assert of_row("line_distance.centrelines_px", mask, mask) == 0
        assert p2ilf_distance(mask, mask) == 0


@pytest.mark.parametrize("shift", [1, 4, 17])
@pytest.mark.parametrize("widths", [(1, 1), (5, 5), (5, 9)])
def test_a_line_that_is_moved_by_so_much_is_so_far_away(
    shift: int, widths: tuple[int, int]
) -> None:
    """However wide; but where a band ends its centreline forks, which brings the ends nearer."""
    a, b = band(20, widths[0]), band(20 + shift, widths[1])
    forks = 0.0 if widths == (1, 1) else 0.3
    assert centreline_distances(a, b).mean() == pytest.approx(shift, abs=forks)
    values = [of_row("line_distance.centrelines_px", *pair) for pair in ((a, b), (b, a))]
    assert values == [pytest.approx(centreline_distances(a, b).mean())] * 2


def test_a_gap_and_a_thinner_line_are_told_apart() -> None:
    """A line of which a fifth is missing, against one of half the width."""
    line = curve(0)
    gap, thin = line.copy(), centreline(line)
    gap[:, 30:46] = False
    assert cl_dice(thin, line) == 1
    assert cl_dice(gap, line) < 0.95
    assert of_row("dice.per_image", thin, line) < of_row("dice.per_image", gap, line)
    assert cl_dice(curve(12), line) < 0.3


def test_p2ilf_charges_what_is_missed_and_little_for_what_is_made_up() -> None:
    line = band(20)
    assert p2ilf_distance(EMPTY, line) == 10
    false = p2ilf_distance(line, EMPTY)
    assert false == pytest.approx(10 * line.sum() / EMPTY.size)
    assert math.isnan(p2ilf_distance(EMPTY, EMPTY))
    assert p2ilf_distance(band(22), line) == pytest.approx(6 / 10)  # 1 + 2 px of 5 rows, twice
    # A line that is missed and another that is made up, of an image large enough to have both.
    far, large = (np.zeros((600, 80), bool) for _ in range(2))
    far[500:505], large[20:25] = True, True
    assert p2ilf_distance(far, large) == pytest.approx(10 + 10 * 400 / (48000 - 20 * 400))
    assert p2ilf_distance(band(45), line) == 20  # of one that is not, at most so much


def test_empty_masks_are_scored_as_by_other_metrics() -> None:
    line = band(20)
    assert [of_row("cl_dice.per_image", *pair) for pair in ((line, EMPTY), (EMPTY, line))] == [0, 0]
    diagonal = [of_row("line_distance.centrelines_px", *p) for p in ((line, EMPTY), (EMPTY, line))]
    assert diagonal == [100, 100]
    for key in OF_P2ILF:
        assert math.isnan(of_row(key, EMPTY, EMPTY))
    with pytest.raises(ValueError, match="an empty mask has no centreline"):
        centreline_distances(line, EMPTY)


def test_lines_of_every_class_and_ignored_pixels() -> None:
    spec = ClassSpec(("background", "ridge", "ligament"), exclusive=True)
    truth, found = (np.where(band(10, x=(0, 40)), 1, 0).astype(np.uint8) for _ in range(2))
    truth[band(40)], found[band(43)] = 2, 2
    found[band(55)] = 1
    ignore = EMPTY.copy()
    ignore[50:] = True
    rows = [METRICS[key].load() for key in OF_LINES]

    def values(ignored: Mask | None) -> dict[tuple[str, str], float]:
        scores = score(Scored(found, truth, ignored), spec, rows, "image")
        return {(s.class_name, s.metric.name): float(s.value) for s in scores}

    known = values(ignore)
    assert known["ridge", "line_distance"] == 0
    assert known["ridge", "cl_dice"] == 1
    assert known["ligament", "line_distance"] == pytest.approx(3, abs=0.1)
    assert known["ligament", "cl_dice"] == 0
    names = ("ridge", "ligament", "pooled"), ("line_distance", "cl_dice")
    assert set(known) == set(itertools.product(*names))
    assert values(None)["ridge", "cl_dice"] < 1


def test_landmark_sets_are_scored_so_at_test_and_others_as_before(tmp_path: Path) -> None:
    assert L3D(root="nowhere").metrics == (*OF_IMAGES, *OF_LINES)
    assert p2ilf(tmp_path).metrics == (*OF_IMAGES, *OF_P2ILF)
    assert SyntheticLiver().metrics == Folder(root="nowhere").metrics == OF_IMAGES
    assert all(METRICS[key].load().only_at_test for key in OF_P2ILF)
    config = dataclasses.replace(nano(), data=L3D(root="nowhere"))
    assert not {"cl_dice", "line_distance"} & config.scores().keys()
    shown = {name for name, kind in config.scores_at_test().items() if kind[-1]}
    assert shown == {"cl_dice"}
    assert nano().scores_at_test() == {}
    assert {name for name, kind in nano().scores().items() if kind[-1]} == {
        "dice", "assd", "nsd", "hd95",
    }  # fmt: skip


def test_at_an_images_own_size_the_distance_is_in_its_own_pixels(tmp_path: Path) -> None:
    """Two images of one scene, the second of twice the size: twice the distance there, the same
    where both are compared at one size."""
    for name, size in (("small", 1), ("large", 2)):
        for folder, values in (("images", band(20)), ("masks", band(20))):
            (tmp_path / folder).mkdir(exist_ok=True)
            grown = np.kron(values * np.uint8(255), np.ones((size, size), np.uint8))
            Image.fromarray(grown).save(tmp_path / folder / f"{name}.png")
    data = Folder(root=str(tmp_path), fractions=(0, 0, 1)).open()
    rows = [METRICS["line_distance.centrelines_px"].load()]

    def distances(size: tuple[int, int] | None) -> dict[str, float]:
        """Of predictions that lie 10 of 60 rows too low, at that size."""
        target = Target(data, "test", "folder", size, rows)
        samples = [data.load("test", i, size) for i in data.ids("test")]
        predicted = [
            PredictedSample(sample=s, labels_HW=np.roll(s.labels_HW, len(s.labels_HW) // 6, axis=0))
            for s in samples
        ]
        scores = score_predictions(predicted, target, Runtime())
        return {s.sample_id: s.value for s in scores if s.class_name == "pooled"}

    own = distances(None)
    assert own == pytest.approx({"large": 20, "small": 10}, abs=0.05)
    assert distances((60, 80)) == pytest.approx({"large": own["small"], "small": own["small"]})
