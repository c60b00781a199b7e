"""What a system says of each sample of a split: the masks that are then scored.

Shape suffixes: B batch, K classes, H W image size.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segcore.batch import Batch, Size, moved
from segcore.data.dataset import Dataset, Sample, Split
from segcore.data.loader import collate, evaluation_batches, ignored_of, loading_threads
from segcore.data.prompts import PromptConfig
from segcore.metrics.metric import Metric, Needs
from segcore.training.ensemble import Network
from segcore.training.events import OWN_SIZE, resolution_of
from segcore.training.inference import Masks, Sent, Truth, by_size, infer, sent
from segcore.training.runtime import Precision, Runtime
from segcore.training.tta import TtaConfig

T = TypeVar("T")


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
    on_gpu = runtime.device.type == "cuda"
    batches = evaluation_batches(
        target.dataset,
        target.split,
        input_size,
        batch_size,
        rank=runtime.rank,
        world=runtime.world,
        prompts=prompts,
        remembers=system.remembers,
        for_gpu=on_gpu,
        threads=loading_threads(runtime.cpus),
        masks_at="input" if target.size == input_size else target.size,
    )

    def asked() -> Iterator[_Asked]:
        for samples, batch in batches:
            yield _ask(system, target, runtime.device, samples, batch, input_size, precision, tta)

    # A GPU computes the next batch while the masks of this one come over and are handed out.
    for found in _behind(asked(), by=1 if on_gpu else 0):
        predicted: dict[int, Masks] = {}
        for places, part in found.parts:
            predicted |= dict(zip(places, part.masks(), strict=True))
        runtime.beat()
        for i, sample in enumerate(found.samples):
            said = predicted[i]
            yield PredictedSample(
                said.labels_HW,
                said.probabilities_KHW,
                said.maps if sample.sample_id in drawn else {},
                said.uncertainty_HW,
                said.overlaps,
                sample=sample,
            )


@dataclass(frozen=True, eq=False)
class _Asked:
    """A batch that a system was asked about."""

    samples: Sequence[Sample]
    """At the target's size."""
    parts: Sequence[tuple[list[int], Sent]]
    """The masks of the samples of one size, and their places in the batch."""


def _ask(
    system: Network,
    target: Target,
    device: torch.device,
    samples: Sequence[Sample],
    batch: Batch,
    input_size: Size,
    precision: Precision,
    tta: TtaConfig | None,
) -> _Asked:
    """Nothing here waits for a GPU."""
    sizes = by_size(sample.labels_HW.shape for sample in samples)
    parts = []
    for size, places in sizes.items():
        part = batch if len(sizes) == 1 else batch.take(places)
        prediction = infer(
            system,
            _read_at(target, part, input_size),
            size,
            input_size=input_size,
            classes=target.dataset.classes,
            tta=tta or TtaConfig(),
            device=device,
            precision=precision,
        )
        truth = None
        if device.type == "cuda":
            truth = _truth([samples[i] for i in places], device)
        parts.append(
            (places, sent(prediction, target.dataset.classes, also=target.needs, truth=truth))
        )
    return _Asked(samples, parts)


def _truth(samples: Sequence[Sample], device: torch.device) -> Truth:
    """Of samples of one size."""

    def there(arrays: Sequence[NDArray[Any]]) -> Tensor:
        return moved(torch.from_numpy(np.stack(arrays)), device)

    ignored = ignored_of(samples)
    return Truth(there([s.labels_HW for s in samples]), None if ignored is None else there(ignored))


def _behind(items: Iterable[T], by: int) -> Iterator[T]:
    """The items in their order, each once so many more of them are made."""
    waiting: deque[T] = deque()
    for item in items:
        waiting.append(item)
        if len(waiting) > by:
            yield waiting.popleft()
    yield from waiting


def _read_at(target: Target, batch: Batch, size: Size) -> Callable[[Size], Batch]:
    """The samples of a batch, of this size, read at any other; the boxes stay where they are."""

    def batch_at(wanted: Size) -> Batch:
        if wanted == size:
            return batch
        read = [target.dataset.load(target.split, i, wanted) for i in batch.sample_ids]
        return replace(collate(read, target.dataset.classes), prompts=batch.prompts)

    return batch_at
