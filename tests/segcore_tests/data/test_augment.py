"""Augmentation moves image, depth and labels together, and the same way every time."""

import numpy as np
import pytest

from segcore.data.augment import Augment
from segcore.data.dataset import Sample

SIZE = 16


@pytest.fixture
def sample() -> Sample:
    """Every pixel's image, depth and label say which column it came from."""
    column = np.broadcast_to(np.arange(SIZE, dtype=np.uint8), (SIZE, SIZE))
    return Sample(
        sample_id="p_1",
        patient_id="p",
        case_id="p_1",
        image_HW3=np.repeat(column[..., None], 3, axis=2).copy(),
        labels_HW=column.copy(),
        depth_HW=column.copy(),
    )


def test_a_flip_moves_everything(sample: Sample) -> None:
    out = Augment(flip=1.0, brightness=0.0).apply(sample, seed=0, epoch=0, index=0)
    assert out.depth_HW is not None
    np.testing.assert_array_equal(out.labels_HW, sample.labels_HW[:, ::-1])
    np.testing.assert_array_equal(out.depth_HW, out.labels_HW)
    np.testing.assert_array_equal(out.image_HW3[..., 0], out.labels_HW)


def test_brightness_touches_the_image_alone(sample: Sample) -> None:
    out = Augment(flip=0.0, brightness=0.9).apply(sample, seed=0, epoch=0, index=3)
    np.testing.assert_array_equal(out.labels_HW, sample.labels_HW)
    np.testing.assert_array_equal(out.depth_HW, sample.depth_HW)
    assert not np.array_equal(out.image_HW3, sample.image_HW3)


def test_samples_stay_together_over_many_draws(sample: Sample) -> None:
    augment = Augment(brightness=0.0)
    flipped = 0
    for index in range(40):
        out = augment.apply(sample, seed=1, epoch=2, index=index)
        np.testing.assert_array_equal(out.image_HW3[..., 1], out.labels_HW)
        np.testing.assert_array_equal(out.depth_HW, out.labels_HW)
        flipped += int(out.labels_HW[0, 0] != 0)
    assert 10 < flipped < 30


def test_the_draw_depends_on_seed_epoch_and_index_alone(sample: Sample) -> None:
    def images(seed: int, epoch: int) -> list[bytes]:
        drawn = [Augment().apply(sample, seed=seed, epoch=epoch, index=i) for i in range(8)]
        return [s.image_HW3.tobytes() for s in drawn]

    assert images(0, 1) == images(0, 1)
    assert images(0, 1) != images(1, 1)
    assert images(0, 1) != images(0, 2)


def test_the_original_is_left_alone(sample: Sample) -> None:
    before = sample.image_HW3.copy()
    Augment(flip=1.0, brightness=0.9).apply(sample, seed=0, epoch=0, index=0)
    np.testing.assert_array_equal(sample.image_HW3, before)


def test_without_depth(sample: Sample) -> None:
    bare = Sample("p_1", "p", "p_1", sample.image_HW3, sample.labels_HW, None)
    assert Augment(flip=1.0).apply(bare, seed=0, epoch=0, index=0).depth_HW is None


PUBLISHED = Augment(flip=0.5, flip_axis="either", rotate=0.5, brightness=0.0)


def test_default_draws_are_those_of_the_first_release(sample: Sample) -> None:
    """Trainings of the same configuration must stay what they were."""
    for index in range(20):
        rng = np.random.default_rng((3, 5, index))
        image = np.clip(sample.image_HW3 * (1 + 0.2 * rng.uniform(-1, 1)), 0, 255).astype(np.uint8)
        flipped = rng.uniform() < 0.5
        out = Augment().apply(sample, seed=3, epoch=5, index=index)
        np.testing.assert_array_equal(out.image_HW3, image[:, ::-1] if flipped else image)
        np.testing.assert_array_equal(
            out.labels_HW, sample.labels_HW[:, ::-1] if flipped else sample.labels_HW
        )


@pytest.fixture
def marked() -> Sample:
    """A square of class 3, 200 in image and depth, off the middle; all else 0 or class 1."""
    labels = np.zeros((64, 64), np.uint8)
    labels[8:24, 36:52] = 3
    bright = (labels > 0) * np.uint8(200)
    labels[40:, :] = 1
    return Sample("p_1", "p", "p_1", np.repeat(bright[..., None], 3, axis=2), labels, bright)


def test_a_rotation_turns_image_depth_and_labels_alike(marked: Sample) -> None:
    turn = Augment(flip=0.0, brightness=0.0, rotate=1.0, rotate_degrees=40.0)
    moved = 0.0
    for index in range(12):
        out = turn.apply(marked, seed=0, epoch=1, index=index)
        assert out.depth_HW is not None
        assert set(np.unique(out.labels_HW)) <= {0, 1, 3}  # nearest: no class in between
        np.testing.assert_array_equal(out.image_HW3[..., 0], out.depth_HW)
        inside, bright = out.labels_HW == 3, out.depth_HW > 100
        assert (inside & bright).sum() > 0.9 * (inside | bright).sum()
        moved = max(moved, float((inside != (marked.labels_HW == 3)).mean()))
    assert moved > 0.05


def test_a_rotation_by_a_quarter_is_exact() -> None:
    """The direction and the centre are torchvision's: counter-clockwise, about the middle."""
    labels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    sample = Sample("p_1", "p", "p_1", np.repeat(labels[..., None], 3, axis=2), labels, None)
    turn = Augment(flip=0.0, brightness=0.0, rotate=1.0, rotate_degrees=180.0)
    for index in range(200):
        rng = np.random.default_rng((0, 0, index))
        rng.uniform(size=3)
        if abs(180 * rng.uniform(-1, 1) - 90) < 0.5:
            out = turn.apply(sample, seed=0, epoch=0, index=index)
            np.testing.assert_array_equal(out.labels_HW, np.rot90(labels))
            return
    raise AssertionError("no draw near a quarter")


def test_the_published_augmentation_can_be_said(marked: Sample) -> None:
    """Half are turned by at most 15 degrees, half flipped along either axis."""
    kept = flipped_down = flipped_right = 0
    for index in range(400):
        out = PUBLISHED.apply(marked, seed=0, epoch=0, index=index)
        kept += np.array_equal(out.labels_HW, marked.labels_HW)
        flipped_down += np.array_equal(out.labels_HW, marked.labels_HW[::-1])
        flipped_right += np.array_equal(out.labels_HW, marked.labels_HW[:, ::-1])
    assert 75 < kept < 125
    assert 30 < flipped_down < 70
    assert 30 < flipped_right < 70


def test_fields_that_would_change_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="rotate_degrees changes nothing"):
        Augment(rotate_degrees=30.0)
    with pytest.raises(ValueError, match="flip_axis changes nothing"):
        Augment(flip=0.0, flip_axis="either")
