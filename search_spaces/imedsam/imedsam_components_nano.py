"""What do frequency adapters and implicit field add to I-MedSAM? (small, on rendered polyps)

Command: segtune run imedsam_components_nano && segtune report imedsam_components_nano
Cost: 6 arms x 3 seeds = 18 trials, some minutes each on one CPU core.

As `imedsam_components`, with a nano SAM: it shows how the comparison works, and says nothing about
SAM on patients.
"""

from search_spaces.imedsam._scale import nano_scale
from search_spaces.imedsam.imedsam_components import components
from segtune import Ablation


def study() -> Ablation:
    """At nano scale."""
    return components(nano_scale())
