"""Every projector fits the attention weights of a real network: the nano encoders on scenes."""

from typing import Any

import pytest
import torch

from segcore.batch import FINISHED, Batch
from segcore.config import TrainConfig
from segcore.data.loader import training_batches
from segcore.systems.system import System
from srft_galore import GaLoreAdamW

STEPS = 16
VARIANTS: dict[str, dict[str, Any]] = {
    "svd": {"projector": "svd"},
    "srft": {"projector": "srft"},
    "gaussian": {"projector": "gaussian"},
    "identity": {"projector": "identity"},
    "srft_published": {"projector": "srft_published"},
    "all refresh options": {
        "start": "warm", "oversample": 4, "power_iterations": 1, "stagger": True,
        "moments": "rotate", "side": "input",
    },
    "released": {"refresh_from": "previous", "start": "warm", "oversample": 4},
    "reset": {"moments": "reset"},
}  # fmt: skip


@pytest.fixture
def scenes(tiny: TrainConfig) -> Batch:
    size = tiny.system.input_size
    return next(training_batches(tiny.data.open(), [[0, 1, 2, 3]], size, tiny.augment, 0, 1))


def fit(tiny: TrainConfig, scenes: Batch, options: dict[str, Any]) -> tuple[float, float, System]:
    """Loss before and after; nothing but the attention weights moves."""
    torch.manual_seed(0)
    system = tiny.system.build(tiny.data.open().classes)
    system.requires_grad_(False)
    weights = [module.weight for module in system.adaptable("attention").values()]
    for weight in weights:
        weight.requires_grad_(True)
    group = {"params": weights, "rank": 8, "update_proj_gap": 4, **options}
    optimizer = GaLoreAdamW([group], lr=3e-3, weight_decay=0.0)
    if optimizer.releases_gradients:
        optimizer.attach(system)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = system.loss(system(scenes, tiny.system.image_size), scenes, FINISHED)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses[0], losses[-1], system


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_projected_attention_fits_a_random_head(
    tiny: TrainConfig, scenes: Batch, variant: str
) -> None:
    first, last, _ = fit(tiny, scenes, VARIANTS[variant])
    assert last < 0.92 * first
