"""From samples to batches: the order of an epoch, each worker's share, tensors.

Batches are made in background threads while the network is busy. Nothing here draws from a global
random generator, so that a batch is the same whoever makes it, and when.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segcore.batch import Batch, Modality, Size
from segcore.classes import ClassSpec
from segcore.data.augment import Augment
from segcore.data.dataset import Dataset, Sample, Split
from segcore.data.prompts import Boxes, PromptConfig, seed_of, stack_boxes

T = TypeVar("T")
THREADS = 2
"""Batches that are made at once, and that wait at most, by a worker of up to two CPUs: it trains or
predicts meanwhile. Decoding leaves Python's lock alone."""
MOST_THREADS = 8
"""The same of a worker of many CPUs: threads hold the lock for some tenth of their time."""


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
    size: Size,
    augment: Augment,
    seed: int,
    epoch: int,
    *,
    prompts: PromptConfig | None = None,
    remembers: Modality | None = None,
    for_gpu: bool = False,
    threads: int = THREADS,
) -> Generator[Batch, None, None]:
    """The augmented samples of each microbatch, in order.

    Args:
        dataset: an open data set.
        microbatches: places in the train split.
        size: of the samples.
        augment: what may happen to them.
        seed: of the augmentation and of the boxes' jitter.
        epoch: counted from 1.
        prompts: the boxes that every sample gets, once it is augmented; None: none.
        remembers: what the system keeps features of: hashed where later epochs see it again.
        for_gpu: as of `collate`.
        threads: that make batches.
    """
    hashed = remembers if remembers is not None and augment.repeats(remembers) else None
    ids = dataset.ids("train")

    def make(indices: Sequence[int]) -> Batch:
        samples = [
            augment.apply(dataset.load("train", ids[i], size), seed=seed, epoch=epoch, index=i)
            for i in indices
        ]
        boxes = None
        if prompts is not None:
            drawn = [(seed, epoch, i) for i in indices]
            boxes = [
                prompts.boxes(s, dataset.classes, key, training=True)
                for s, key in zip(samples, drawn, strict=True)
            ]
        return collate(samples, dataset.classes, hashed=hashed, boxes=boxes, for_gpu=for_gpu)

    return ahead((partial(make, indices) for indices in microbatches), threads)


def evaluation_batches(
    dataset: Dataset,
    split: Split,
    size: Size,
    batch_size: int,
    *,
    rank: int,
    world: int,
    prompts: PromptConfig | None = None,
    remembers: Modality | None = None,
    for_gpu: bool = False,
    masks_at: Size | Literal["input"] | None = "input",
    threads: int = THREADS,
) -> Generator[tuple[list[Sample], Batch], None, None]:
    """A worker's share of a split: as they are, no image twice, none missing over the workers.

    All slices of a case go to one worker, one after another. `for_gpu` is as of `collate`,
    `threads` as of `training_batches`; `masks_at` is the size of the samples that come beside each
    batch, None for their own.
    """
    cases = cases_of(dataset, split)
    ids = [i for case in list(cases)[rank::world] for i in cases[case]]

    def make(start: int) -> tuple[list[Sample], Batch]:
        chosen = ids[start : start + batch_size]
        samples = [dataset.load(split, i, size) for i in chosen]
        boxes = None
        if prompts is not None:  # the same at every evaluation, whoever shares in it
            boxes = [
                prompts.boxes(s, dataset.classes, seed_of(s.sample_id), training=False)
                for s in samples
            ]
        made = collate(samples, dataset.classes, hashed=remembers, boxes=boxes, for_gpu=for_gpu)
        if masks_at != "input":
            samples = [dataset.load(split, i, masks_at) for i in chosen]
        return samples, made

    return ahead((partial(make, start) for start in range(0, len(ids), batch_size)), threads)


def loading_threads(cpus: int) -> int:
    """Threads that make batches for a worker of so many CPUs."""
    return min(max(THREADS, cpus), MOST_THREADS)


