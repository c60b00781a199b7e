"""What a second annotator scores under the metrics of a study."""

import itertools
from collections.abc import Iterator

from segcore.data.loader import cases_of
from segcore.data.pixels import resized_labels
from segcore.metrics.aggregate import aggregate
from segcore.predict.label_noise.annotators import Annotator
from segcore.training.events import Score
from segcore.training.predicting import PredictedSample, Target
from segcore.training.runtime import Runtime
from segcore.training.scoring import score_predictions


def score_annotator(annotator: Annotator, target: Target) -> tuple[Score, ...]:
    """The masks of a second annotator, scored against the truth as predictions are.

    Args:
        annotator: draws each image at its own size; masks are then made as large as the target's.
        target: what is scored, by metrics that look at labels alone.
    """
    return aggregate(score_predictions(_drawn(annotator, target), target, Runtime()))


def _drawn(annotator: Annotator, target: Target) -> Iterator[PredictedSample]:
    dataset, split = target.dataset, target.split
    cases = cases_of(dataset, split).values()
    for sample_id in itertools.chain.from_iterable(cases):
        labels = annotator.draw(split, dataset.load(split, sample_id, None))
        sample = dataset.load(split, sample_id, target.size)
        size = (sample.labels_HW.shape[0], sample.labels_HW.shape[1])
        yield PredictedSample(resized_labels(labels, size), sample=sample)
