"""Passes that a GPU replays: captured where they can be, to the losses of launched ones."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.pairs import ours, smallest

from segcore.config import TrainConfig
from segcore.data.augment import Augment
from segcore.data.prompts import PromptConfig
from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.methods import METHODS
from segcore.methods.method import Method
from segcore.systems import SYSTEMS
from segcore.training.loop import Training
from segcore.training.passes import WARM, ReplayedPasses
from segcore.training.runtime import Runtime
from segcore.training.schedule import Schedule

pytestmark = [pytest.mark.gpu, pytest.mark.slow]


def training(
    system_name: str, method_name: str, folder: Path, device: torch.device, **settings: Any
) -> Training:
    """Of two epochs of four steps, the last of which has one image, in two microbatches each."""
    system = smallest(system_name)
    config = TrainConfig(
        data=SyntheticLiver(train=13, val=1, test=1, size=64, root=str(folder)),
        system=system,
        method=Method.named(method_name),
        schedule=Schedule(epochs=2, batch_size=4, microbatch_size=2, warmup_steps=0),
        augment=Augment(rotate=0.5),  # else features of frozen encoders are kept
        precision="bfloat16",
        prompts=PromptConfig(source="jittered" if system.takes_prompts else "none"),
    )
    return Training(replace(config, **settings), Runtime(device=device))


def losses(training: Training) -> list[float]:
    """Of each step of two epochs."""
    return [step.loss for epoch in (1, 2) for step in training._train_epoch(epoch)]


@pytest.mark.parametrize("method_name", ["full", "adalora", "srft_galore"])
@pytest.mark.parametrize("system_name", ours(SYSTEMS))
def test_replayed_passes_give_the_losses_of_launched_ones(
    system_name: str, method_name: str, device: torch.device, tmp_path: Path
) -> None:
    if METHODS[method_name].refusal(SYSTEMS, system_name) is not None:
        pytest.skip(f"{method_name} refuses {system_name}")
    replayed = training(system_name, method_name, tmp_path, device)
    if not replayed.system.repeats:
        pytest.skip(f"the passes of {system_name} differ from step to step")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        found = losses(replayed)
    assert isinstance(replayed.passes, ReplayedPasses)
    assert replayed.passes.captured, "after some passes of one form"
    launched = losses(training(system_name, method_name, tmp_path, device, cuda_graphs=False))
    assert found[: WARM // 2] == pytest.approx(launched[: WARM // 2], rel=1e-6)
    assert found == pytest.approx(launched, rel=2e-2)
