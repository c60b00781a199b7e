"""From samples to batches: the order of an epoch, each worker's share, tensors."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from segcore.batch import Batch, ClassSpec
from segcore.data.augment import Augment
from segcore.data.dataset import Dataset, Sample, Split


def epoch_order(samples: int, *, seed: int, epoch: int) -> list[int]:
    """The order in which an epoch visits the samples; the same on every worker."""
    return [int(i) for i in np.random.default_rng((seed, epoch)).permutation(samples)]


def shares(batch: Sequence[int], world: int, microbatch_size: int | None) -> list[list[list[int]]]:
    """Split a global batch into microbatches for each worker: every index exactly once.

    A worker's share may be empty where the batch is smaller than the number of workers.
    """
    out = []
    for rank in range(world):
        share = list(batch[rank::world])
        size = microbatch_size or max(1, len(share))
        out.append([share[i : i + size] for i in range(0, len(share), size)])
    return out


def training_batch(
    dataset: Dataset, indices: Sequence[int], size: int, augment: Augment, seed: int, epoch: int
) -> Batch:
    """The augmented samples of a microbatch."""
    ids = dataset.ids("train")
    samples = [
        augment.apply(dataset.load("train", ids[i], size), seed=seed, epoch=epoch, index=i)
        for i in indices
    ]
    return collate(samples, dataset.classes)


def evaluation_batches(
    dataset: Dataset, split: Split, size: int, batch_size: int, *, rank: int, world: int
) -> Iterator[tuple[list[Sample], Batch]]:
    """A worker's share of a split: as they are, no image twice, none missing over the workers."""
    ids = list(dataset.ids(split))[rank::world]
    for start in range(0, len(ids), batch_size):
        samples = [dataset.load(split, i, size) for i in ids[start : start + batch_size]]
        yield samples, collate(samples, dataset.classes)


def collate(samples: Sequence[Sample], classes: ClassSpec) -> Batch:
    """Stack samples of one size into tensors."""
    image_BHW3 = torch.from_numpy(np.stack([s.image_HW3 for s in samples]))
    labels_BHW = torch.from_numpy(np.stack([s.labels_HW for s in samples]))
    depths = [s.depth_HW for s in samples if s.depth_HW is not None]
    depth_BHW = torch.from_numpy(np.stack(depths)) if len(depths) == len(samples) else None
    return Batch(
        image_B3HW=image_BHW3.permute(0, 3, 1, 2).float() / 255,
        target_BKHW=_targets(labels_BHW, classes),
        sample_ids=tuple(s.sample_id for s in samples),
        patient_ids=tuple(s.patient_id for s in samples),
        depth_B1HW=None if depth_BHW is None else depth_BHW[:, None].float() / 255,
    )


def _targets(labels_BHW: Tensor, classes: ClassSpec) -> Tensor:
    k = torch.arange(len(classes.names), dtype=torch.uint8)[None, :, None, None]
    labels_B1HW = labels_BHW[:, None]
    mask = labels_B1HW == k if classes.exclusive else (labels_B1HW >> k) & 1
    return mask.float()
