"""A second annotator: what a shift does to masks, lines and classes, and what it scores."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from segcore.data.dataset import Sample
from segcore.data.frame_folder import FrameFolder
from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.metrics.overlap import dice
from segcore.metrics.rows import ASSD, DICE
from segcore.metrics.surface import surface_distances
from segcore.predict.label_noise.annotators import Amount, Redrawn, Shifted
from segcore.predict.label_noise.perturb import displacement, moved, shifted
from segcore.predict.label_noise.score import score_annotator
from segcore.training.predicting import Target

SIDE = 192
AMOUNTS = (0.5, 1.0, 2.0, 4.0, 8.0)


def organs() -> NDArray[np.uint8]:
    """Two organs that touch, on background."""
    y, x = np.mgrid[:SIDE, :SIDE]
    labels = np.zeros((SIDE, SIDE), np.uint8)
    labels[np.hypot(y - 96, x - 90) < 60] = 1
    labels[(np.hypot(y - 96, x - 90) < 60) & (x > 96)] = 2
    return labels


def sample(labels: NDArray[np.uint8], name: str = "a", case: str = "a") -> Sample:
    return Sample(name, "p", case, np.zeros((*labels.shape, 3), np.uint8), labels)


def shift(labels: NDArray[np.uint8], pixels: float, seed: int = 0) -> NDArray[np.uint8]:
    return Shifted(Amount(pixels), seed).draw("test", sample(labels))


def test_no_shift_changes_nothing() -> None:
    labels = organs()
    field = displacement((SIDE, SIDE), np.random.default_rng(0))
    np.testing.assert_array_equal(shifted(labels, field, 0.0), labels)
    np.testing.assert_array_equal(shift(labels, 0.0), labels)


def test_outlines_are_as_far_off_as_was_asked_for_and_overlap_falls() -> None:
    labels = organs()
    truth = labels > 0
    for pixels in AMOUNTS[1:4]:
        found = []
        for seed in range(8):
            distances = surface_distances(shift(labels, pixels, seed) > 0, truth)
            assert distances is not None
            found.append(distances.mean())
        assert np.mean(found) == pytest.approx(pixels, rel=0.2)
    overlaps = [dice(shift(labels, pixels) == 1, labels == 1) for pixels in (0.0, *AMOUNTS)]
    assert overlaps[0] == 1
    assert overlaps == sorted(overlaps, reverse=True)
    assert len(set(overlaps)) == len(overlaps)


def test_classes_that_touch_still_touch_and_nested_ones_stay_nested() -> None:
    drawn = shift(organs(), 4.0)
    assert set(np.unique(drawn)) == {0, 1, 2}
    touching = (drawn[:, :-1] == 1) & (drawn[:, 1:] == 2)
    assert touching.sum() > 60  # no gap and no third class between the two
    y, x = np.mgrid[:SIDE, :SIDE]
    outer, inner = np.hypot(y - 96, x - 96) < 70, np.hypot(y - 96, x - 96) < 30
    bits = (outer + 2 * inner).astype(np.uint8)  # two classes that overlap: bits 0 and 1
    again = shift(bits, 4.0)
    assert set(np.unique(again)) == {0, 1, 3}


def test_a_sample_and_a_seed_decide_what_is_drawn() -> None:
    labels = organs()
    one = Shifted(Amount(2.0), 0)
    first = one.draw("test", sample(labels, "x", "x"))
    np.testing.assert_array_equal(first, one.draw("val", sample(labels, "x", "x")))
    assert (first != one.draw("test", sample(labels, "y", "y"))).any()
    assert (first != Shifted(Amount(2.0), 1).draw("test", sample(labels, "x", "x"))).any()
    # Slices of a volume are drawn by one person in one go.
    np.testing.assert_array_equal(first, one.draw("test", sample(labels, "x-7", "x")))


def test_amounts_are_in_pixels_or_in_percent_of_the_diagonal() -> None:
    assert Amount(1.0, percent=True).pixels((300, 400)) == pytest.approx(5.0)
    assert Amount(3.0).pixels((300, 400)) == 3.0
    with pytest.raises(ValueError, match="more than 5 % of the diagonal"):
        Amount(26.0).pixels((300, 400))


def test_points_are_set_anew_by_the_amount_on_average() -> None:
    points = np.zeros((40_000, 2))
    off = moved(points, 3.0, np.random.default_rng(0))
    assert np.abs(off).mean() == pytest.approx(3.0, rel=0.02)
    np.testing.assert_array_equal(moved(points, 0.0, np.random.default_rng(0)), points)


@pytest.fixture(scope="module")
def liver(tmp_path_factory: pytest.TempPathFactory) -> SyntheticLiver:
    root = str(tmp_path_factory.mktemp("liver") / "scenes")
    return SyntheticLiver(train=2, val=2, test=4, images_per_patient=2, size=128, root=root)


def test_lines_are_drawn_as_wide_through_other_points(liver: SyntheticLiver) -> None:
    scan = liver.scan()
    data = FrameFolder(scan, liver)
    for name in data.ids("test"):
        truth = data.load("test", name, None)
        same = Redrawn(Amount(0.0), 0, liver, scan).draw("test", truth)
        np.testing.assert_array_equal(same, truth.labels_HW)
        drawn = Redrawn(Amount(1.0), 0, liver, scan).draw("test", truth)
        assert (drawn != truth.labels_HW).any()
        for label in np.unique(truth.labels_HW[truth.labels_HW > 0]):
            areas = [(labels == label).sum() for labels in (drawn, truth.labels_HW)]
            assert areas[0] == pytest.approx(areas[1], rel=0.25)


def test_a_second_annotator_is_scored_as_a_prediction_is(liver: SyntheticLiver) -> None:
    scan = liver.scan()
    data = FrameFolder(scan, liver)
    target = Target(data, "test", "test", (64, 64), [DICE, ASSD])
    [perfect, *_] = [
        s for s in score_annotator(Shifted(Amount(0.0), 0), target) if s.class_name == "macro"
    ]
    assert perfect.value == 1
    whole = replace(target, size=None)
    near, far = (
        {s.metric: s.value for s in score_annotator(one, whole) if s.class_name == "macro"}
        for one in (Shifted(Amount(1.0), 0), Redrawn(Amount(4.0), 0, liver, scan))
    )
    assert 1 > near["dice"] > far["dice"] > 0
    assert 0 < near["assd"] < far["assd"] < math.hypot(128, 128)
    assert near["assd"] == pytest.approx(1.0, rel=0.4)


def test_masks_are_no_lines(tmp_path: Path, liver: SyntheticLiver) -> None:
    from segcore.data.sets.synthetic_polyps import SyntheticPolyps

    polyps = SyntheticPolyps(train=1, val=1, test=1, size=64, root=str(tmp_path / "polyps"))
    scan = polyps.scan()
    data = FrameFolder(scan, polyps)
    truth = data.load("test", data.ids("test")[0], None)
    with pytest.raises(ValueError, match="are masks, no lines"):
        Redrawn(Amount(1.0), 0, polyps, scan).draw("test", truth)
