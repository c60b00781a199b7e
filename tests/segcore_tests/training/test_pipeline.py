"""Masks are scored while the next are predicted: the same scores, errors and memory."""

import dataclasses
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from support.fake_cuda import fake_cuda
from support.fake_cuda.training import begun

from segcore.batch import Prediction
from segcore.classes import ClassSpec
from segcore.config import TrainConfig
from segcore.metrics.images import Scored, score
from segcore.metrics.metric import Metric, Pair
from segcore.metrics.overlap import Overlap
from segcore.metrics.table import METRICS
from segcore.training import predicting
from segcore.training.evaluation import EvaluationConfig
from segcore.training.inference import Sent, Truth, sent
from segcore.training.loop import Training
from segcore.training.predicting import PredictedSample, Target, predict
from segcore.training.runtime import Runtime
from segcore.training.scoring import WAITING, score_predictions, scoring_threads
from segcore.training.splits import ScoredSplits
from segtune.study import catalog

PLUGINS = Path(__file__).parents[2] / "support" / "studies" / "plugin_study.py"
FAILS = 3
"""The image that a metric fails on, from 0."""


@pytest.fixture(scope="module")
def plugins() -> ModuleType:
    """Volumes, with metrics of whole cases, of probabilities, and with curves."""
    return catalog.load_file(PLUGINS)


@pytest.mark.parametrize("kind", ["volumes", "images"])
def test_threads_change_no_digit_and_no_order(
    kind: str, plugins: ModuleType, tiny: TrainConfig
) -> None:
    training = Training(plugins.training() if kind == "volumes" else tiny, Runtime())
    found = []
    for cpus in (1, 3):
        splits = ScoredSplits(
            training.config, training.dataset, None, training.system, Runtime(cpus=cpus), 2
        )
        images, pictures = splits.test()
        scores = [(*vars(i).values(),) for i in images]
        found.append((repr(scores), pictures))  # NaN is NaN, and every digit is told
    assert found[0] == found[1]
    assert ("array(" in found[0][0]) == (kind == "volumes"), "of the curves"


def predictions(training: Training, made: list[int]) -> Iterator[PredictedSample]:
    """The two samples of val, again and again: what is predicted is counted."""
    target = Target(training.dataset, "val", "val", (32, 32), ())
    samples = [*predict(training.system, target, Runtime(), input_size=(128, 128), batch_size=2)]
    for i in range(100):
        made.append(i)
        yield samples[i % 2]


@pytest.mark.parametrize("cpus", [1, 3])
def test_a_metrics_error_is_raised_and_ends_it(tiny: TrainConfig, cpus: int) -> None:
    training, made, scored = Training(tiny, Runtime()), list[int](), list[int]()
    lock = threading.Lock()

    def compute(pair: Pair) -> float:
        with lock:
            scored.append(len(scored))
            place = scored[-1]
        if place == FAILS:
            raise ArithmeticError("no such distance")
        return 0.0

    metric = Metric(
        name="mine",
        protocol="own",
        direction="minimize",
        label="Mine",
        unit="px",
        compute=compute,
        classes="pooled",
    )
    target = Target(training.dataset, "val", "val", (32, 32), [metric])
    before = threading.active_count()
    with pytest.raises(ArithmeticError, match="no such distance"):
        score_predictions(predictions(training, made), target, Runtime(cpus=cpus))
    assert threading.active_count() == before
    waiting = 0 if cpus == 1 else WAITING * cpus
    assert len(made) <= FAILS + 1 + waiting + 1


def test_what_waits_to_be_scored_is_bounded(tiny: TrainConfig) -> None:
    training, made = Training(tiny, Runtime()), list[int]()
    go_on, seen = threading.Event(), list[int]()

    def compute(pair: Pair) -> float:
        go_on.wait(10)
        return 0.0

    def look() -> None:
        seen.append(len(made))
        go_on.set()

    def counted() -> Iterator[PredictedSample]:
        for predicted in predictions(training, made):
            if len(made) == 2 * WAITING + 1:  # nobody asks for more while none is scored
                threading.Timer(0.1, look).start()
            yield predicted

    metric = dataclasses.replace(EvaluationConfig().rows(tiny.data, test=False)[0], compute=compute)
    target = Target(training.dataset, "val", "val", (32, 32), [metric])
    score_predictions(counted(), target, Runtime(cpus=2))
    assert seen == [2 * WAITING + 1]
    assert len(made) == 100


def test_threads_are_as_many_as_there_are_cpus() -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda:0")
    asked = [(cpu, 1), (cpu, 2), (gpu, 1), (gpu, 4), (gpu, 64)]
    found = [scoring_threads(Runtime(device=device, cpus=cpus)) for device, cpus in asked]
    assert found == [0, 2, 1, 4, 8]


def test_a_gpu_computes_the_next_batch_while_masks_come_over(
    tiny: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []

    def noted(what: str, of: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*given: Any) -> Any:
            happened.append(what)
            return of(*given)

        return noting

    monkeypatch.setattr(predicting, "_ask", noted("asked", predicting._ask))
    monkeypatch.setattr(Sent, "masks", noted("came", Sent.masks))
    with fake_cuda() as cuda:
        training = begun(tiny, cuda)
        target = Target(training.dataset, "train", "train", (128, 128), ())
        runtime = Runtime(device=cuda.device)
        ask_all = partial(predict, target=target, input_size=(128, 128), batch_size=2)
        [*ask_all(training.system, runtime=runtime)]  # what a frozen encoder sees is kept
        happened.clear()
        with cuda.counting() as counts:
            [*ask_all(training.system, runtime=runtime)]
    assert happened == ["asked", "asked", "came", "asked", "came", "asked", "came", "came"]
    assert counts.waits.total() == 4, counts.waits  # one a batch, for its masks
    [*ask_all(Training(tiny, Runtime()).system, runtime=Runtime())]
    assert happened[8:] == ["asked", "came"] * 4  # a CPU keeps no second batch


@pytest.mark.parametrize("exclusive", [True, False])
def test_overlaps_that_a_gpu_counts_give_the_same_digits(
    exclusive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("background", "a", "b", "c")[not exclusive :]
    classes, rng = ClassSpec(names, exclusive=exclusive), np.random.default_rng(0)
    most = 4 if exclusive else 8
    truth_BHW = rng.integers(0, most, (3, 20, 30), np.uint8)
    truth_BHW[1] = 0  # an empty mask
    logits_BKHW = torch.from_numpy(rng.standard_normal((3, len(names), 20, 30), np.float32))
    ignore_BHW = rng.random((3, 20, 30)) < 0.1
    keys = ("dice.per_image", "iou.per_image", "dice.stacked", "iou.stacked")
    metrics: list[Metric] = [METRICS[key].load() for key in keys]

    def values(overlaps: Sequence[Mapping[str, Overlap]]) -> list[str]:
        return [
            repr(score(Scored(said, true, ignore, overlaps=counted), classes, metrics, "image"))
            for said, true, ignore, counted in zip(
                labels_BHW, truth_BHW, ignore_BHW, overlaps, strict=True
            )
        ]

    labels_BHW = classes.labels(logits_BKHW)
    expected = values([{}] * 3)
    truth = Truth(torch.from_numpy(truth_BHW), torch.from_numpy(ignore_BHW))
    said = sent(Prediction(logits_BKHW), classes, also=(), truth=truth).masks()
    monkeypatch.setattr(Overlap, "of", None)  # nothing is counted again
    assert values([one.overlaps for one in said]) == expected
    assert len(set(expected)) == 3
