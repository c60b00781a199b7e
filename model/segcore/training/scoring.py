"""Score a system over a split: each image once, over all workers, whatever their number."""

import io
from collections.abc import Iterable, Iterator
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field
from pydantic.dataclasses import dataclass

from segcore.batch import ClassSpec
from segcore.data.dataset import DataConfig, Dataset, Sample, Split
from segcore.data.loader import evaluation_batches
from segcore.metrics import score_masks
from segcore.registry import STRICT
from segcore.systems.system import System
from segcore.training.events import ImageScore, Picture
from segcore.training.runtime import Runtime

PICTURES = 4
"""Samples of a split that are kept as pictures."""
CLASS_COLOURS = ((230, 75, 53), (0, 160, 135), (60, 84, 200), (243, 155, 52), (145, 97, 177))
"""Of the foreground classes in the pictures, in their order; repeated where there are more."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EvaluationConfig:
    """What the best epoch is looked at with, once, beside the test split at the system's size."""

    external: DataConfig | None = None
    """Another data set, of the same classes: its test split is scored as split `external`."""
    resolutions: tuple[Annotated[int, Field(ge=16, le=8192)], ...] = ()
    """Further sizes at which test and external are predicted and scored, pixels. The system sees
    its own size; only what it predicts, and the truth, are of this one."""

    def __post_init__(self) -> None:
        if len(set(self.resolutions)) < len(self.resolutions):
            raise ValueError(f"resolutions = {self.resolutions}: each must stand once")


def predict_labels(
    system: System,
    dataset: Dataset,
    split: Split,
    size: int,
    batch_size: int,
    runtime: Runtime,
    *,
    resolution: int | None = None,
) -> Iterator[tuple[Sample, NDArray[np.uint8]]]:
    """This worker's samples of a split with the predicted labels (H, W) of each, batch by batch.

    Labels as in `Sample.labels_HW`: class indices, or one bit per class.

    Args:
        system: what predicts.
        dataset: where the samples are from.
        split: which of them.
        size: side of the image that the system sees, pixels.
        batch_size: samples at once.
        runtime: device and share of this worker.
        resolution: side of the predicted labels and of the samples given back; None is `size`.
    """
    resolution = resolution or size
    system.eval()
    device = runtime.device
    batches = evaluation_batches(
        dataset,
        split,
        size,
        batch_size,
        rank=runtime.rank,
        world=runtime.world,
        remembers=system.remembers,
    )
    for samples, batch in batches:
        autocast = torch.autocast(
            device.type, torch.bfloat16, enabled=runtime.precision == "bfloat16"
        )
        with torch.inference_mode(), autocast:  # closed before anything is handed out
            logits_BKHW = system(batch.to(device), resolution).logits_BKhw.float()
            labels_BHW = _labels(logits_BKHW, dataset.classes)
        runtime.beat()
        if resolution != size:
            samples = [dataset.load(split, s.sample_id, resolution) for s in samples]
        yield from zip(samples, labels_BHW, strict=True)


def _labels(logits_BKHW: torch.Tensor, classes: ClassSpec) -> NDArray[np.uint8]:
    if classes.exclusive:
        labels_BHW = logits_BKHW.argmax(1)
    else:
        bit_K11 = 2 ** torch.arange(len(classes.names), device=logits_BKHW.device)[:, None, None]
        labels_BHW = ((logits_BKHW > 0) * bit_K11).sum(1)
    return labels_BHW.to(torch.uint8).cpu().numpy()


def score_images(
    predictions: Iterable[tuple[Sample, NDArray[np.uint8]]],
    dataset: Dataset,
    split: Split,
    runtime: Runtime,
    *,
    name: str | None = None,
    every_protocol: bool = False,
) -> list[ImageScore]:
    """Every metric of every image of the split, from all workers, in the split's order.

    Args:
        predictions: what `predict_labels` gives; each is let go once it is scored.
        dataset: of the samples.
        split: of the samples.
        runtime: gathers from all workers.
        name: the split's name in the results; None is its own.
        every_protocol: as in `score_masks`.
    """
    scores = [
        ImageScore(
            split=name or split,
            resolution=sample.labels_HW.shape[0],
            sample_id=sample.sample_id,
            patient_id=sample.patient_id,
            class_name=m.class_name,
            metric=m.metric,
            protocol=m.protocol,
            value=m.value,
        )
        for sample, labels in predictions
        for m in score_masks(
            labels, sample.labels_HW, dataset.classes, every_protocol=every_protocol
        )
    ]
    place = {sample_id: i for i, sample_id in enumerate(dataset.ids(split))}
    return sorted(runtime.gather(scores), key=lambda s: place[s.sample_id])


def pictured(dataset: Dataset, split: Split) -> set[str]:
    """The same few samples for every training: spread evenly over the split."""
    ids = dataset.ids(split)
    return {ids[i * len(ids) // PICTURES] for i in range(min(PICTURES, len(ids)))}


def draw_pictures(
    predictions: Iterable[tuple[Sample, NDArray[np.uint8]]],
    dataset: Dataset,
    split: Split,
    runtime: Runtime,
    *,
    name: str | None = None,
) -> list[Picture]:
    """Pictures of some samples, in the split's order.

    Arguments as in `score_images`.
    """
    ids = list(dataset.ids(split))
    pictures = []
    for sample, labels_HW in predictions:
        arrays = {
            "image": sample.image_HW3,
            "depth": sample.depth_HW,
            "truth": _colour(sample.labels_HW, dataset.classes),
            "prediction": _colour(labels_HW, dataset.classes),
        }
        pictures += [
            Picture(name or split, sample.sample_id, kind, _png(array))
            for kind, array in arrays.items()
            if array is not None
        ]
    return sorted(runtime.gather(pictures), key=lambda p: ids.index(p.sample_id))


def _colour(labels_HW: NDArray[np.uint8], classes: ClassSpec) -> NDArray[np.uint8]:
    out_HW3 = np.zeros((*labels_HW.shape, 3), np.uint8)
    for k in range(len(classes.foreground)):
        mask_HW = labels_HW == k + 1 if classes.exclusive else (labels_HW >> k) & 1 == 1
        out_HW3[mask_HW] = CLASS_COLOURS[k % len(CLASS_COLOURS)]
    return out_HW3


def _png(array: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG", optimize=True)
    return file.getvalue()
