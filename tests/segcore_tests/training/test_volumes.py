"""Volumes of slices, outputs that are not square, boxes: from training to scores."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from medpy.metric.binary import assd as medpy_assd
from medpy.metric.binary import dc

from segcore.data.loader import cases_of, evaluation_batches
from segcore.data.prompts import PromptConfig
from segcore.metrics.metric import Metric
from segcore.predict import Predictor
from segcore.train import train
from segcore.training.events import Evaluation
from segcore.training.loop import Training
from segcore.training.predicting import Target, predict
from segcore.training.runtime import Runtime
from segcore.training.scoring import score_predictions
from segtune.study import catalog

PLUGINS = Path(__file__).parents[2] / "support" / "studies" / "plugin_study.py"


@pytest.fixture(scope="module")
def plugins() -> ModuleType:
    """The data set of volumes and the system of wide inputs."""
    return catalog.load_file(PLUGINS)


@pytest.fixture(scope="module")
def evaluations(plugins: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> list[Evaluation]:
    """Of a whole training, its checkpoint kept."""
    found = list(train(plugins.training(), Runtime()))
    found[-1].save(tmp_path_factory.mktemp("checkpoint"))
    return found


def targets(training: Training) -> Iterator[Target]:
    """Test at each image's own size and at another."""
    metrics = training.config.evaluation.rows(training.config.data, test=True)
    for size in (None, (20, 30)):
        yield Target(training.dataset, "test", "test", size, metrics)


def test_it_learns_and_selects_on_whole_cases(evaluations: list[Evaluation]) -> None:
    *epochs, final = evaluations
    values = [e.score("dice", protocol="per_case") for e in epochs]
    assert [e.selection for e in epochs] == values
    best = next(e for e in reversed(epochs) if e.is_best)
    assert best.selection == max(values) > 0.2
    assert final.epoch == best.epoch


def test_a_case_is_scored_as_medpy_scores_the_volume(plugins: ModuleType) -> None:
    training = Training(plugins.training(), Runtime())
    for target in targets(training):
        predicted = list(
            predict(
                training.system,
                target,
                Runtime(),
                input_size=(32, 48),
                batch_size=3,
                prompts=PromptConfig(source="truth"),
            )
        )
        scores = score_predictions(predicted, target, Runtime())
        for case in cases_of(training.dataset, "test"):
            slices = [p for p in predicted if p.sample.case_id == case]
            assert [p.sample.slice for p in slices] == [0, 1]
            known = np.stack([~np.asarray(p.sample.ignore_HW) for p in slices])
            guess = np.stack([p.labels_HW for p in slices]) > 0
            truth = np.stack([p.sample.labels_HW for p in slices]) > 0
            spacing = slices[0].sample.spacing_mm
            found = {
                s.protocol: s.value
                for s in scores
                if (s.sample_id, s.class_name) == (case, "pooled")
            }
            assert found["per_case"] == pytest.approx(dc(guess & known, truth & known))
            wanted = medpy_assd(guess & known, truth & known, voxelspacing=spacing)
            assert found["per_case_mm"] == pytest.approx(wanted)


def test_spacing_follows_the_size(plugins: ModuleType) -> None:
    data = plugins.Ellipses().open()
    assert data.load("test", "test0-1", None).spacing_mm == (5.0, 0.5, 0.5)
    assert data.load("test", "test0-1", (24, 20)).spacing_mm == (5.0, 1.0, 2.0)


@pytest.mark.parametrize("world", [2, 3])
def test_all_slices_of_a_case_are_one_workers(plugins: ModuleType, world: int) -> None:
    data = plugins.Ellipses(val=3).open()
    shares = [
        [s.sample_id for samples, _ in batches for s in samples]
        for batches in (
            evaluation_batches(data, "val", (32, 48), 3, rank=rank, world=world)
            for rank in range(world)
        )
    ]
    assert sorted(i for share in shares for i in share) == sorted(data.ids("val"))
    cases = [{i.partition("-")[0] for i in share} for share in shares]
    assert not set.intersection(*cases)


