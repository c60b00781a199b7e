"""Is WEFT worth more than other ways of fine-tuning the same transformer? (small)

Command: segtune run weft_vs_peft_nano && segtune report weft_vs_peft_nano
Cost: 8 arms x 3 seeds = 24 trials, some minutes each on one CPU core.

As `weft_vs_peft`, with a small transformer on rendered fields: it shows how the comparison works,
and says nothing about Uni-Perceiver on photographs.
"""

from search_spaces.weft._scale import nano_scale
from search_spaces.weft.weft_vs_peft import against_peft
from segtune import Ablation


def study() -> Ablation:
    """At nano scale."""
    return against_peft(nano_scale(), rate=3e-3)
