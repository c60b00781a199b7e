"""Trainings on a GPU that is not there: that they run, and what they ask of it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.fake_cuda import fake_cuda
from support.fake_cuda.training import begun, counted_parts
from support.pairs import ours, smallest
from torch import Tensor

from segcore.batch import Batch, Prediction
from segcore.config import TrainConfig
from segcore.data.prompts import PromptConfig
from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.methods import METHODS
from segcore.methods.method import Method
from segcore.systems import SYSTEMS
from segcore.systems.hiera_unet import HieraUnet
from segcore.systems.rgb_encoders.dinov3 import Dinov3Config
from segcore.systems.rgb_encoders.sam2 import build_hiera, build_nano
from segcore.testing.samples import LANDMARKS, noise
from segcore.training import checkpoint
from segcore.training.casts import hold_frozen
from segcore.training.events import Seconds
from segcore.training.loop import Training
from segcore.training.runtime import Runtime, limit_memory
from segcore.training.schedule import Schedule


def one_step(system_name: str, method_name: str) -> TrainConfig:
    """One epoch of one step, in bfloat16."""
    system = smallest(system_name)
    return TrainConfig(
        data=SyntheticLiver(train=2, val=1, test=1, size=64),
        system=system,
        method=Method.named(method_name),
        schedule=Schedule(epochs=1, batch_size=2),
        precision="bfloat16",
        prompts=PromptConfig(source="jittered" if system.takes_prompts else "none"),
    )


def dinov3() -> object:
    """One of the encoders with a pyramid."""
    return Dinov3Config().build(64)


@pytest.mark.slow
@pytest.mark.parametrize("system_name", ours(SYSTEMS))
def test_every_system_trains_and_is_scored_with_every_method(system_name: str) -> None:
    for method_name in ours(METHODS):
        if METHODS[method_name].refusal(SYSTEMS, system_name) is None:
            with fake_cuda() as cuda:
                evaluation = begun(one_step(system_name, method_name), cuda, images=2).advance()
            assert len(evaluation.steps) == 1, method_name


@pytest.mark.parametrize(
    "build",
    [build_nano, lambda: build_hiera("hiera_tiny"), dinov3],
    ids=["nano", "hiera_tiny", "dinov3"],
)
def test_no_encoder_touches_a_gpu_before_it_is_moved_to_one(
    build: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def touched() -> None:
        raise AssertionError("something was computed on the GPU")

    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda._lazy_init", touched)
    build()


def test_a_checkpoint_has_the_gpus_own_random_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, state = one_step("hiera_unet", "frozen"), torch.full((16,), 7).byte()
    given: list[Tensor] = []
    on_a_cpu = Training(config, Runtime()).advance()
    with fake_cuda() as cuda:
        monkeypatch.setattr("torch.cuda.get_rng_state", lambda device: state)
        monkeypatch.setattr("torch.cuda.set_rng_state", lambda state, device: given.append(state))
        assert begun(config, cuda)._last()["device_rng"] is state
        on_a_cpu.save(tmp_path)
        found = checkpoint.load(tmp_path, json.loads((tmp_path / checkpoint.CONFIG).read_text()))
        monkeypatch.setattr(checkpoint, "load", lambda *_: found)
        begun(config, cuda, restore_from=tmp_path)
        assert not given  # one from a CPU goes on with what the GPU has
        found = replace(found, last={**found.last, "device_rng": state})
        begun(config, cuda, restore_from=tmp_path)
        assert given == [state]


def test_deterministic_asks_torch_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr("torch.use_deterministic_algorithms", asked.append)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    with fake_cuda() as cuda:
        begun(one_step("hiera_unet", "frozen"), cuda)
        assert not asked
        begun(replace(one_step("hiera_unet", "frozen"), deterministic=True), cuda)
    assert asked == [True]


@pytest.mark.parametrize(
    "method_name",
    ["lora", *(pytest.param(name, marks=pytest.mark.slow) for name in ("full", "adalora"))],
)
def test_the_host_waits_once_a_step(method_name: str) -> None:
    config = replace(
        one_step("dual_encoder", method_name),
        schedule=Schedule(epochs=4, batch_size=4, microbatch_size=2),
    )
    with fake_cuda() as cuda:
        training = begun(config, cuda, images=12)
        steps = training._train_epoch(1)
        next(steps)  # the optimizer's state is made, and what a frozen encoder sees kept
        with cuda.counting() as counts:
            step = next(steps)
    assert counts.waits.total() == 1, counts.waits
    # By the clock of a device on which a millisecond lies between any two events.
    assert step.seconds == Seconds(
        data=0.002, forward=0.002, backward=0.003, optimizer=0.001, refresh=0.001
    )


@pytest.mark.slow
def test_weft_waits_where_it_has_to_know_and_where_transformers_reads() -> None:
    with fake_cuda() as cuda:
        steps = begun(one_step("weft", "frozen"), cuda, images=4)._train_epoch(1)
        next(steps)
        with cuda.counting() as counts:
            next(steps)
    waits = {place.partition(":")[0]: 0 for place in counts.waits}
    for place, count in counts.waits.items():
        waits[place.partition(":")[0]] += count
    assert waits == {
        "systems/weft/experts.py": 4,  # which experts were chosen: once at each scale
        "systems/weft/head.py": 3,  # inside transformers
        "losses/query_matching.py": 1 + 2 * 6,  # classes of the batch; the matching, inside as well
        "training/loop.py": 1,
    }


def test_a_batch_is_sent_in_bytes() -> None:
    config = one_step("hiera_unet", "full")
    with fake_cuda() as cuda:
        training = begun(config, cuda, images=6)
        steps = training._train_epoch(1)
        next(steps)
        with cuda.counting() as counts:
            next(steps)
    images, side, classes = 2, config.system.image_size, len(training.dataset.classes.names)
    assert counts.copied_bytes - 8 <= images * side**2 * (3 + 1 + classes), "8: loss and norm"
    assert counts.beside_bytes == counts.copied_bytes, "a batch waits for no kernel"


def test_the_next_microbatch_goes_over_while_this_one_is_computed() -> None:
    config = one_step("hiera_unet", "full")
    with fake_cuda() as cuda:
        training = begun(config, cuda, images=6)
        sent: list[int] = []
        steps = training._train_epoch(1)
        for _ in range(3):
            with cuda.counting() as counts:
                next(steps)
            sent.append(counts.beside_bytes)
    assert sent == [2 * sent[1], sent[1], 0]  # the second with the first, none with the last


@pytest.mark.parametrize("method_name", ["frozen", "dora", "srft_galore"])
def test_frozen_weights_in_bfloat16_give_the_digits_of_autocast(method_name: str) -> None:
    config = smallest("dual_encoder")
    torch.manual_seed(0)
    system = config.build(LANDMARKS)
    Method.named(method_name).adapt(system)
    batch = noise(1, config.input_size)
    seen = []
    for _ in range(2):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            seen.append(system.eval()(batch, config.input_size).logits_BKhw)
        for encoder in system.pretrained().values():
            hold_frozen(encoder)
    assert torch.equal(*seen)
    held = [p for p in system.parameters() if p.dtype == torch.bfloat16]
    assert held
    assert not any(p.requires_grad for p in held)


def test_a_step_casts_and_waits_no_more_than_it_does() -> None:
    with fake_cuda() as cuda:
        parts = counted_parts(one_step("dual_encoder", "srft_galore"), cuda)
    # 244 and 117 while autocast did all of it, for frozen weights and norms too.
    assert parts["forward"].casts <= 139
    assert parts["backward"].casts <= 98
    assert parts["forward"].waits.total() == parts["backward"].waits.total() == 0
    assert parts["whole step"].waits.total() <= 4  # three of them are the optimizer's


def test_the_largest_microbatch_that_fits_is_tried_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGTUNE_CACHE", str(tmp_path))
    schedule = Schedule(epochs=1, batch_size=8, microbatch_size="largest")
    config = replace(one_step("hiera_unet", "srft_galore"), schedule=schedule)
    tried: list[int] = []
    real = HieraUnet.forward

    def forward(self: HieraUnet, batch: Batch, *args: Any) -> Prediction:
        tried.append(len(batch))
        if len(batch) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, batch, *args)

    monkeypatch.setattr(HieraUnet, "forward", forward)
    with fake_cuda() as cuda:
        monkeypatch.setattr("torch.cuda.max_memory_allocated", lambda *_: 20e9 * tried[-1])
        training = begun(config, cuda)
        assert (training.microbatch_size, tried) == (2, [8, 4, 2])  # 4 would take all there is
        assert all(p.grad is None for p in training.system.parameters())
        assert begun(config, cuda).microbatch_size == 2
        assert len(tried) == 3
        assert [len(part) for part in training._share(range(5))] == [2, 2, 1]
    assert Training(config, Runtime()).facts.microbatch_size == 1


@pytest.mark.parametrize(("share", "limits"), [(0.25, [0.25]), (1, []), (2, [])])
def test_who_shares_a_gpu_takes_its_share_of_the_memory(
    share: float, limits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_limits: list[float] = []
    monkeypatch.setattr(
        "torch.cuda.set_per_process_memory_fraction", lambda share, device: set_limits.append(share)
    )
    limit_memory(torch.device("cuda:0"), share)
    limit_memory(torch.device("cpu"), share)
    assert set_limits == limits
