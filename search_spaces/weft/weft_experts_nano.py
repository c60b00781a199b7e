"""How many experts should WEFT choose, and of which sizes? (small, on rendered fields)

Command: segtune run weft_experts_nano && segtune report weft_experts_nano
Cost: 7 arms x 3 seeds = 21 trials, some minutes each on one CPU core.

As `weft_experts`, with a small transformer on rendered fields: it shows how the comparison works,
and says nothing about Uni-Perceiver on photographs.
"""

from search_spaces.weft._scale import nano_scale
from search_spaces.weft.weft_experts import experts
from segtune import Ablation


def study() -> Ablation:
    """At nano scale."""
    return experts(nano_scale(), chosen=2, others=(1, 3, 4), few=2)
