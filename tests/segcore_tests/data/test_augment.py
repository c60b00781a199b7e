"""Augmentation moves image, depth and labels together, and the same way every time."""

import dataclasses
import hashlib
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torchvision.transforms import v2

from segcore.config import from_json, to_json
from segcore.data.augment import STRENGTHS, Augment
from segcore.data.dataset import Sample
from segcore.transforms.smoke import Smoke

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


OFF: dict[str, Any] = {"flip": 0.0, "brightness": 0.0}
NEW: dict[str, dict[str, Any]] = {
    "elastic": {"elastic": 1.0},
    "crop": {"crop": 1.0},
    "contrast": {"contrast": 0.5},
    "saturation": {"saturation": 0.5},
    "hue": {"hue": 0.2},
    "gamma": {"gamma": 0.5},
    "spots": {"spots": 1.0},
    "blur": {"blur": 1.0, "blur_sigma": 0.05},
    "noise": {"noise": 1.0},
    "transforms": {"transforms": (Smoke(probability=1.0),)},
}
"""Each part by itself."""
GEOMETRY = ("elastic", "crop")
STRONGER: dict[str, Any] = {
    "flip_axis": "either",
    "rotate_degrees": 90.0,
    "elastic_shift": 0.01,
    "crop_area": (0.2, 0.5),
    "crop_stretch": 1.0,
    "spots_count": 40,
    "spots_size": 0.1,
    "blur_sigma": 0.1,
    "noise_std": 0.2,
}


def bytes_of(sample: Sample) -> bytes:
    arrays = (sample.image_HW3, sample.labels_HW, sample.depth_HW, sample.ignore_HW)
    return b"".join(a.tobytes() for a in arrays if a is not None)


@pytest.fixture(scope="module")
def scene() -> Sample:
    """Blocks of four classes under noise; the second class is known to nobody."""
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 4, (8, 12)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    image = rng.integers(0, 256, (*labels.shape, 3)).astype(np.uint8)
    return Sample("p_1", "p", "p_1", image, labels, 40 * labels, labels == 2, 0, (5.0, 1.0, 2.0))


def test_no_digit_of_what_there_was_has_changed() -> None:
    """As the code before there were crops and the rest computed it, on this machine and others;
    but rotated levels, of which another processor's products round some the other way."""
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 4, (8, 8)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    image = rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)
    depth = rng.integers(0, 256, (64, 64)).astype(np.uint8)
    sample = Sample("p", "p", "p", image, labels, depth, labels == 2)
    flips = Augment(flip=1.0, flip_axis="either", brightness=0.5)
    turns = dataclasses.replace(flips, rotate=1.0, rotate_degrees=90.0)
    flipped, rotated_labels = hashlib.sha256(), hashlib.sha256()
    for index in range(12):
        key = {"seed": 7, "epoch": index % 3, "index": index}
        before, after = flips.apply(sample, **key), turns.apply(sample, **key)
        flipped.update(bytes_of(before))
        rotated_labels.update(after.labels_HW.tobytes())
        rng = np.random.default_rng((7, index % 3, index))
        angle = 90.0 * rng.uniform(-1, 1, size=5)[4]  # after gain, flip, axis, whether to
        image_3HW = torch.from_numpy(before.image_HW3).permute(2, 0, 1)
        turned_3HW = v2.functional.rotate(
            image_3HW, angle, interpolation=v2.InterpolationMode.BILINEAR
        )
        np.testing.assert_array_equal(after.image_HW3, turned_3HW.permute(1, 2, 0).numpy())
    assert flipped.hexdigest()[:16] == "4cb159dd636ae24e"
    assert rotated_labels.hexdigest()[:6] == "688a78"