def test_the_batch_size_changes_no_score(plugins: ModuleType) -> None:
    training = Training(plugins.training(), Runtime())
    target = next(targets(training))
    jitter = PromptConfig(source="jittered")
    found = []
    for batch_size in (1, 3, 4):
        torch.manual_seed(batch_size)
        predictions = predict(
            training.system,
            target,
            Runtime(),
            input_size=(32, 48),
            batch_size=batch_size,
            prompts=jitter,
        )
        found.append(score_predictions(predictions, target, Runtime()))
    for other in found[1:]:
        assert [dataclasses.replace(s, value=0, curve=None) for s in other] == [
            dataclasses.replace(s, value=0, curve=None) for s in found[0]
        ]
        values = [s.value for s in found[0]]
        assert [s.value for s in other] == pytest.approx(values, nan_ok=True, rel=1e-4)


def test_what_is_scored_says_where_it_is_from(evaluations: list[Evaluation]) -> None:
    final = evaluations[-1]
    assert final.facts.prompts == "jittered"
    assert {s.resolution for s in final.scores} == {"image"}
    units = {(s.metric, s.protocol): (s.unit, s.direction) for s in final.scores}
    assert units["assd", "per_case_mm"] == ("mm", "minimize")
    assert units["error", "mean"] == ("share", "minimize")
    of_cases = [i for i in final.images if i.protocol.startswith("per_case")]
    assert {i.sample_id for i in of_cases} == {"val0", "val1", "test0", "test1"}
    assert all(i.sample_id == i.case_id for i in of_cases)
    curve = next(i for i in final.images if i.metric == "best_dice")
    assert curve.curve is not None
    assert curve.value == pytest.approx(curve.curve.max())
    assert {"uncertainty", "prediction"} <= {p.kind for p in final.pictures}


def test_a_curve_is_reduced_over_the_set_not_image_by_image(
    evaluations: list[Evaluation],
) -> None:
    final = evaluations[-1]
    chosen = [
        i
        for i in final.images
        if (i.metric, i.class_name, i.split) == ("best_dice", "organ", "test")
    ]
    curves = np.stack([i.curve for i in chosen if i.curve is not None])
    of_set = final.score("best_dice", split="test", class_name="organ")
    assert of_set == pytest.approx(curves.mean(0).max())
    assert of_set <= np.mean([i.value for i in chosen])


def test_ignored_pixels_count_in_no_score(plugins: ModuleType) -> None:
    training = Training(plugins.training(), Runtime())
    target = next(targets(training))
    (first, *_) = predict(training.system, target, Runtime(), input_size=(32, 48), batch_size=1)
    assert first.probabilities_KHW is not None
    spoilt, shares = first.labels_HW.copy(), first.probabilities_KHW.copy()
    spoilt[:, :4] = 1
    shares[:, :, :4] = np.array([0.1, 0.8, 0.1])[:, None, None]
    pair = (first, dataclasses.replace(first, labels_HW=spoilt, probabilities_KHW=shares))
    scores = [score_predictions([p, p], target, Runtime()) for p in pair]
    for one, other in zip(*scores, strict=True):
        assert one.value == pytest.approx(other.value, nan_ok=True)


@pytest.fixture
def folder(evaluations: list[Evaluation], tmp_path: Path) -> Path:
    """A checkpoint of the training."""
    evaluations[-1].save(tmp_path)
    return tmp_path


