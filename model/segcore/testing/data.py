"""The contracts of data sets and of transforms of their samples."""

import dataclasses

import numpy as np

from segcore.data import DATASETS
from segcore.data.dataset import SPLITS, DataConfig, Sample
from segcore.testing.configs import check_config
from segcore.testing.samples import LANDMARKS
from segcore.transforms.transform import Transform


def check_dataset(config: DataConfig) -> None:
    """The contract of `Dataset`, on the whole set."""
    check_config(config)
    dataset, again = config.open(), config.open()
    told = "depth maps" in DATASETS[config.name].lacks
    assert not (told and dataset.has_depth), "the row lacks depth maps, and the set has them"
    assert dataset.content_hash() == again.content_hash(), "the same data must have one hash"
    for split in SPLITS:
        ids, sources = dataset.ids(split), dataset.sources(split)
        assert list(ids) == list(again.ids(split)), f"the order of {split} must be fixed"
        assert list(sources) == list(ids), f"every image of {split} must have a source"
        for sample_id in list(ids)[:2]:
            own = dataset.load(split, sample_id, None)
            half = dataset.load(split, sample_id, (16, 24))
            assert own.sample_id == half.sample_id == sample_id
            assert own.case_id == (sources[sample_id].case_id or sample_id), "the case differs"
            assert own.image_HW3.shape[:2] == own.labels_HW.shape, "image and labels differ"
            assert half.image_HW3.shape == (16, 24, 3), "load must give the size asked for"
            assert half.labels_HW.shape == (16, 24), "load must give the size asked for"
            top = len(dataset.classes.names) if dataset.classes.exclusive else 256
            assert own.labels_HW.max() < top, "a label that is no class"
            assert dataset.has_depth == (own.depth_HW is not None), "has_depth must tell"


def check_transform(transform: Transform, *, tries: int = 40) -> None:
    """The contract of `Transform`: what it makes of a sample depends on the generator alone, is a
    sample of the same size and classes, and what it says that it leaves alone stays.

    Args:
        transform: to check.
        tries: samples that are drawn; one of them at least must change.
    """
    check_config(transform)
    random = np.random.default_rng(0)
    blocks = random.integers(0, len(LANDMARKS.names), (6, 8)).astype(np.uint8)
    labels_HW = blocks.repeat(8, axis=0).repeat(8, axis=1)
    image_HW3 = random.integers(0, 256, (*labels_HW.shape, 3)).astype(np.uint8)
    sample = Sample("a_1", "a", "a_1", image_HW3, labels_HW, 60 * labels_HW, labels_HW == 2)
    bare = dataclasses.replace(sample, depth_HW=None, ignore_HW=None)
    before = _bytes(sample)
    changed = False
    for seed in range(tries):
        out = transform.apply(sample, np.random.default_rng(seed))
        assert _bytes(sample) == before, "the sample that is given must stay as it is"
        again = transform.apply(sample, np.random.default_rng(seed))
        assert _bytes(out) == _bytes(again), "the same generator must give the same sample"
        assert out.sample_id == sample.sample_id, "a sample keeps its name"
        assert out.image_HW3.shape == image_HW3.shape, "the image's size must stay"
        assert out.image_HW3.dtype == np.uint8, "an image is of levels, uint8"
        assert out.labels_HW.shape == labels_HW.shape, "the labels' size must stay"
        assert {*np.unique(out.labels_HW)} <= {*np.unique(blocks)}, "a label that was not there"
        assert out.depth_HW is not None, "the depth is gone"
        assert out.depth_HW.shape == labels_HW.shape, "the depth's size must stay"
        if transform.repeats("image"):
            assert np.array_equal(out.image_HW3, image_HW3), "it says that the image repeats"
        if transform.repeats("depth"):
            assert np.array_equal(out.depth_HW, 60 * labels_HW), "it says that the depth repeats"
        assert transform.apply(bare, np.random.default_rng(seed)).depth_HW is None
        changed |= _bytes(out) != before
    assert changed, f"of {tries} samples none was changed"


def _bytes(sample: Sample) -> tuple[bytes | None, ...]:
    arrays = (sample.image_HW3, sample.labels_HW, sample.depth_HW, sample.ignore_HW)
    return tuple(None if array is None else array.tobytes() for array in arrays)