@pytest.mark.parametrize("part", NEW)
def test_a_part_adds_to_the_others_and_changes_none_of_their_draws(
    part: str, scene: Sample
) -> None:
    """The image before it is what there is without it: only its own change lies between."""
    changed = 0
    for index in range(6):
        key: dict[str, Any] = {"seed": 1, "epoch": 2, "index": index}
        alone = Augment(**OFF, **NEW[part]).apply(scene, **key)
        again = Augment(**OFF, **NEW[part]).apply(scene, **key)
        assert bytes_of(alone) == bytes_of(again)
        changed += bytes_of(alone) != bytes_of(scene)
        after_flip = Augment(flip=1.0, brightness=0.0).apply(scene, **key)
        both = Augment(flip=1.0, brightness=0.0, **NEW[part]).apply(scene, **key)
        assert bytes_of(Augment(**OFF, **NEW[part]).apply(after_flip, **key)) == bytes_of(both)
    assert changed >= 5
    assert {*np.unique(alone.labels_HW)} <= {0, 1, 2, 3}
    assert alone.ignore_HW is not None
    np.testing.assert_array_equal(alone.ignore_HW, alone.labels_HW == 2)
    if part not in GEOMETRY:
        np.testing.assert_array_equal(alone.labels_HW, scene.labels_HW)
        np.testing.assert_array_equal(alone.depth_HW, scene.depth_HW)
    assert alone.image_HW3.dtype == np.uint8
    assert alone.image_HW3.flags.c_contiguous


def test_parts_that_follow_do_not_change_those_before(scene: Sample) -> None:
    """With noise or without, the same crop, the same colours."""
    few = Augment(crop=0.5, elastic=0.5, rotate=0.5)
    many = dataclasses.replace(few, noise=1.0, spots=0.5, hue=0.1, transforms=(Smoke(),))
    for index in range(10):
        one, other = (a.apply(scene, seed=0, epoch=1, index=index) for a in (few, many))
        np.testing.assert_array_equal(one.labels_HW, other.labels_HW)
        np.testing.assert_array_equal(one.depth_HW, other.depth_HW)
        assert not np.array_equal(one.image_HW3, other.image_HW3)


@settings(max_examples=60, deadline=None)
@example(seed=0, flip=1.0, rotate=1.0, elastic=1.0, crop=1.0, size=(101, 40))
@given(
    seed=st.integers(0, 2**31 - 1),
    flip=st.sampled_from([0.0, 1.0]),
    rotate=st.sampled_from([0.0, 1.0]),
    elastic=st.sampled_from([0.0, 1.0]),
    crop=st.sampled_from([0.0, 1.0]),
    size=st.sampled_from([(64, 64), (48, 96), (101, 40)]),
)
def test_labels_go_where_the_image_goes(
    seed: int, flip: float, rotate: float, elastic: float, crop: float, size: tuple[int, int]
) -> None:
    """Image, depth and labels are all a place: rows and columns of what is seen are the same in
    each. Every change between pixels moves a label by up to half a pixel and rounds the image by
    up to half a grey value: they differ by one step for each."""
    row, column = (x.astype(np.uint8) for x in np.mgrid[: size[0], : size[1]])
    augment = (
        Augment(
            flip=flip, brightness=0.0, rotate=rotate, elastic=elastic, crop=crop, flip_axis="either"
        )
        if flip
        else Augment(**OFF, rotate=rotate, elastic=elastic, crop=crop)
    )
    white = np.full((*size, 3), 255, np.uint8)
    whole = augment.apply(Sample("p", "p", "p", white, row), seed=seed, epoch=1, index=0)
    inside = (whole.image_HW3 == 255).all(2)  # nothing of it turned in from outside
    assert rotate or inside.all()
    for place in (row, column):
        sample = Sample("p", "p", "p", np.repeat(place[..., None], 3, 2), place, place)
        out = augment.apply(sample, seed=seed, epoch=1, index=0)
        np.testing.assert_array_equal(out.depth_HW, out.image_HW3[..., 0])
        difference = out.image_HW3[..., 0].astype(int) - out.labels_HW
        assert np.abs(difference[inside]).max() <= rotate + elastic + crop


