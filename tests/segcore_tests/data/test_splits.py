"""A share of the annotated patients, and the parts of a cross-validation."""

from pathlib import Path

import pytest

from segcore.config import TrainConfig
from segcore.data.dataset import Dataset
from segcore.data.sets.synthetic_polyps import SyntheticPolyps
from segcore.data.splits import fold_of, share_of_train
from segcore.presets import imedsam_nano
from segcore.train import train
from segcore.training.runtime import Runtime
from segtune import apply


@pytest.fixture
def config(tmp_path: Path) -> SyntheticPolyps:
    return SyntheticPolyps(
        train=20, val=4, test=4, images_per_patient=2, size=64, root=str(tmp_path / "polyps")
    )


def patients(data: Dataset) -> set[str]:
    return {source.patient_id for source in data.sources("train").values()}


def test_shares_are_whole_patients_one_within_the_other(config: SyntheticPolyps) -> None:
    whole = config.open()
    shares = {share: share_of_train(whole, share) for share in (0.01, 0.25, 0.5, 0.75)}
    assert [len(patients(s)) for s in shares.values()] == [1, 3, 5, 8]
    kept = [patients(s) for s in shares.values()]
    assert kept[0] < kept[1] < kept[2] < kept[3] < patients(whole)
    for share in shares.values():
        assert len(share.ids("train")) == 2 * len(patients(share))
        assert share.ids("val") == whole.ids("val")
        assert share.sources("test") == whole.sources("test")
        gone = next(i for i in whole.ids("train") if i not in share.ids("train"))
        with pytest.raises(KeyError):
            share.load("train", gone, None)
    hashes = {whole.content_hash(), *(s.content_hash() for s in shares.values())}
    assert len(hashes) == 5


def test_a_share_is_rounded_up_and_not_by_floating_point(tmp_path: Path) -> None:
    """0.28 of 25 are 7, though the product is a little more."""
    many = SyntheticPolyps(
        train=25, val=1, test=1, images_per_patient=1, size=64, root=str(tmp_path / "many")
    )
    assert len(share_of_train(many.open(), 0.28).ids("train")) == 7


def test_a_training_on_a_share_takes_as_many_steps_less(config: SyntheticPolyps) -> None:
    baseline: TrainConfig = apply(
        imedsam_nano(), {"data": config, "schedule.epochs": 1, "schedule.batch_size": 2}
    )
    steps = {}
    for share in (1.0, 0.4):
        events = list(train(apply(baseline, {"train_share": share}), Runtime()))
        steps[share] = events[0].step
    assert steps == {1.0: 10, 0.4: 4}


@pytest.mark.parametrize("of", [2, 5, 12])
def test_folds_are_a_partition_of_train_and_val_by_patient(
    config: SyntheticPolyps, of: int
) -> None:
    whole = config.open()
    folds = [fold_of(whole, number, of) for number in range(of)]
    pool = sorted([*whole.ids("train"), *whole.ids("val")])
    assert sorted(i for fold in folds for i in fold.ids("val")) == pool
    for fold in folds:
        assert sorted([*fold.ids("train"), *fold.ids("val")]) == pool
        assert fold.ids("test") == whole.ids("test")
        own, others = (
            {s.patient_id for s in fold.sources(split).values()} for split in ("val", "train")
        )
        assert not own & others
    sizes = [len(fold.ids("val")) for fold in folds]
    assert max(sizes) - min(sizes) <= 2, "no more than a patient's images apart"
    assert len({fold.content_hash() for fold in folds}) == of


def test_a_fold_reads_images_from_the_split_that_they_lie_in(config: SyntheticPolyps) -> None:
    whole = config.open()
    fold = fold_of(whole, 0, 4)
    moved = next(i for i in fold.ids("val") if i in whole.ids("train"))
    back = next(i for i in fold.ids("train") if i in whole.ids("val"))
    size = (64, 64)
    one, other = fold.load("val", moved, size), whole.load("train", moved, size)
    assert (one.image_HW3 == other.image_HW3).all()
    one, other = fold.load("train", back, size), whole.load("val", back, size)
    assert (one.image_HW3 == other.image_HW3).all()
    with pytest.raises(KeyError):
        fold.load("train", moved, None)


def test_too_many_folds_are_refused(config: SyntheticPolyps, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="have 12 patients, too few for 13 parts"):
        fold_of(config.open(), 0, 13)
    with pytest.raises(ValueError, match="must be below"):
        apply(imedsam_nano(), {"fold": (5, 5)})


def test_a_share_of_a_fold_is_of_its_own_train(config: SyntheticPolyps) -> None:
    baseline: TrainConfig = apply(
        imedsam_nano(), {"data": config, "fold": (1, 4), "train_share": 0.5}
    )
    dataset, _ = baseline.open_sets()
    whole = fold_of(config.open(), 1, 4)
    assert set(dataset.ids("train")) < set(whole.ids("train"))
    assert dataset.ids("val") == whole.ids("val")
