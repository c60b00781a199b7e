"""What each of several workers hands over during a step, and when: the others are not there."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from torch import Tensor

from segcore.config import TrainConfig
from segcore.methods import updater
from segcore.methods.galore import SrftGalore
from segcore.methods.method import Method
from segcore.training.events import Step
from segcore.training.loop import Training
from segcore.training.runtime import Runtime
from segcore.training.schedule import Schedule
from srft_galore import AllReduce, Broadcast, Reducer
from srft_galore.parallel.collectives import Message

RELEASED = SrftGalore(rank=4, update_proj_gap=2, oversample=2, refresh_from="previous")


class Alone(AllReduce):
    """Sums with workers that have nothing to add."""

    def __init__(self) -> None:
        super().__init__()
        self.phase = ""
        self.sent: list[tuple[str, int]] = []

    def begin(self, tensors: Sequence[Tensor]) -> list[Message]:
        size = sum(tensor.nbytes for tensor in tensors)
        self.nbytes += size
        self.sent.append((self.phase, size))
        return [Message([tensor]) for tensor in tensors]


class Unanswered(Broadcast):
    """What the other workers would have sent is zero."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self._rank = rank

    def __call__(self, tensors: Sequence[Tensor], source: int = 0) -> None:
        self.nbytes += sum(tensor.nbytes for tensor in tensors)
        for tensor in tensors if source != self._rank else ():
            tensor.zero_()


def trained(
    config: TrainConfig, runtime: Runtime, monkeypatch: pytest.MonkeyPatch, epochs: int = 1
) -> tuple[Training, list[Step], list[list[tuple[str, int]]]]:
    """The steps of some epochs, and of each the messages with the phase in which they began."""
    monkeypatch.setattr(updater, "Reducer", partial(Reducer, bucket=2**16))
    training = Training(config, runtime)
    alone: Any = runtime.all_reduce
    microbatches = 0

    def forward(*_: Any) -> None:
        nonlocal microbatches
        microbatches += 1
        alone.phase = f"microbatch {microbatches}"

    training.system.register_forward_hook(forward)
    finish, messages, steps = training.updater.reduce_and_clip, [], []

    def after(loss: Tensor, clip_norm: float | None) -> Tensor:
        alone.phase = "after"
        return finish(loss, clip_norm)

    monkeypatch.setattr(training.updater, "reduce_and_clip", after)
    for epoch in range(epochs):
        for step in training._train_epoch(epoch + 1):
            steps.append(step)
            messages.append(alone.sent)
            alone.sent, microbatches = [], 0
    return training, steps, messages


def worker(rank: int, world: int) -> Runtime:
    return Runtime(rank=rank, world=world, all_reduce=Alone(), broadcast=Unanswered(rank))


@pytest.mark.parametrize("method", [Method.named("full"), RELEASED], ids=["full", "released"])
def test_gradients_are_sent_during_the_last_backward_pass_of_a_step(
    tiny: TrainConfig, method: Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = dataclasses.replace(tiny.schedule, microbatch_size=1)
    config = dataclasses.replace(tiny, schedule=schedule, method=method)
    _, steps, messages = trained(config, worker(0, 2), monkeypatch)
    assert [step.images for step in steps] == [4, 2]
    for sent, last in zip(messages, ("microbatch 2", "microbatch 1"), strict=True):
        *early, end = [phase for phase, _ in sent]
        assert len(early) > 1
        assert (set(early), end) == ({last}, "after")
        in_time = sum(size for phase, size in sent if phase != "after")
        assert in_time > 0.8 * sum(size for _, size in sent)


def test_a_worker_without_a_sample_sends_the_same_messages(
    tiny: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second step has two images for four workers."""
    config = dataclasses.replace(tiny, method=RELEASED)
    first, last = (trained(config, worker(rank, 4), monkeypatch)[2] for rank in (0, 3))
    assert {phase for phase, _ in last[1]} == {"after"}
    for a, b in zip(first, last, strict=True):
        assert [size for _, size in a] == [size for _, size in b]


@pytest.mark.parametrize("method", [Method.named("lora"), RELEASED], ids=["lora", "released"])
def test_bytes_are_those_that_are_foretold(
    tiny: TrainConfig, method: Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which `segtune show` says: the mean over an interval of two steps."""
    schedule = Schedule(epochs=4, batch_size=6, warmup_steps=1)
    config = dataclasses.replace(tiny, method=method, schedule=schedule)
    training, steps, _ = trained(config, worker(0, 2), monkeypatch, epochs=4)
    sent = [step.reduced_bytes for step in steps]
    assert sum(sent[2:]) / 2 == training.updater.bytes_to_sum()
    projects = method is RELEASED
    assert training.updater.sends_projections == projects
    gradients = 4 + sum(p.nbytes for p in training.updater.trained)
    assert (sum(sent[2:]) / 2 < 0.5 * gradients) == projects


def test_one_worker_sends_nothing(tiny: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    _, steps, messages = trained(tiny, worker(0, 1), monkeypatch)
    assert messages == [[]] * len(steps)
    assert [step.reduced_bytes for step in steps] == [0] * len(steps)
