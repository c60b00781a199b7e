"""Pictures of shapes, rendered from a seed."""

import torch
from torch import Tensor

SIDE = 20
"""Pixels."""
CLASSES = 6
"""Disc, ring, square, cross, triangle, stripes."""


def render(seed: int, count: int) -> tuple[Tensor, Tensor]:
    """Pictures (count, 1, SIDE, SIDE) and the class of each (count,).

    A shape of random place, size, turn and brightness before a random slope of grey, with specks
    and noise.
    """
    generator = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator)

    labels = torch.randint(CLASSES, (count,), generator=generator)
    axis = torch.arange(SIDE) + 0.5
    size, angle = uniform(3.5, 6.5, 1, 1), uniform(-0.4, 0.4, 1, 1)
    across = axis - uniform(0.35 * SIDE, 0.65 * SIDE, 1, 1)
    down = axis[:, None] - uniform(0.35 * SIDE, 0.65 * SIDE, 1, 1)
    x = (angle.cos() * across + angle.sin() * down) / size
    y = (angle.cos() * down - angle.sin() * across) / size
    radius = (x**2 + y**2).sqrt()
    box = torch.maximum(x.abs(), y.abs())
    shapes = torch.stack(
        (
            radius < 1,
            (radius < 1) & (radius > 0.6),
            box < 0.85,
            (box < 1) & (torch.minimum(x.abs(), y.abs()) < 0.35),
            (y < 0.8) & (y > 2 * x.abs() - 0.9),
            (box < 0.9) & ((x * size).remainder(3) < 1.5),
        )
    )
    chosen = shapes.float().permute(1, 0, 2, 3)[torch.arange(count), labels]
    slope = uniform(-0.5, 0.5, 1, 1) * (axis / SIDE) + uniform(-0.5, 0.5, 1, 1) * (
        axis[:, None] / SIDE
    )
    specks = (torch.rand(count, SIDE, SIDE, generator=generator) < 0.02).float()
    noise = torch.randn(count, SIDE, SIDE, generator=generator)
    sign = torch.where(uniform(0, 1, 1, 1) < 0.5, -1.0, 1.0)
    images = sign * uniform(0.6, 1.2, 1, 1) * chosen + slope + specks + 0.2 * noise
    return images[:, None], labels
