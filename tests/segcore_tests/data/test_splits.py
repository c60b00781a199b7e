"""A share of the annotated patients."""

from pathlib import Path

import pytest

from segcore.config import TrainConfig
from segcore.data.dataset import Dataset
from segcore.data.sets.synthetic_polyps import SyntheticPolyps
from segcore.data.splits import ShareOfTrain
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
    shares = {share: ShareOfTrain(whole, share) for share in (0.01, 0.25, 0.5, 0.75)}
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
    assert len(ShareOfTrain(many.open(), 0.28).ids("train")) == 7


def test_a_training_on_a_share_takes_as_many_steps_less(config: SyntheticPolyps) -> None:
    baseline: TrainConfig = apply(
        imedsam_nano(), {"data": config, "schedule.epochs": 1, "schedule.batch_size": 2}
    )
    steps = {}
    for share in (1.0, 0.4):
        events = list(train(apply(baseline, {"train_share": share}), Runtime()))
        steps[share] = events[0].step
    assert steps == {1.0: 10, 0.4: 4}
