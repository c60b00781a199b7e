"""What several tests share: the smallest training there is."""

import dataclasses
from collections.abc import Iterator

import pytest
import torch

from segcore.config import TrainConfig
from segcore.data.synthetic_liver import SyntheticLiver
from segcore.presets import nano
from segcore.schedule import Schedule


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Scenes are rendered once per test session, away from the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGTUNE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def tiny() -> TrainConfig:
    """Six training images, two epochs: seconds on one core."""
    torch.set_num_threads(1)
    return dataclasses.replace(
        nano(),
        data=SyntheticLiver(train=6, val=2, test=2),
        schedule=Schedule(epochs=2, batch_size=4, warmup_steps=1),
    )
