"""Which points should I-MedSAM's fine field look at, and how many? (small, on rendered polyps)

Command: segtune run imedsam_sampling_nano && segtune report imedsam_sampling_nano
Cost: 9 arms x 3 seeds = 27 trials, some minutes each on one CPU core.

As `imedsam_sampling`, with a nano SAM: it shows how the comparison works, and says nothing about
SAM on patients.
"""

from search_spaces.imedsam._scale import nano_scale
from search_spaces.imedsam.imedsam_sampling import sampling
from segtune import Ablation


def study() -> Ablation:
    """At nano scale."""
    return sampling(nano_scale())
