"""Does what WEFT learns on one set of photographs from above hold on another? (small)

Command: segtune run weft_transfer_nano && segtune report weft_transfer_nano
Cost: 4 arms x 3 seeds = 12 trials, some minutes each on one CPU core.

As `weft_transfer`, with a small transformer on rendered fields: it shows how the comparison works,
and says nothing about Uni-Perceiver on photographs.
"""

from search_spaces.weft._scale import nano_scale
from search_spaces.weft.weft_transfer import transfer
from segcore.data.sets.synthetic_aerial import SyntheticAerial
from segtune import Ablation


def study() -> Ablation:
    """At nano scale."""
    return transfer(nano_scale(), SyntheticAerial(domain="b", train=5, val=5), rate=3e-3)
