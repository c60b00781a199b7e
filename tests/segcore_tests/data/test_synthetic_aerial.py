"""Rendered fields: how many objects of which size, and that they are there at any size."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from segcore.data.scenes import aerial_scene
from segcore.data.scenes.aerial_scene import DOMAINS, MOST
from segcore.data.sets.synthetic_aerial import SyntheticAerial
from segcore.metrics.table import OF_SALIENCY
from segcore.testing import check_dataset

SIDE = 96


def small(tmp_path: Path, **fields: object) -> SyntheticAerial:
    values = {"train": 4, "val": 2, "test": 2, "images_per_patient": 2, "size": 64}
    return SyntheticAerial(**{**values, "root": str(tmp_path / "aerial"), **fields})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def scenes() -> list[tuple[NDArray[np.uint8], NDArray[np.bool_]]]:
    """Of places of domain a, one image each."""
    found = []
    for who in range(150):
        place = aerial_scene.draw_place(np.random.default_rng((5, who)))
        found.append(aerial_scene.render(place, np.random.default_rng((5, who, 1)), SIDE))
    return found


def test_contract_and_places(tmp_path: Path) -> None:
    config = small(tmp_path)
    check_dataset(config)
    data = config.open()
    assert data.classes.names == ("salient",)
    places = [source.patient_id for source in data.sources("train").values()]
    assert places == ["traina000", "traina000", "traina001", "traina001"]
    assert config.metrics == OF_SALIENCY


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_scene_is_the_same_again_and_its_outlines_at_any_size(
    domain: aerial_scene.DomainName,
) -> None:
    place = aerial_scene.draw_place(np.random.default_rng(3), DOMAINS[domain])
    image, mask = aerial_scene.render(place, np.random.default_rng(4), SIDE)
    again, same = aerial_scene.render(place, np.random.default_rng(4), SIDE)
    assert (image == again).all()
    assert (mask == same).all()
    assert mask.any()
    _, large = aerial_scene.render(place, np.random.default_rng(4), 3 * SIDE)
    assert (large[1::3, 1::3] == mask).mean() > 0.999, "the middles of the same pixels"


def test_one_to_three_objects_over_two_octaves_and_some_images_without(
    scenes: list[tuple[NDArray[np.uint8], NDArray[np.bool_]]],
) -> None:
    counts, sides = [], []
    for _, mask_HW in scenes:
        parts_HW, count = ndimage.label(mask_HW, np.ones((3, 3)))
        counts.append(count)
        sides += [max(b.stop - b.start for b in box) for box in ndimage.find_objects(parts_HW)]
        if count:
            border = np.concatenate([mask_HW[0], mask_HW[-1], mask_HW[:, 0], mask_HW[:, -1]])
            assert not border.any(), "an object leaves the image"
    assert set(counts) == set(range(MOST + 1))
    assert 0.05 < np.mean([c == 0 for c in counts]) < 0.25
    low, high = np.percentile(sides, [2, 98])
    assert 2.8 < high / low < 6


def test_colour_alone_does_not_find_them(
    scenes: list[tuple[NDArray[np.uint8], NDArray[np.bool_]]],
) -> None:
    """A pixel of an object is only a little more unlike its image's mean than one of a field."""
    ranks = []
    for image_HW3, mask_HW in scenes[:60]:
        if mask_HW.any():
            grey = ndimage.gaussian_filter(image_HW3.mean(-1).astype(float), 3)
            unlike = np.abs(grey - grey.mean())
            order = unlike.ravel().argsort().argsort() / unlike.size
            ranks.append(order[mask_HW.ravel()].mean())
    assert 0.35 < np.mean(ranks) < 0.7


def test_textures_differ_by_scale() -> None:
    """Of every object's texture the period is well below its field's or well above."""
    seen = []
    for who in range(60):
        place = aerial_scene.draw_place(np.random.default_rng((6, who)))
        for thing in aerial_scene.draw_things(place, np.random.default_rng((6, who, 1))):
            seen.append((thing.radius, thing.texture.period / place.period))
    assert all(ratio < 0.5 or ratio > 1.9 for _, ratio in seen)
    assert {ratio > 1 for _, ratio in seen} == {True, False}
    assert all(ratio < 1 for radius, ratio in seen if radius < aerial_scene.COARSE_FROM)


def test_domains_share_no_place_and_look_different(tmp_path: Path) -> None:
    a = small(tmp_path / "a").open()
    b = small(tmp_path / "b", domain="b").open()
    assert not {s.patient_id for s in a.sources("test").values()} & {
        s.patient_id for s in b.sources("test").values()
    }
    colours = [
        np.mean([d.load("train", i, None).image_HW3.mean((0, 1)) for i in d.ids("train")], axis=0)
        for d in (a, b)
    ]
    assert np.abs(colours[0] - colours[1]).max() > 25
