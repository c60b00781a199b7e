"""Score a system over a split: each image once, over all workers, whatever their number; and the
splits that a training is scored on, val again and again, test and the external set once.

Shape suffixes: B batch, K classes, H W image size.
"""

import dataclasses
import io
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segcore.batch import Size
from segcore.config import TrainConfig
from segcore.data.dataset import Dataset, Sample
from segcore.data.loader import ahead, cases_of
from segcore.data.prompts import PromptConfig
from segcore.metrics.images import Scored, score
from segcore.metrics.metric import Scope
from segcore.systems.system import System
from segcore.training.ensemble import Network
from segcore.training.events import ImageScore, Picture
from segcore.training.predicting import PredictedSample, Target, predict
from segcore.training.runtime import Precision, Runtime
from segcore.training.tta import TtaConfig

PICTURES = 4
"""Samples of a split that are kept as pictures."""
THREADS = 8
"""The most that score masks at a time. A score needs Python's lock for a small part of its time,
and what launches on a GPU needs it too: more threads would wait for one another."""
WAITING = 2
"""Images and cases for each of those threads, at work or waiting, at most."""


def evaluate(
    system: Network,
    target: Target,
    runtime: Runtime,
    *,
    input_size: Size,
    batch_size: int,
    precision: Precision,
    prompts: PromptConfig | None,
    tta: TtaConfig,
    draw: bool,
) -> tuple[list[ImageScore], list[Picture]]:
    """The scores of each image and case of a target, and a few pictures if asked for.

    Arguments as in `predict`.
    """
    chosen = pictured(target) if draw else set()
    kept: list[PredictedSample] = []

    def passing() -> Iterator[PredictedSample]:
        """All go on to be scored, and few are kept: a split may be larger than memory."""
        for predicted in predict(
            system,
            target,
            runtime,
            input_size=input_size,
            batch_size=batch_size,
            precision=precision,
            prompts=prompts,
            tta=tta,
            drawn=chosen,
        ):
            if predicted.sample.sample_id in chosen:
                kept.append(predicted)
            yield predicted

    images = score_predictions(passing(), target, runtime)
    return images, draw_pictures(kept, target, runtime) if draw else []


def score_predictions(
    predictions: Iterable[PredictedSample], target: Target, runtime: Runtime
) -> list[ImageScore]:
    """Every metric of every image and case of a target, from all workers, in the split's order.

    Args:
        predictions: what `predict` gives; each is let go once it, or its case, is scored.
        target: of the predictions.
        runtime: its threads score while the next masks are predicted; gathers from all workers.
    """
    threads = scoring_threads(runtime)
    found = ahead(_jobs(predictions, target), threads, WAITING * threads)
    scores = [s for of_one in found for s in of_one]
    place = {sample_id: i for i, sample_id in enumerate(target.dataset.ids(target.split))}
    if _of_cases(target):
        for case, samples in cases_of(target.dataset, target.split).items():
            place.setdefault(case, place[samples[-1]])
    return sorted(runtime.gather(scores), key=lambda s: place[s.sample_id])


def scoring_threads(runtime: Runtime) -> int:
    """Threads that score masks beside the one that predicts; 0: that one scores them, each before
    it predicts the next, as where torch predicts on the very CPUs that would score."""
    return 0 if runtime.device.type == "cpu" else min(runtime.cpus, THREADS)


def _jobs(
    predictions: Iterable[PredictedSample], target: Target
) -> Iterator[Callable[[], list[ImageScore]]]:
    """What scores each image, and each case once all of it is predicted."""
    of_cases = _of_cases(target)
    for _, members in itertools.groupby(predictions, key=lambda p: p.sample.case_id):
        slices = []
        for predicted in members:
            yield partial(_image_scores, predicted, target)
            if of_cases:
                slices.append(predicted)
        if of_cases:
            yield partial(_case_scores, slices, target)


def _of_cases(target: Target) -> bool:
    return any(m.scope == "case" for m in target.metrics)


def _image_scores(predicted: PredictedSample, target: Target) -> list[ImageScore]:
    sample = predicted.sample
    spacing = None if sample.spacing_mm is None else sample.spacing_mm[1:]
    scored = Scored(
        predicted.labels_HW,
        sample.labels_HW,
        sample.ignore_HW,
        predicted.probabilities_KHW,
        spacing,
        predicted.uncertainty_HW,
        sample.own_size,
        predicted.overlaps,
    )
    return _rows(scored, sample, sample.sample_id, target, "image")