def on_device(
    batches: Iterable[Batch], device: torch.device, beside: torch.cuda.Stream | None
) -> Generator[Batch, None, None]:
    """The batches in their order, on a device.

    To a GPU the next one goes while this one is computed with, on a stream beside: its copies wait
    for none of the kernels that are launched meanwhile. What is computed with a batch waits for the
    batch.

    Args:
        batches: on the host.
        device: to which they go.
        beside: one stream for a whole training, since memory that was one stream's is not given to
            another; None: the device is none that has streams.
    """
    if beside is None:
        for batch in batches:
            yield batch.to(device)
        return
    coming: deque[tuple[Batch, torch.cuda.Event]] = deque()
    for batch in batches:
        with torch.cuda.stream(beside):
            coming.append((batch.to(device), beside.record_event()))
        if len(coming) > 1:
            yield _arrived(*coming.popleft())
    while coming:
        yield _arrived(*coming.popleft())


def _arrived(batch: Batch, there: torch.cuda.Event) -> Batch:
    """A batch that the kernels launched from now on wait for; the host does not."""
    computing = torch.cuda.current_stream(batch.image_B3HW.device)
    computing.wait_event(there)
    for tensor in batch.tensors().values():
        tensor.record_stream(computing)  # its memory is another stream's
    return batch


def ahead(
    jobs: Iterable[Callable[[], T]], threads: int = THREADS, most: int | None = None
) -> Generator[T, None, None]:
    """What the jobs return, in their order; the next ones are done while the caller is busy.

    A job's exception is raised in its place. Close it to drop jobs that nobody waits for any more.

    Args:
        jobs: asked for one by one, in the caller's thread.
        threads: that do them; 0: the caller does each when its result is asked for.
        most: jobs that are at work or whose results wait; None: as many as there are threads.
    """
    if not threads:
        for job in jobs:
            yield job()
        return
    most = threads if most is None else most
    with ThreadPoolExecutor(threads, thread_name_prefix="ahead") as pool:
        waiting: deque[Future[T]] = deque()
        try:
            for job in jobs:
                waiting.append(pool.submit(job))
                if len(waiting) > most:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def cases_of(dataset: Dataset, split: Split) -> dict[str, list[str]]:
    """The samples of each case of a split, both in the split's order."""
    sources = dataset.sources(split)
    cases: dict[str, list[str]] = {}
    for sample_id in dataset.ids(split):
        cases.setdefault(sources[sample_id].case_id or sample_id, []).append(sample_id)
    return cases


def collate(
    samples: Sequence[Sample],
    classes: ClassSpec,
    *,
    hashed: Modality | None = None,
    boxes: Sequence[Boxes] | None = None,
    for_gpu: bool = False,
) -> Batch:
    """Stack samples of one size into tensors.

    Args:
        samples: of one batch.
        classes: of their labels.
        hashed: what the batch brings hashes of.
        boxes: of each sample; None: no prompts.
        for_gpu: in bytes and in page-locked memory, to be sent to one.
    """
    # In NumPy: torch would start a pool of threads of its own in each thread that makes batches.
    levels = torch.from_numpy if for_gpu else _unit
    image_BHW3 = levels(np.stack([s.image_HW3 for s in samples]))
    labels_BHW = np.stack([s.labels_HW for s in samples])
    depths = [s.depth_HW for s in samples if s.depth_HW is not None]
    depth_B1HW = None
    if len(depths) == len(samples):
        depth_B1HW = levels(np.stack(depths)[:, None])
    targets_BKHW = classes.targets(labels_BHW)
    ignored = ignored_of(samples)
    batch = Batch(
        image_B3HW=image_BHW3.permute(0, 3, 1, 2),
        target_BKHW=torch.from_numpy(targets_BKHW.astype(np.uint8) if for_gpu else targets_BKHW),
        sample_ids=tuple(s.sample_id for s in samples),
        patient_ids=tuple(s.patient_id for s in samples),
        depth_B1HW=depth_B1HW,
        prompts=None if boxes is None else stack_boxes(boxes),
        ignore_B1HW=None if ignored is None else torch.from_numpy(np.stack(ignored)[:, None]),
        image_hashes=_hashes([s.image_HW3 for s in samples]) if hashed == "image" else None,
        depth_hashes=_hashes(depths) if hashed == "depth" and depth_B1HW is not None else None,
    )
    return batch.pinned() if for_gpu else batch


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


def ignored_of(samples: Sequence[Sample]) -> list[NDArray[np.bool_]] | None:
    """Where nobody knows the truth of each of some samples of one size; None where none has such
    pixels."""
    if all(s.ignore_HW is None for s in samples):
        return None
    nowhere = np.zeros(samples[0].labels_HW.shape, bool)
    return [nowhere if s.ignore_HW is None else s.ignore_HW for s in samples]
