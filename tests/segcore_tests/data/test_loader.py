"""Batches are the same whoever makes them and when, and are made ahead of time."""

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch

from segcore.batch import Batch
from segcore.classes import ClassSpec
from segcore.data.augment import Augment
from segcore.data.dataset import Dataset, Sample
from segcore.data.loader import (
    THREADS,
    ahead,
    collate,
    evaluation_batches,
    shares,
    training_batches,
)
from segcore.data.sets.synthetic_liver import SyntheticLiver

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("scenes") / "s"
    return SyntheticLiver(train=12, val=5, test=2, size=64, root=str(root)).open()


def samples(exclusive: bool, depth: bool) -> list[Sample]:
    rng = np.random.default_rng(0)

    def one(n: int) -> Sample:
        return Sample(
            sample_id=f"s{n}",
            patient_id="p",
            case_id=f"s{n}",
            image_HW3=rng.integers(0, 256, (24, 24, 3), np.uint8),
            labels_HW=rng.integers(0, 4 if exclusive else 8, (24, 24), np.uint8),
            depth_HW=rng.integers(0, 256, (24, 24), np.uint8) if depth else None,
        )

    return [one(n) for n in range(3)]


@pytest.mark.parametrize("depth", [True, False])
def test_levels_become_what_torch_makes_of_them(depth: bool) -> None:
    chosen = samples(exclusive=True, depth=depth)
    batch = collate(chosen, ClassSpec(("background", "a", "b", "c"), exclusive=True))
    image = torch.from_numpy(np.stack([s.image_HW3 for s in chosen]))
    expected = image.permute(0, 3, 1, 2).float() / 255
    assert torch.equal(batch.image_B3HW, expected)
    assert batch.image_B3HW.stride() == expected.stride()  # kernels depend on the layout
    labels = torch.from_numpy(np.stack([s.labels_HW for s in chosen])).long()
    one_hot = torch.nn.functional.one_hot(labels, 4).permute(0, 3, 1, 2).float()
    assert torch.equal(batch.target_BKHW, one_hot)
    assert (batch.depth_B1HW is not None) == depth
    assert batch.sample_ids == ("s0", "s1", "s2")


def test_classes_that_overlap_are_bits() -> None:
    chosen = samples(exclusive=False, depth=False)
    target = collate(chosen, ClassSpec(("a", "b", "c"), exclusive=False)).target_BKHW
    labels = np.stack([s.labels_HW for s in chosen])
    for k in range(3):
        np.testing.assert_array_equal(target[:, k].numpy(), labels // 2**k % 2)


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("depth", [True, False])
def test_bytes_on_their_way_to_a_gpu_become_the_same_digits(
    exclusive: bool, depth: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned: list[torch.Tensor] = []

    def pin(x: torch.Tensor) -> torch.Tensor:
        pinned.append(x)
        return x

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    chosen = samples(exclusive=exclusive, depth=depth)
    classes = ClassSpec(("background", "a", "b", "c")[not exclusive :], exclusive=exclusive)
    expected, sent = collate(chosen, classes), collate(chosen, classes, for_gpu=True)
    assert {x.dtype for x in pinned} == {torch.uint8}
    assert len(pinned) == 2 + depth
    arrived = sent.to(CPU)
    for one, other in ((expected, arrived), (expected.take([0, 2]), sent.take([0, 2]).to(CPU))):
        assert torch.equal(one.image_B3HW, other.image_B3HW)
        assert one.image_B3HW.stride() == other.image_B3HW.stride()
        assert torch.equal(one.target_BKHW, other.target_BKHW)
        assert (one.depth_B1HW is None) == (other.depth_B1HW is None) == (not depth)
        if one.depth_B1HW is not None and other.depth_B1HW is not None:
            assert torch.equal(one.depth_B1HW, other.depth_B1HW)


def epoch(data: Dataset, microbatches: list[list[int]]) -> list[Batch]:
    return list(training_batches(data, microbatches, (32, 32), Augment(), seed=1, epoch=2))


def test_a_sample_is_the_same_in_any_batch(data: Dataset) -> None:
    one_by_one = epoch(data, [[i] for i in range(12)])
    together = epoch(data, [[7, 3, 0], [11]])
    for batch, row, place in ((0, 0, 7), (0, 1, 3), (0, 2, 0), (1, 0, 11)):
        alone = one_by_one[place]
        assert together[batch].sample_ids[row] == alone.sample_ids[0]
        assert torch.equal(together[batch].image_B3HW[row], alone.image_B3HW[0])
        assert torch.equal(together[batch].target_BKHW[row], alone.target_BKHW[0])


def test_global_random_numbers_are_left_alone(data: Dataset) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    all_of_it = Augment(rotate=1.0, flip_axis="either")
    first = list(training_batches(data, [[0, 1]], (32, 32), all_of_it, seed=1, epoch=2))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(4)
    again = list(training_batches(data, [[0, 1]], (32, 32), all_of_it, seed=1, epoch=2))
    assert torch.equal(first[0].image_B3HW, again[0].image_B3HW)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_workers_evaluate_each_image_once(data: Dataset, world: int) -> None:
    seen = [
        sample.sample_id
        for rank in range(world)
        for chosen, batch in evaluation_batches(data, "val", (32, 32), 2, rank=rank, world=world)
        for sample in chosen
        if sample.sample_id in batch.sample_ids
    ]
    assert sorted(seen) == sorted(data.ids("val"))


def test_shares_are_a_partition() -> None:
    batch = [9, 4, 7, 1, 0]
    for world in (1, 2, 3, 7):
        parts = shares(batch, world, microbatch_size=2)
        assert sorted(i for worker in parts for micro in worker for i in micro) == sorted(batch)


def test_results_come_in_order_and_ahead_of_time() -> None:
    begun: list[int] = []
    released = threading.Event()

    def job(n: int) -> Callable[[], int]:
        def work() -> int:
            begun.append(n)
            if n == 0:
                released.wait(10)
            return n

        return work

    results = ahead(job(n) for n in range(6))
    waiter = threading.Timer(0.2, released.set)
    waiter.start()
    assert next(results) == 0
    deadline = time.monotonic() + 10
    while len(begun) < 1 + THREADS and time.monotonic() < deadline:
        time.sleep(0.01)
    assert set(begun) == set(range(1 + THREADS))  # ahead, and no further
    assert list(results) == [1, 2, 3, 4, 5]


def test_an_error_comes_in_its_place_and_ends_it() -> None:
    done: list[int] = []

    def job(n: int) -> Callable[[], int]:
        def work() -> int:
            if n == 2:
                raise OSError("frame 2 has gone")
            done.append(n)
            return n

        return work

    results = ahead(job(n) for n in range(50))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(OSError, match="frame 2"):
        next(results)
    assert len(done) < 10


def test_nobody_waits_for_what_nobody_wants() -> None:
    before = threading.active_count()
    results = ahead((lambda: 1) for _ in range(1000))
    assert next(results) == 1
    results.close()
    assert threading.active_count() == before


def test_threads_that_load_at_once_keep_each_sample_once(data: Dataset) -> None:
    ids = list(data.ids("train")) * 4
    loaded = list(ahead(lambda i=i: data.load("train", i, (48, 48)) for i in ids))  # type: ignore[misc]
    assert [s.sample_id for s in loaded] == ids
    again = [data.load("train", i, (48, 48)) for i in ids]
    assert all(a is b for a, b in zip(again, again[12:], strict=False))