def _case_scores(slices: Sequence[PredictedSample], target: Target) -> list[ImageScore]:
    ordered = sorted(slices, key=lambda p: p.sample.slice)
    first = ordered[0].sample
    sizes = {p.sample.labels_HW.shape for p in ordered}
    if len(sizes) > 1:
        raise ValueError(
            f"case {first.case_id} has slices of the sizes {', '.join(map(str, sorted(sizes)))}: "
            "give them one, or set evaluation.size='system'"
        )
    ignored = [p.sample.ignore_HW for p in ordered]
    nowhere = np.zeros(first.labels_HW.shape, bool)
    shares = [s for p in ordered if (s := p.probabilities_KHW) is not None]
    scored = Scored(
        np.stack([p.labels_HW for p in ordered]),
        np.stack([p.sample.labels_HW for p in ordered]),
        np.stack([nowhere if i is None else i for i in ignored]),
        np.stack(shares, axis=1) if len(shares) == len(ordered) else None,
        first.spacing_mm,
    )
    return _rows(scored, first, first.case_id, target, "case")


def _rows(
    scored: Scored, sample: Sample, name: str, target: Target, scope: Scope
) -> list[ImageScore]:
    return [
        ImageScore(
            split=target.name,
            resolution=target.resolution,
            sample_id=name,
            patient_id=sample.patient_id,
            scope=scope,
            case_id=sample.case_id,
            class_name=s.class_name,
            metric=s.metric.name,
            protocol=s.metric.protocol,
            value=s.metric.number(s.value),
            curve=s.value if isinstance(s.value, np.ndarray) else None,
        )
        for s in score(scored, target.dataset.classes, target.metrics, scope)
    ]


def pictured(target: Target) -> set[str]:
    """The same few samples for every training: spread evenly over the split."""
    ids = target.dataset.ids(target.split)
    count = min(PICTURES, len(ids))
    return {ids[i * len(ids) // count] for i in range(count)}


def draw_pictures(
    predictions: Iterable[PredictedSample], target: Target, runtime: Runtime
) -> list[Picture]:
    """Pictures of some samples, in the split's order: image, depth, truth, prediction, maps.

    Arguments as in `score_predictions`.
    """
    ids = list(target.dataset.ids(target.split))
    classes = target.dataset.classes
    pictures = []
    for predicted in predictions:
        sample = predicted.sample
        arrays = {
            "image": sample.image_HW3,
            "depth": sample.depth_HW,
            "truth": classes.coloured(sample.labels_HW),
            "prediction": classes.coloured(predicted.labels_HW),
            **predicted.maps,
        }
        pictures += [
            Picture(target.name, sample.sample_id, kind, _png(array))
            for kind, array in arrays.items()
            if array is not None
        ]
    return sorted(runtime.gather(pictures), key=lambda p: ids.index(p.sample_id))


def _png(array: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG", optimize=True)
    return file.getvalue()


@dataclass(frozen=True)
class ScoredSplits:
    """A system, and what it is scored on."""

    config: TrainConfig
    dataset: Dataset
    external: Dataset | None
    system: System
    runtime: Runtime
    microbatch_size: int | None
    """Most samples at once in training; None: a whole batch."""

    def val(self, *, draw: bool) -> tuple[list[ImageScore], list[Picture]]:
        """The scores of each image and case of val, and a few pictures if asked for."""
        return self._evaluate(self._target("val", test=False), draw=draw)

    def test(self) -> tuple[list[ImageScore], list[Picture]]:
        """Test and external, each at the usual resolution first, then at the others asked for."""
        images: list[ImageScore] = []
        pictures: list[Picture] = []
        for name in ("test", "external"):
            if name == "external" and self.external is None:
                continue
            usual = self._target(name, test=True)
            sizes = [s for s in self.config.evaluation.sizes() if s != usual.size]
            for size in (usual.size, *sizes):
                target = dataclasses.replace(usual, size=size)
                scored, drawn = self._evaluate(target, draw=size == usual.size)
                images += scored
                pictures += drawn
        return images, pictures

    def _target(self, name: str, *, test: bool) -> Target:
        """A split at the resolution at which every split is scored.

        Args:
            name: `val`, `test` or `external`.
            test: whether every metric is computed, those that take long too.
        """
        evaluation = self.config.evaluation
        data, dataset = self.config.data, self.dataset
        if name == "external":
            assert evaluation.external is not None
            assert self.external is not None
            data, dataset = evaluation.external, self.external
        return Target(
            dataset=dataset,
            split="val" if name == "val" else "test",
            name=name,
            size=None if evaluation.size == "image" else self.config.system.input_size,
            metrics=evaluation.rows(data, test=test),
        )

    def _evaluate(self, target: Target, *, draw: bool) -> tuple[list[ImageScore], list[Picture]]:
        schedule, chosen = self.config.schedule, self.config.evaluation.batch_size
        batch_size = chosen or self.microbatch_size or schedule.batch_size
        return evaluate(
            self.system,
            target,
            self.runtime,
            input_size=self.config.system.input_size,
            batch_size=batch_size,
            precision=self.config.precision,
            prompts=self.config.boxes,
            tta=self.config.evaluation.tta,
            draw=draw,
        )
