"""Trainings on a GPU that is not there: that they run, and what they ask of it."""

import pytest
from support.fake_cuda import fake_cuda
from support.fake_cuda.training import begun
from support.pairs import ours, smallest

from segcore.config import TrainConfig
from segcore.data.prompts import PromptConfig
from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.methods import METHODS
from segcore.methods.method import Method
from segcore.systems import SYSTEMS
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


@pytest.mark.slow
@pytest.mark.parametrize("system_name", ours(SYSTEMS))
def test_every_system_trains_and_is_scored_with_every_method(system_name: str) -> None:
    for method_name in ours(METHODS):
        if METHODS[method_name].refusal(SYSTEMS, system_name) is None:
            with fake_cuda() as cuda:
                evaluation = begun(one_step(system_name, method_name), cuda, images=2).advance()
            assert len(evaluation.steps) == 1, method_name
