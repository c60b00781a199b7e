"""How large steps are on gradients of noise: by interval, and by what becomes of the moments."""

from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from srft_galore import GaLoreAdamW

RANK = 8
SHAPE = (256, 128)
STEPS = 200
SEEDS = 3
GAPS = (20, 5, 1)


def measure_noise() -> list[dict[str, Any]]:
    """The root mean square of a step over the learning rate: the mean of the steps after the first
    half, and of seeds. A step of one sign everywhere has 1."""
    plain: dict[str, Any] = {"optimizer": "torch.optim.AdamW", "interval": None}
    rows = [plain | {"moments": "", "RMS / lr": _mean_step(None)}]
    for moments in ("keep", "rotate", "reset"):
        for gap in GAPS:
            told = {"optimizer": f"srft, rank {RANK}", "interval": gap, "moments": moments}
            group = {"rank": RANK, "update_proj_gap": gap, "moments": moments}
            rows.append(told | {"RMS / lr": _mean_step(group)})
    return rows


def _mean_step(group: dict[str, Any] | None) -> float:
    sizes = []
    for seed in range(SEEDS):
        generator = torch.Generator().manual_seed(seed)
        weight = nn.Parameter(torch.zeros(SHAPE))
        optimizer: Optimizer = torch.optim.AdamW([weight], lr=1.0, weight_decay=0.0)
        if group is not None:
            params = [{"params": [weight], **group, "seed": seed}]
            optimizer = GaLoreAdamW(params, lr=1.0, weight_decay=0.0)
        for step in range(STEPS):
            before = weight.detach().clone()
            weight.grad = torch.randn(SHAPE, generator=generator)
            optimizer.step()
            if step >= STEPS // 2:
                sizes.append(float((weight.detach() - before).square().mean().sqrt()))
    return sum(sizes) / len(sizes)
