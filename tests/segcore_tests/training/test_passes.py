"""Forward and backward passes: which trainings a GPU replays, and what happens where it cannot."""

import dataclasses
import warnings
from typing import Any

import pytest
import torch
from support.pairs import smallest

from segcore.config import TrainConfig
from segcore.data.augment import Augment
from segcore.data.prompts import PromptConfig
from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.methods.method import Method
from segcore.testing.samples import LANDMARKS, noise
from segcore.training.loop import Training
from segcore.training.passes import WARM, Passes, ReplayedPasses, passes
from segcore.training.runtime import Runtime
from segcore.training.schedule import Schedule
from segtune import apply

GPU = torch.device("cuda:0")


def config(system: str = "dual_encoder", method: str = "full", **settings: Any) -> TrainConfig:
    chosen = smallest(system)
    whole = TrainConfig(
        data=SyntheticLiver(train=9, val=1, test=1),
        augment=Augment(rotate=0.5),  # else features of frozen encoders are kept
        system=chosen,
        method=Method.named(method),
        schedule=Schedule(epochs=1, batch_size=2, microbatch_size=1, warmup_steps=0),
        prompts=PromptConfig(source="jittered" if chosen.takes_prompts else "none"),
    )
    return dataclasses.replace(whole, **settings)


@pytest.mark.parametrize(
    ("wanted", "settings", "runtime", "why"),
    [
        (ReplayedPasses, {}, {"device": GPU}, "its passes are the same at every step"),
        (Passes, {}, {}, "a CPU has no graphs"),
        (Passes, {"cuda_graphs": False}, {"device": GPU}, "not asked for"),
        (Passes, {"system": "weft"}, {"device": GPU}, "its experts are chosen step by step"),
        (Passes, {}, {"device": GPU, "world": 2}, "workers send gradients meanwhile"),
        (Passes, {"system.loss": "boundary"}, {"device": GPU}, "its distances are the host's"),
        (Passes, {"gradient_checkpointing": True}, {"device": GPU}, "reads random states"),
        (
            Passes,
            {"method": "srft_galore", "method.refresh_from": "previous"},
            {"device": GPU},
            "gradients are freed in the backward pass",
        ),
    ],
)
def test_a_gpu_replays_passes_where_that_gives_the_same_numbers(
    wanted: type[Passes], settings: dict[str, Any], runtime: dict[str, Any], why: str
) -> None:
    changes = dict(settings)
    chosen = apply(config(changes.pop("system", "dual_encoder")), changes)
    training = Training(chosen, Runtime())
    found = passes(training.system, training.updater, chosen, Runtime(**runtime))
    assert type(found) is wanted, why


@pytest.mark.parametrize("fits", [True, False])
def test_where_passes_cannot_be_captured_they_are_launched_to_the_same_numbers(
    fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ReplayedPasses, "_fits", lambda _: fits)
    launched, refused = Training(config(), Runtime()), Training(config(), Runtime())
    refused.passes = ReplayedPasses(
        refused.system, refused.updater, refused.config, refused.runtime.device
    )
    expected = [step.loss for step in launched._train_epoch(1)]
    assert len(expected) * 2 > WARM
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        assert [step.loss for step in refused._train_epoch(1)] == expected
    said = [w for w in found if "launched kernel by kernel" in str(w.message)]
    assert len(said) == fits, "once, and not where there is no room"


def test_a_batch_in_memory_of_its_own_has_all_that_the_first_had() -> None:
    batch = noise(2, (8, 8), LANDMARKS)
    own = batch.each(torch.clone)
    assert own.prompts is not None
    assert own.sample_ids == batch.sample_ids
    assert own.tensors().keys() == batch.tensors().keys() >= {"prompts.boxes_BN4", "depth_B1HW"}
    for name, x in batch.tensors().items():
        assert torch.equal(own.tensors()[name], x), name
        assert own.tensors()[name].data_ptr() != x.data_ptr(), name
