"""Norms of single images, in the place of BatchNorm, which would tie the samples of a batch
together."""

import math
from typing import Literal

from torch import nn

from segcore.systems.blocks import GROUPS

Norm = Literal["group", "instance"]
"""`group`: GroupNorm of up to eight groups, of two channels or more. `instance`: each channel of an
image by itself, which is what BatchNorm does to a batch of one image. Both have its parameters."""


def norm_of(channels: int, norm: Norm, *, parts: int = 1) -> nn.GroupNorm:
    """The norm for so many channels.

    Args:
        channels: in all.
        norm: of which kind.
        parts: of the channels, each normalised as if it were alone.
    """
    groups = channels if norm == "instance" else parts * math.gcd(GROUPS, channels // parts // 2)
    return nn.GroupNorm(groups, channels)
