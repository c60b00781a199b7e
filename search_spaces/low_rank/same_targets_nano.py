"""What does a low rank cost, on the same weights and at tuned rates? (small, on rendered scenes)

Command: segtune run same_targets_nano && segtune report same_targets_nano
Cost: 15 tuning trials, then 5 arms x 3 seeds = 15 trials, each like one of those of `demo`.

As `same_targets`, with nano encoders: it shows how the comparison works, and says nothing about
SAM2 on patients.
"""

from search_spaces.low_rank.same_targets import same_targets
from segcore.presets import nano
from segtune import Ablation


def study() -> Ablation:
    """At nano scale."""
    return same_targets(nano(), rank=8, rates=(1e-3, 3e-3, 1e-2))
