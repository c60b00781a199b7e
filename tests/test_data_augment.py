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
    bare = Sample("p_1", "p", sample.image_HW3, sample.labels_HW, None)
    assert Augment(flip=1.0).apply(bare, seed=0, epoch=0, index=0).depth_HW is None
