"""What is scored at the end: test, an external set, other sizes; and what must not be tested."""

import dataclasses
import math
import shutil
import threading
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import pytest
from PIL import Image
from pydantic.dataclasses import dataclass

from segcore.classes import ClassSpec
from segcore.config import TrainConfig, from_json, to_json
from segcore.data import DATASETS
from segcore.data.dataset import DataConfig, Sample
from segcore.data.faults import DataError
from segcore.data.loader import THREADS
from segcore.data.sets.folder import Folder
from segcore.data.sets.l3d import L3D
from segcore.data.sets.l3d_2k import L3D2K
from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.methods.method import Method
from segcore.metrics import default_protocol
from segcore.metrics.aggregate import aggregate
from segcore.presets import nano, published
from segcore.registry import STRICT
from segcore.systems.dual_encoder.network import DualEncoderConfig
from segcore.train import train
from segcore.training.evaluation import EvaluationConfig
from segcore.training.events import Evaluation, ImageScore
from segcore.training.loop import Training
from segcore.training.predicting import Target, predict
from segcore.training.runtime import Runtime
from segcore.training.schedule import Schedule
from segcore.training.scoring import PICTURES, score_predictions
from segtune.execution.preflight import check_data_and_weights
from segtune.execution.resources import Resources
from segtune.study.overrides import SpecError, config_hash, non_default
from segtune.study.spec import Ablation

T = TypeVar("T")

EXTERNAL = SyntheticLiver(train=1, val=1, test=3, domain="b")
SIZES = (64, 256)
RESOLUTIONS = ("128x128", "64x64", "256x256")
DEFAULTS = {name: default_protocol(name) for name in ("dice", "iou", "assd", "hd", "hd95", "nsd")}


def wide(config: TrainConfig) -> TrainConfig:
    """The same training, also tested elsewhere and at other sizes."""
    evaluation = EvaluationConfig(external=EXTERNAL, resolutions=SIZES)
    return dataclasses.replace(config, evaluation=evaluation)


@pytest.fixture(scope="module")
def final() -> Evaluation:
    """Of one epoch, tested in every way."""
    short = dataclasses.replace(nano().schedule, epochs=1)
    config = dataclasses.replace(
        nano(), data=SyntheticLiver(train=6, val=2, test=2), schedule=short
    )
    *_, last = train(wide(config), Runtime())
    return last


def test_every_split_is_scored_at_every_size_by_every_protocol(final: Evaluation) -> None:
    parts = {(s.split, s.resolution) for s in final.scores}
    assert parts == {(split, size) for split in ("test", "external") for size in RESOLUTIONS}
    macro = {*DEFAULTS.items(), ("assd", "mean_of_directed"), ("hd95", "pooled")}
    macro |= {("assd", "image_px"), ("hd95", "image_px")}
    stacked = {("dice", "stacked"), ("iou", "stacked")}
    published = {("assd", "background_10mm"), ("assd", "stack3d")}
    for part in parts:
        rows = [s for s in final.scores if (s.split, s.resolution) == part]
        for name in ("ridge", "silhouette", "ligament", "macro", "pooled"):
            found = [(s.metric, s.protocol) for s in rows if s.class_name == name]
            expected = macro | stacked | published if name == "pooled" else macro
            assert sorted(found) == sorted(expected)


def test_pixels_of_the_image_are_the_same_at_every_size_of_the_masks(final: Evaluation) -> None:
    """The scenes are rendered with a side of 192."""
    for resolution in RESOLUTIONS:
        at = partial(final.score, "assd", split="test", resolution=resolution)
        scale = 192 / int(resolution.partition("x")[0])
        assert at(protocol="image_px") == pytest.approx(scale * at(protocol="per_class_px"))


def test_no_image_is_missing_or_twice_in_any_part(final: Evaluation) -> None:
    keys = [
        (i.split, i.resolution, i.sample_id, i.class_name, i.metric, i.protocol)
        for i in final.images
    ]
    assert len(keys) == len(set(keys))
    for size in RESOLUTIONS:
        found = [s for split, r, s, *rest in keys if (split, r) == ("external", size)]
        assert set(found) == set(EXTERNAL.open().ids("test"))
    assert {(i.split, i.resolution) for i in final.images if i.split == "val"} == {
        ("val", "128x128")
    }
    assert {p.split for p in final.pictures} == {"test", "external"}


