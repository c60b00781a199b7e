"""From samples to batches: the order of an epoch, each worker's share, tensors.

Batches are made in background threads while the network is busy. Nothing here draws from a global
random generator, so that a batch is the same whoever makes it, and when.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segcore.batch import Batch, ClassSpec, Part
from segcore.data.augment import Augment
from segcore.data.dataset import Dataset, Sample, Split

T = TypeVar("T")
THREADS = 2
"""Batches that are made at once, and that wait at most. Decoding leaves Python's lock alone."""


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


def training_batches(
    dataset: Dataset,
    microbatches: Iterable[Sequence[int]],
    size: int,
    augment: Augment,
    seed: int,
    epoch: int,
    *,
    remembers: Part | None = None,
) -> Generator[Batch, None, None]:
    """The augmented samples of each microbatch, in order.

    Args:
        dataset: an open data set.
        microbatches: places in the train split.
        size: side of the samples, pixels.
        augment: what may happen to them.
        seed: of the augmentation.
        epoch: counted from 1.
        remembers: what the system keeps features of: hashed where later epochs see it again.
    """
    hashed = remembers if remembers is not None and augment.repeats(remembers) else None
    ids = dataset.ids("train")

    def make(indices: Sequence[int]) -> Batch:
        samples = [
            augment.apply(dataset.load("train", ids[i], size), seed=seed, epoch=epoch, index=i)
            for i in indices
        ]
        return collate(samples, dataset.classes, hashed=hashed)

    return ahead(partial(make, indices) for indices in microbatches)


def evaluation_batches(
    dataset: Dataset,
    split: Split,
    size: int,
    batch_size: int,
    *,
    rank: int,
    world: int,
    remembers: Part | None = None,
) -> Generator[tuple[list[Sample], Batch], None, None]:
    """A worker's share of a split: as they are, no image twice, none missing over the workers."""
    ids = list(dataset.ids(split))[rank::world]

    def make(start: int) -> tuple[list[Sample], Batch]:
        samples = [dataset.load(split, i, size) for i in ids[start : start + batch_size]]
        return samples, collate(samples, dataset.classes, hashed=remembers)

    return ahead(partial(make, start) for start in range(0, len(ids), batch_size))


def ahead(jobs: Iterable[Callable[[], T]]) -> Generator[T, None, None]:
    """What the jobs return, in their order; the next ones are done while the caller is busy.

    A job's exception is raised in its place. Close it to drop jobs that nobody waits for any more.
    """
    with ThreadPoolExecutor(THREADS, thread_name_prefix="data") as pool:
        waiting: deque[Future[T]] = deque()
        try:
            for job in jobs:
                waiting.append(pool.submit(job))
                if len(waiting) > THREADS:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def collate(samples: Sequence[Sample], classes: ClassSpec, *, hashed: Part | None = None) -> Batch:
    """Stack samples of one size into tensors.

    Args:
        samples: of one batch.
        classes: of their labels.
        hashed: what the batch brings hashes of.
    """
    # In NumPy: torch would start a pool of threads of its own in each thread that makes batches.
    image_BHW3 = _unit(np.stack([s.image_HW3 for s in samples]))
    labels_BHW = np.stack([s.labels_HW for s in samples])
    depths = [s.depth_HW for s in samples if s.depth_HW is not None]
    depth_B1HW = None
    if len(depths) == len(samples):
        depth_B1HW = _unit(np.stack(depths)[:, None])
    return Batch(
        image_B3HW=image_BHW3.permute(0, 3, 1, 2),
        target_BKHW=torch.from_numpy(_targets(labels_BHW, classes)),
        sample_ids=tuple(s.sample_id for s in samples),
        patient_ids=tuple(s.patient_id for s in samples),
        depth_B1HW=depth_B1HW,
        image_hashes=_hashes([s.image_HW3 for s in samples]) if hashed == "image" else None,
        depth_hashes=_hashes(depths) if hashed == "depth" and depth_B1HW is not None else None,
    )


def _hashes(arrays: Sequence[NDArray[np.uint8]]) -> tuple[str, ...]:
    """Of sizes and pixels, not of names: nobody who changes pixels can forget to say so."""

    def name(array: NDArray[np.uint8]) -> str:
        digest = hashlib.sha256(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    return tuple(map(name, arrays))


def _unit(levels: NDArray[np.uint8]) -> Tensor:
    """Levels from 0 to 255 in [0, 1]."""
    return torch.from_numpy(np.divide(levels, np.float32(255), dtype=np.float32))


def _targets(labels_BHW: NDArray[np.uint8], classes: ClassSpec) -> NDArray[np.float32]:
    k = np.arange(len(classes.names), dtype=np.uint8)[None, :, None, None]
    labels_B1HW = labels_BHW[:, None]
    mask = labels_B1HW == k if classes.exclusive else labels_B1HW >> k & 1
    return mask.astype(np.float32)