def test_a_checkpoint_predicts_with_boxes_and_draws_its_maps(folder: Path) -> None:
    predictor = Predictor.load(folder, device="cpu")
    assert (predictor.size, predictor.takes_prompts) == ((32, 48), True)
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3)).astype(np.uint8)
    boxed, free = predictor([image, image], boxes=[(10, 5, 60, 45), None])
    assert boxed.labels_HW.shape == (50, 70)
    assert boxed.maps["uncertainty"].shape == (32, 48)
    assert (boxed.maps["uncertainty"] != free.maps["uncertainty"]).any(), "the box tells something"
    with pytest.raises(ValueError, match="give x0 < x1 <= 70"):
        predictor([image], boxes=[(10, 5, 80, 45)])
    with pytest.raises(ValueError, match="no class liver: there are organ, lesion"):
        predictor([image], boxes=[{"liver": (1, 1, 5, 5)}])
    by_class = {"organ": (1.0, 1.0, 30.0, 40.0)}
    assert len(predictor([image, image], boxes=[by_class, None])) == 2
    with pytest.raises(ValueError, match="every image one box, or every image boxes by class"):
        predictor([image, image], boxes=[by_class, (10, 5, 60, 45)])


def test_boxes_are_drawn_apart_from_augmentation_and_around_what_is_known(
    plugins: ModuleType,
) -> None:
    data = plugins.Ellipses(train=40).open()
    jitter, around = PromptConfig(source="jittered"), PromptConfig(source="truth")
    gains, moves = [], []
    for i, sample_id in enumerate(data.ids("train")):
        sample = data.load("train", sample_id, None)
        known = around.boxes(sample, data.classes, (0, 1, i), training=True).boxes_N4[0]
        moved = jitter.boxes(sample, data.classes, (0, 1, i), training=True).boxes_N4[0]
        assert (moved[:2] < moved[2:]).all()
        assert ((moved >= 0) & (moved <= 1)).all()
        moves.append((moved - known)[0])
        gains.append(np.random.default_rng((0, 1, i)).uniform(-1, 1))
    assert abs(np.corrcoef(gains, moves)[0, 1]) < 0.4
    hidden = dataclasses.replace(sample, ignore_HW=np.ones(sample.labels_HW.shape, bool))
    assert not around.boxes(hidden, data.classes, (0,), training=True).present_N.any()


def test_grown_boxes_move_outward_in_training_alone(plugins: ModuleType) -> None:
    data = plugins.Ellipses(train=40).open()
    around, grown = PromptConfig(source="truth"), PromptConfig(source="grown", growth=3)
    moves = []
    for i, sample_id in enumerate(data.ids("train")):
        sample = data.load("train", sample_id, None)
        height, width = sample.labels_HW.shape
        exact = around.boxes(sample, data.classes, (i,), training=True).boxes_N4[0]
        tested = grown.boxes(sample, data.classes, (i,), training=False).boxes_N4[0]
        np.testing.assert_array_equal(tested, exact)
        trained = grown.boxes(sample, data.classes, (i,), training=True).boxes_N4[0]
        outward = (trained - exact) * (-width, -height, width, height)
        np.testing.assert_allclose(outward, np.rint(outward), atol=1e-4)
        moves.append(np.rint(outward))
    assert np.min(moves) == 0
    assert np.max(moves) == 3
    with pytest.raises(ValueError, match="growth has no effect unless source='grown'"):
        PromptConfig(source="jittered", growth=3)


def test_slices_of_different_sizes_are_no_volume(plugins: ModuleType) -> None:
    training = Training(plugins.training(), Runtime())
    target = next(targets(training))
    first, second, *_ = predict(
        training.system, target, Runtime(), input_size=(32, 48), batch_size=2
    )
    sample = second.sample
    assert sample.ignore_HW is not None
    smaller = dataclasses.replace(
        sample, labels_HW=sample.labels_HW[:40], ignore_HW=sample.ignore_HW[:40]
    )
    cut = dataclasses.replace(
        second, sample=smaller, labels_HW=second.labels_HW[:40], probabilities_KHW=None
    )
    whole = dataclasses.replace(target, metrics=of_cases(target))
    with pytest.raises(ValueError, match="case test0 has slices of the sizes"):
        score_predictions([first, cut], whole, Runtime())


def of_cases(target: Target) -> list[Metric]:
    """Its metrics of whole cases."""
    return [m for m in target.metrics if m.scope == "case"]