def test_the_scores_are_means_of_the_images(final: Evaluation) -> None:
    tested = [i for i in final.images if i.split != "val"]
    assert repr(aggregate(tested)) == repr(final.scores)  # NaN is NaN


def test_a_score_is_the_default_protocol_at_the_systems_size(final: Evaluation) -> None:
    for metric, protocol in DEFAULTS.items():
        for split in ("test", "external"):
            (row,) = (
                s
                for s in final.scores
                if (s.split, s.resolution, s.class_name) == (split, "128x128", "macro")
                and (s.metric, s.protocol) == (metric, protocol)
            )
            assert final.score(metric, split=split) == pytest.approx(row.value, nan_ok=True)
    at_64 = final.score("assd", split="test", resolution="64x64")
    assert at_64 < final.score("assd", split="test")  # half as many pixels
    stacked = final.score("dice", split="test", class_name="pooled", protocol="stacked")
    assert stacked != final.score("dice", split="test", class_name="pooled")
    with pytest.raises(KeyError, match="no dice .per_image. of macro on test at 99x99"):
        final.score("dice", split="test", resolution="99x99")


def test_more_to_evaluate_changes_nothing_else(tiny: TrainConfig) -> None:
    few, many = (list(train(config, Runtime())) for config in (tiny, wide(tiny)))
    assert [e.scores for e in few[:-1]] == [e.scores for e in many[:-1]]
    assert few[-1].scores == many[-1].scores[: len(few[-1].scores)]
    assert {p.png for p in few[-1].pictures} < {p.png for p in many[-1].pictures}


def test_a_search_trial_never_sees_the_external_set(tiny: TrainConfig) -> None:
    last = list(train(wide(tiny), Runtime(test=False)))[-1]
    assert last.scores == ()
    assert {i.split for i in last.images} == {p.split for p in last.pictures} == {"val"}


def test_truth_at_another_size_is_the_truth_of_that_size(tiny: TrainConfig) -> None:
    training = Training(tiny, Runtime())
    target = Target(training.dataset, "test", "test", (192, 192), ())
    found = list(predict(training.system, target, Runtime(), input_size=(128, 128), batch_size=2))
    assert len(found) == 2
    for predicted in found:
        sample = predicted.sample
        stored = training.dataset.load("test", sample.sample_id, (192, 192))  # as it was rendered
        assert predicted.labels_HW.shape == (192, 192)
        np.testing.assert_array_equal(sample.labels_HW, stored.labels_HW)


class Fresh:
    """A data set that keeps nothing, and counts the samples that others keep."""

    def __init__(self, dataset: Any) -> None:
        self._dataset, self.alive, self.most = dataset, weakref.WeakSet[Any](), 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)

    def load(self, split: Any, sample_id: str, size: Any) -> Any:
        """A sample of the caller's own."""
        stored = self._dataset.load(split, sample_id, size)
        sample = Held(**vars(stored))
        self.alive.add(sample)
        self.most = max(self.most, len(self.alive))
        return sample


class Held(Sample):
    """A sample that is the same as itself alone, so that a set can count it."""

    __hash__ = object.__hash__
    __eq__ = object.__eq__


def test_a_split_is_never_in_memory_as_a_whole(tiny: TrainConfig) -> None:
    schedule = Schedule(epochs=1, batch_size=1, warmup_steps=0)
    data = SyntheticLiver(train=1, val=24, test=1)
    config = dataclasses.replace(tiny, data=data, method=Method.named("frozen"), schedule=schedule)
    training = Training(config, Runtime(test=False))
    counted: Any = Fresh(training.dataset)
    training.dataset = counted
    training.advance()
    assert 1 <= counted.most <= THREADS + 3
    assert len(training.finish().pictures) == PICTURES * 4  # image, depth, truth, prediction
    assert counted.most <= THREADS + 3 + PICTURES


