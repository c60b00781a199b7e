"""What do wavelet experts, subspace tokens and the enhancer add to WEFT? (small)

Command: segtune run weft_components_nano && segtune report weft_components_nano
Cost: 8 arms x 3 seeds = 24 trials, some minutes each on one CPU core.

As `weft_components`, with a small transformer on rendered fields: it shows how the comparison
works, and says nothing about Uni-Perceiver on photographs.
"""

from search_spaces.weft._scale import nano_scale
from search_spaces.weft.weft_components import components
from segtune import Ablation


def study() -> Ablation:
    """At nano scale."""
    return components(nano_scale())