def test_probabilities_are_shares_of_samples(scene: Sample) -> None:
    for part in ("elastic", "crop", "spots", "blur", "noise"):
        augment = Augment(**{**OFF, **NEW[part], part: 0.3})
        outs = [augment.apply(scene, seed=0, epoch=1, index=i) for i in range(200)]
        changed = sum(bytes_of(out) != bytes_of(scene) for out in outs)
        assert 38 < changed < 85, part


@pytest.mark.parametrize(
    ("probability", "strength"), [(p, s) for p, strengths in STRENGTHS.items() for s in strengths]
)
def test_every_strength_counts_beside_its_probability_and_is_refused_without(
    probability: str, strength: str, scene: Sample
) -> None:
    on = {**OFF, probability: 1.0}
    usual = Augment(**on)
    other = Augment(**{**on, strength: STRONGER[strength]})
    outs = [
        [bytes_of(a.apply(scene, seed=0, epoch=1, index=i)) for i in range(6)]
        for a in (usual, other)
    ]
    assert outs[0] != outs[1]
    with pytest.raises(ValueError, match=f"{strength} changes nothing while {probability} is 0"):
        Augment(**{**OFF, strength: STRONGER[strength]})


def test_every_field_is_a_part_or_the_strength_of_one() -> None:
    strengths = {s for group in STRENGTHS.values() for s in group}
    named = {*NEW, *strengths, "flip", "brightness", "rotate"}
    assert named == {f.name for f in dataclasses.fields(Augment)}


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ValueError, match="blur_sigma changes nothing .*; crop_area is .*0.3, 0.9"):
        Augment(blur_sigma=0.02, crop=0.5, crop_area=(0.9, 0.3))
    with pytest.raises(ValueError, match="crop changes nothing"):
        Augment(crop=0.5, crop_area=(1.0, 1.0), crop_stretch=1.0)


def test_what_repeats_is_what_takes_few_forms(scene: Sample) -> None:
    assert Augment(flip=0.5, brightness=0.0).repeats("image")
    for part, fields in NEW.items():
        augment = Augment(flip=0.0, brightness=0.0, **fields)
        assert not augment.repeats("image")
        assert augment.repeats("depth") is (part not in GEOMETRY)
        outs = [augment.apply(scene, seed=0, epoch=e, index=0) for e in range(8)]
        images = {o.image_HW3.tobytes() for o in outs}
        depths = {o.depth_HW.tobytes() for o in outs if o.depth_HW is not None}
        assert len(images) > 4
        assert (len(depths) == 1) is augment.repeats("depth")


def test_a_transform_stands_as_its_name_or_its_fields() -> None:
    written = Augment(transforms=("smoke", {"name": "smoke", "density": 0.3}))  # type: ignore[arg-type]
    assert written == Augment(transforms=(Smoke(), Smoke(density=0.3)))
    values = to_json(written)
    assert values["transforms"][1] == {"name": "smoke", "probability": 0.5, "density": 0.3}
    assert from_json(Augment, values) == written
    with pytest.raises(ValueError, match="unknown transform 'fog': choose one of"):
        Augment(transforms=("fog",))  # type: ignore[arg-type]
    for wrong in ("smoke", ["smoke"], {"name": "smoke"}, 0.5, ({"density": 0.3},), (0.5,)):
        with pytest.raises(ValueError, match=r'such as \("smoke",\) or .*; transforms are .*smoke'):
            Augment(transforms=wrong)  # type: ignore[arg-type]


def test_two_transforms_of_one_name_draw_apart(scene: Sample) -> None:
    smoke = Smoke(probability=1.0)
    key: dict[str, Any] = {"seed": 0, "epoch": 1, "index": 0}
    once = Augment(**OFF, transforms=(smoke,)).apply(scene, **key)
    twice = Augment(**OFF, transforms=(smoke, smoke)).apply(scene, **key)
    again = Augment(**OFF, transforms=(smoke,)).apply(once, **key)
    assert bytes_of(twice) not in (bytes_of(once), bytes_of(again))