class Peer(Runtime):
    """One of several workers in threads of this process."""

    def __init__(self, rank: int, barrier: threading.Barrier, parts: list[list[Any]]) -> None:
        super().__init__(rank=rank, world=len(parts))
        self._barrier, self._parts = barrier, parts

    def gather(self, items: Sequence[T]) -> list[T]:
        """Wait for all workers, then put their items together."""
        self._parts[self.rank] = list(items)
        self._barrier.wait(60)
        everything = [item for part in self._parts for item in part]
        self._barrier.wait(60)
        return everything


@pytest.mark.parametrize("world", [2, 3, 4])
def test_any_number_of_workers_gives_the_scores_of_one(tiny: TrainConfig, world: int) -> None:
    """Three images: some workers have more than others, one of four has none."""
    training = Training(wide(tiny), Runtime())
    external = training.external
    assert external is not None

    def scores(runtime: Runtime, size: int) -> list[ImageScore]:
        target = Target(
            external, "test", "external", (size, size), EvaluationConfig().rows(EXTERNAL, test=True)
        )
        predictions = predict(training.system, target, runtime, input_size=(128, 128), batch_size=2)
        return score_predictions(predictions, target, runtime)

    training.system.eval()
    for size in (128, 64):
        alone = scores(Runtime(), size)
        barrier = threading.Barrier(world)
        parts: list[list[ImageScore]] = [[] for _ in range(world)]
        results: dict[int, list[ImageScore]] = {}

        def work(rank: int, size: int = size) -> None:
            results[rank] = scores(Peer(rank, barrier, parts), size)  # noqa: B023

        threads = [threading.Thread(target=work, args=(rank,)) for rank in range(world)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for rank in range(world):
            assert [dataclasses.replace(i, value=0) for i in results[rank]] == [
                dataclasses.replace(i, value=0) for i in alone
            ]
            assert [i.value for i in results[rank]] == pytest.approx(
                [i.value for i in alone], nan_ok=True
            )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of rendered scenes, to damage."""
    data = SyntheticLiver(train=5, val=5, test=5)
    data.open()
    return Path(shutil.copytree(data.folder(), tmp_path / "mine"))


def move(source: Path, frame: str, target: Path, name: str) -> None:
    """Copy the files of a frame into another split, under another name."""
    for part, suffix in (("images", "jpg"), ("labels", "json"), ("depth_AdelaiDepth", "png")):
        shutil.copy(source / part / f"{frame}.{suffix}", target / part / f"{name}.{suffix}")


@pytest.mark.parametrize("seen", ["Train", "Val"])
def test_an_image_that_was_seen_is_not_tested(tiny: TrainConfig, folder: Path, seen: str) -> None:
    frame = f"{seen.lower()}000_002"
    move(folder / seen, frame, folder / "Test", "other_000")
    config = dataclasses.replace(tiny, data=L3D(root=str(folder)))
    with pytest.raises(DataError, match=f"image in {seen.lower()} and in test: 1") as caught:
        next(train(config, Runtime()))
    assert f"{frame} and other_000" in str(caught.value)


def test_a_study_on_such_data_does_not_start(tiny: TrainConfig, folder: Path) -> None:
    move(folder / "Val", "val000_001", folder / "Test", "other_000")
    study = Ablation(
        question="Does it start?",
        baseline=dataclasses.replace(tiny, data=L3D(root=str(folder))),
        arms={"lora": {"method": "lora"}},
        seeds=(0,),
    )
    with pytest.raises(SpecError, match="val000_001 and other_000"):
        check_data_and_weights(study, Resources())


def test_an_image_in_train_and_val_is_no_matter_of_the_test(
    tiny: TrainConfig, folder: Path
) -> None:
    move(folder / "Train", "train000_002", folder / "Val", "other_000")
    dataclasses.replace(tiny, data=L3D(root=str(folder))).open_data()


def test_an_external_set_shares_no_image_and_no_patient(
    tiny: TrainConfig, folder: Path, tmp_path: Path
) -> None:
    mine = L3D(root=str(folder))
    theirs = tmp_path / "theirs"
    EXTERNAL.open()
    shutil.copytree(EXTERNAL.folder(), theirs)
    evaluation = EvaluationConfig(external=L3D(root=str(theirs)))
    config = dataclasses.replace(tiny, data=mine, evaluation=evaluation)
    config.open_data()
    move(folder / "Val", "val000_001", theirs / "Test", "guest_000")
    move(theirs / "Test", "testb000_000", theirs / "Test", "train000_009")
    with pytest.raises(DataError) as caught:
        config.open_data()
    assert "image in val and in external: 1\n    val000_001 and guest_000" in str(caught.value)
    why = "they have images in common"  # so names mean the same in both
    assert f"patient in train and in external ({why}): 1\n    train000\n" in str(caught.value)
    assert "patient in val" not in str(caught.value)


def called(folder: Path, part: str, name: str) -> None:
    """Give the frames of a split another patient."""
    for path in list((folder / part).rglob("*_00?.*")):
        path.rename(path.with_stem(f"{name}_{path.stem.rpartition('_')[2]}"))


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Scenes of the second domain, to rename."""
    EXTERNAL.open()
    return Path(shutil.copytree(EXTERNAL.folder(), tmp_path / "theirs"))


def test_patients_of_unlike_data_sets_may_have_one_name(
    tiny: TrainConfig, folder: Path, elsewhere: Path
) -> None:
    """`train000` of one hospital is not that of another, unless the two have an image in common."""
    called(elsewhere, "Test", "train000")
    evaluation = EvaluationConfig(external=L3D(root=str(elsewhere)))
    config = dataclasses.replace(tiny, evaluation=evaluation)
    config.open_data()
    move(folder / "Test", "test000_000", elsewhere / "Test", "guest_000")
    with pytest.raises(DataError, match="external .they have images in common.: 1\n    train000\n"):
        config.open_data()


def test_two_hospitals_may_number_their_patients_alike(
    tiny: TrainConfig, folder: Path, elsewhere: Path
) -> None:
    called(folder, "Train", "1")
    called(elsewhere, "Test", "1")
    evaluation = EvaluationConfig(external=L3D(root=str(elsewhere)))
    dataclasses.replace(tiny, data=L3D(root=str(folder)), evaluation=evaluation).open_data()


def test_editions_of_one_set_share_their_patients(
    tiny: TrainConfig, folder: Path, elsewhere: Path
) -> None:
    called(folder, "Train", "1")
    called(elsewhere, "Test", "1")
    evaluation = EvaluationConfig(external=L3D2K(root=str(elsewhere)))
    config = dataclasses.replace(tiny, data=L3D(root=str(folder)), evaluation=evaluation)
    with pytest.raises(DataError, match=r"external \(l3d and l3d_2k are editions .*\): 1\n    1\n"):
        config.open_data()


@pytest.mark.parametrize(
    ("own", "theirs", "told"),
    [
        ("all", "all", "patient in train and in external (both lie in"),
        ("all", "all/later", "patient in train and in external (both lie in"),
        ("all", "other", None),
    ],
)
def test_patients_of_one_folder_are_compared_by_name(
    tiny: TrainConfig, tmp_path: Path, own: str, theirs: str, told: str | None
) -> None:
    """Other frames of patient 1, in which no image is the same."""
    rng = np.random.default_rng(0)

    def some(root: str, images: str, masks: str) -> None:
        for part, channels in ((images, (3,)), (masks, ())):
            (tmp_path / root / part).mkdir(parents=True)
            for i in range(12):
                pixels = rng.integers(0, 256, (64, 64, *channels), np.uint8)
                Image.fromarray(pixels).save(tmp_path / root / part / f"p{i // 2}-{i}.png")

    def opened(pattern: str) -> None:
        data = Folder(root=str(tmp_path / own), patient=pattern)
        external = Folder(
            root=str(tmp_path / theirs),
            images="new/images",
            masks="new/masks",
            fractions=(0.0, 0.0, 1.0),
            patient=pattern,
        )
        evaluation = EvaluationConfig(external=external)
        system: Any = tiny.system
        rgb = dataclasses.replace(
            system, fusion=dataclasses.replace(system.fusion, mode="rgb_only")
        )
        dataclasses.replace(tiny, system=rgb, data=data, evaluation=evaluation).open_data()

    some(own, "images", "masks")
    some(theirs, "new/images", "new/masks")
    opened("(.+)")  # an image's number is no patient's name
    if told is None:
        opened("(p[0-9]+)-.+")
        return
    with pytest.raises(DataError) as refused:
        opened("(p[0-9]+)-.+")
    assert told in str(refused.value)
    assert f"{tmp_path / own})" in str(refused.value)


def test_an_external_set_without_test_images_is_refused_beforehand(
    tiny: TrainConfig, plain: Callable[..., Folder]
) -> None:
    external = EvaluationConfig(external=plain("b", fractions=(0.5, 0.5, 0.0)))
    config = dataclasses.replace(tiny, evaluation=external)
    for look in (config.open_data, lambda: next(train(config, Runtime()))):
        with pytest.raises(
            DataError, match=r"evaluation\.external: no image is in test"
        ) as refused:
            look()
        assert "evaluation.external has no depth maps" in str(refused.value), "told together"
        assert "evaluation.external has the classes" in str(refused.value)
    with pytest.raises(SpecError, match=r"evaluation\.external: no image is in test"):
        check_data_and_weights(study_of(config), Resources())


@DATASETS.register("two_classes", "scenes of other classes")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class TwoClasses(DataConfig):
    """Scenes of which another data set says it has two classes."""

    name: ClassVar[str] = "two_classes"

    def open(self) -> Any:
        """The scenes, with other classes."""
        found = EXTERNAL.open()
        found.classes = ClassSpec(("polyp", "tool"), exclusive=False)
        return found


def test_an_external_set_of_other_classes_is_refused(tiny: TrainConfig) -> None:
    config = dataclasses.replace(tiny, evaluation=EvaluationConfig(external=TwoClasses()))
    with pytest.raises(ValueError, match=r"polyp, tool \(may overlap\), the data have background"):
        config.open_data()


@pytest.fixture
def plain(tmp_path: Path) -> Callable[..., Folder]:
    """Folders of twelve images with masks, without depth maps."""

    def make(name: str, **fields: Any) -> Folder:
        rng = np.random.default_rng(sum(map(ord, name)))
        for part, channels in (("images", (3,)), ("masks", ())):
            (tmp_path / name / part).mkdir(parents=True)
            for i in range(12):
                pixels = rng.integers(0, 256, (64, 64, *channels), np.uint8)
                Image.fromarray(pixels).save(tmp_path / name / part / f"{name}{i}.png")
        return Folder(root=str(tmp_path / name), **fields)

    return make


def study_of(config: TrainConfig) -> Ablation:
    arms = {"higher": {"method.lr": 3e-4}}
    return Ablation(question="Does it start?", baseline=config, arms=arms, seeds=(0,))


def test_sets_without_depth_are_refused_before_anything_starts(
    tiny: TrainConfig, plain: Callable[..., Folder]
) -> None:
    """The external set is opened last, after days: what it lacks is said first."""
    external = EvaluationConfig(external=plain("b", fractions=(0.0, 0.0, 1.0)))
    config = dataclasses.replace(tiny, data=plain("a"), evaluation=external)
    with pytest.raises(ValueError, match=r"^data has no depth maps") as refused:
        config.open_data()
    assert "evaluation.external has no depth maps" in str(refused.value)
    with pytest.raises(SpecError, match=r"evaluation\.external has no depth maps"):
        check_data_and_weights(study_of(config), Resources())
    system: Any = tiny.system
    for without in (
        dataclasses.replace(system, depth=dataclasses.replace(system.depth, source="image")),
        dataclasses.replace(system, fusion=dataclasses.replace(system.fusion, mode="rgb_only")),
    ):
        able = dataclasses.replace(config, system=without)
        able.open_data()
        check_data_and_weights(study_of(able), Resources())
        arm = {"depth": {"system": tiny.system}}
        study = dataclasses.replace(study_of(able), arms=arm)
        with pytest.raises(SpecError, match="data has no depth maps"):
            check_data_and_weights(study, Resources())


def test_a_loss_that_the_classes_cannot_have_is_refused_beforehand(
    tiny: TrainConfig, plain: Callable[..., Folder]
) -> None:
    """`published` on masks of one structure, which have no background."""
    config = dataclasses.replace(published(tiny), data=plain("a"))
    with pytest.raises(ValueError, match="system.loss.background and .entropy") as refused:
        config.open_data()
    assert "data has no depth maps" in str(refused.value), "faults are told together"
    with pytest.raises(SpecError, match="system.loss.background and .entropy"):
        check_data_and_weights(study_of(config), Resources())


@pytest.mark.parametrize(
    ("fractions", "told"),
    [
        ((0.8, 0.0, 0.2), ["no image is in val"]),
        ((0.0, 0.8, 0.2), ["no image is in train"]),
        ((0.0, 0.0, 1.0), ["no image is in train", "no image is in val"]),
    ],
)
def test_nothing_to_train_or_to_select_on(
    tiny: TrainConfig,
    plain: Callable[..., Folder],
    fractions: tuple[float, float, float],
    told: list[str],
) -> None:
    system: Any = tiny.system
    rgb = dataclasses.replace(system, fusion=dataclasses.replace(system.fusion, mode="rgb_only"))
    config = dataclasses.replace(tiny, system=rgb, data=plain("a", fractions=fractions))
    with pytest.raises(ValueError, match=told[0]) as refused:
        next(train(config, Runtime()))
    assert all(line in str(refused.value) for line in told)
    with pytest.raises(SpecError, match=told[-1]):
        check_data_and_weights(study_of(config), Resources())


def test_sizes_stand_once_and_are_sizes() -> None:
    with pytest.raises(ValueError, match="each must stand once"):
        EvaluationConfig(resolutions=(64, 64))
    with pytest.raises(ValueError, match="greater than or equal to 16"):
        EvaluationConfig(resolutions=(4,))


def test_the_systems_own_size_is_scored_once_though_it_is_asked_for(tiny: TrainConfig) -> None:
    evaluation = EvaluationConfig(resolutions=(128, 64))
    last = list(train(dataclasses.replace(tiny, evaluation=evaluation), Runtime()))[-1]
    keys = [
        (i.resolution, i.sample_id, i.class_name, i.metric, i.protocol)
        for i in last.images
        if i.split == "test"
    ]
    assert len(keys) == len(set(keys))
    assert {k[0] for k in keys} == {"128x128", "64x64"}


def test_defaults_change_no_hash_and_any_setting_does(tiny: TrainConfig) -> None:
    assert not any(name.startswith("evaluation") for name in non_default(tiny))
    assert config_hash(wide(tiny)) != config_hash(tiny)
    external = dataclasses.replace(tiny, evaluation=EvaluationConfig(external=EXTERNAL))
    other = EvaluationConfig(external=dataclasses.replace(EXTERNAL, seed=1))
    assert config_hash(external) != config_hash(dataclasses.replace(tiny, evaluation=other))


def test_the_hash_of_the_data_has_both_sets(tiny: TrainConfig) -> None:
    hashes = {Training(config, Runtime()).facts.data_hash for config in (tiny, wide(tiny))}
    assert len(hashes) == 2
    assert tiny.data.open().content_hash() in hashes


def test_an_external_set_goes_through_json(tiny: TrainConfig) -> None:
    for config in (tiny, wide(tiny)):
        assert from_json(TrainConfig, to_json(config)) == config
    with pytest.raises(ValueError, match="colour"):
        from_json(TrainConfig, {**to_json(tiny), "colour": {"red": 1}})


def test_what_no_image_defines_is_no_number(final: Evaluation) -> None:
    for score in final.scores:
        assert math.isnan(score.value) == (score.n == 0)


def test_each_image_at_its_own_size_is_one_more_resolution(tiny: TrainConfig) -> None:
    """The digits are those of a training that is scored at own sizes alone."""
    found = []
    for evaluation in (EvaluationConfig(resolutions=("image",)), EvaluationConfig(size="image")):
        schedule = dataclasses.replace(tiny.schedule, epochs=1)
        config = dataclasses.replace(
            tiny,
            system=DualEncoderConfig(image_size=64),
            schedule=schedule,
            evaluation=evaluation,
        )
        *_, final = train(config, Runtime())
        found.append([s for s in final.scores if s.resolution == "image"])
    both, alone = found
    assert both
    assert both == alone
    assert EvaluationConfig(resolutions=(64, "image", (32, 48))).sizes() == [
        (64, 64),
        None,
        (32, 48),
    ]
