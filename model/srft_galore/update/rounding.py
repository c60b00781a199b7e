"""How a weight that is stored in bfloat16 takes its float32 value."""

import torch
from torch import Tensor

from srft_galore.projection import derive_seed

ROUNDINGS = ("nearest", "stochastic")
"""Names accepted as `rounding` of a parameter group."""


def round_stochastically(weight: Tensor, *, seed: int, position: int, step: int) -> Tensor:
    """Float32 values rounded to bfloat16, up or down at random, right in the mean.

    A value between two neighbours goes to either with a probability of its nearness, so that
    updates far below the spacing, which rounding to nearest loses, add up. Done on the bits: noise
    in the 16 that bfloat16 lacks, then these cut off.

    Args:
        weight: Finite float32.
        seed: Of the parameter group.
        position: Of the parameter in the optimizer.
        step: Its steps so far. The same of all three gives the same bits on one kind of device.

    Returns:
        bfloat16, in the layout of `weight`.
    """
    generator = torch.Generator(device=weight.device)
    generator.manual_seed(derive_seed(seed, position, step))
    bits = weight.view(torch.int32)
    noise = torch.randint_like(bits, 1 << 16, generator=generator)
    return (bits + noise).bitwise_and_(-(1 << 16)).view(torch.float32).to(torch.bfloat16)
