"""Score a system over a split: each image once, over all workers, whatever their number.

Shape suffixes: B batch, K classes, H W image size.
"""

import io
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segcore.batch import Batch, Size
from segcore.data.dataset import Dataset, Sample, Split
from segcore.data.loader import cases_of, collate, evaluation_batches
from segcore.data.prompts import PromptConfig
from segcore.metrics.images import Scored, score
from segcore.metrics.metric import Metric, Needs, Scope
from segcore.training.ensemble import Network
from segcore.training.events import OWN_SIZE, ImageScore, Picture, resolution_of
from segcore.training.inference import Masks, by_size, infer, masks
from segcore.training.runtime import Precision, Runtime
from segcore.training.tta import TtaConfig

PICTURES = 4
"""Samples of a split that are kept as pictures."""


@dataclass(frozen=True)
class Target:
    """What is scored: a split of a data set, at one resolution, by some metrics."""

    dataset: Dataset
    split: Split
    name: str
    """Of the split in the results: `external` for another data set's test split."""
    size: Size | None
    """Of the masks that are compared; None: each image's own."""
    metrics: Sequence[Metric]

    @property
    def resolution(self) -> str:
        """As it stands in the tables."""
        return OWN_SIZE if self.size is None else resolution_of(self.size)

    @property
    def needs(self) -> frozenset[Needs]:
        """What the metrics look at."""
        return frozenset(metric.needs for metric in self.metrics)


@dataclass(frozen=True, eq=False, kw_only=True)
class PredictedSample(Masks):
    """What a system says of one sample; `maps` are those of samples that are drawn."""

    sample: Sample
    """At the target's size."""


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


def predict(
    system: Network,
    target: Target,
    runtime: Runtime,
    *,
    input_size: Size,
    batch_size: int,
    precision: Precision = "float32",
    prompts: PromptConfig | None = None,
    tta: TtaConfig | None = None,
    drawn: Collection[str] = (),
) -> Iterator[PredictedSample]:
    """This worker's samples of a target with what the system says about each, batch by batch.

    Args:
        system: what predicts.
        target: what is predicted.
        runtime: device and share of this worker.
        input_size: of the images that the system sees.
        batch_size: samples at once.
        precision: of the forward pass.
        prompts: boxes that the system is told.
        tta: how often it sees each image; None: once.
        drawn: samples whose maps are kept.
    """
    system.eval()
    batches = evaluation_batches(
        target.dataset,
        target.split,
        input_size,
        batch_size,
        rank=runtime.rank,
        world=runtime.world,
        prompts=prompts,
        remembers=system.remembers,
        for_gpu=runtime.device.type == "cuda",
    )
    for seen, batch in batches:
        samples = seen
        if target.size != input_size:
            samples = [target.dataset.load(target.split, s.sample_id, target.size) for s in seen]
        sizes = by_size(sample.labels_HW.shape for sample in samples)
        predicted: dict[int, Masks] = {}
        for size, places in sizes.items():
            part = batch if len(sizes) == 1 else batch.take(places)
            prediction = infer(
                system,
                _read_at(target, part, input_size),
                size,
                input_size=input_size,
                classes=target.dataset.classes,
                tta=tta or TtaConfig(),
                device=runtime.device,
                precision=precision,
            )
            found = masks(prediction, target.dataset.classes, also=target.needs)
            predicted |= dict(zip(places, found, strict=True))
        runtime.beat()
        for i, sample in enumerate(samples):
            said = predicted[i]
            yield PredictedSample(
                said.labels_HW,
                said.probabilities_KHW,
                said.maps if sample.sample_id in drawn else {},
                said.uncertainty_HW,
                sample=sample,
            )


def _read_at(target: Target, batch: Batch, size: Size) -> Callable[[Size], Batch]:
    """The samples of a batch, of this size, read at any other; the boxes stay where they are."""

    def batch_at(wanted: Size) -> Batch:
        if wanted == size:
            return batch
        read = [target.dataset.load(target.split, i, wanted) for i in batch.sample_ids]
        return replace(collate(read, target.dataset.classes), prompts=batch.prompts)

    return batch_at


def score_predictions(
    predictions: Iterable[PredictedSample], target: Target, runtime: Runtime
) -> list[ImageScore]:
    """Every metric of every image and case of a target, from all workers, in the split's order.

    Args:
        predictions: what `predict` gives; each is let go once it, or its case, is scored.
        target: of the predictions.
        runtime: gathers from all workers.
    """
    of_cases = any(m.scope == "case" for m in target.metrics)
    scores: list[ImageScore] = []
    for _, members in itertools.groupby(predictions, key=lambda p: p.sample.case_id):
        slices = []
        for predicted in members:
            scores += _image_scores(predicted, target)
            if of_cases:
                slices.append(predicted)
        if of_cases:
            scores += _case_scores(slices, target)
    place = {sample_id: i for i, sample_id in enumerate(target.dataset.ids(target.split))}
    if of_cases:
        for case, samples in cases_of(target.dataset, target.split).items():
            place.setdefault(case, place[samples[-1]])
    return sorted(runtime.gather(scores), key=lambda s: place[s.sample_id])


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
