"""Are I-MedSAM's masks better at sizes that it was not trained at? (small, on rendered polyps)

Command: segtune run imedsam_resolution_nano && segtune report imedsam_resolution_nano
Cost: 5 arms x 3 seeds = 15 trials, some minutes each on one CPU core.

As `imedsam_resolution`, with a nano SAM: it shows how the comparison works, and says nothing about
SAM on patients.
"""

from search_spaces.imedsam._scale import nano_scale
from search_spaces.imedsam.imedsam_resolution import resolution
from segcore.systems.hiera_unet import HieraUnetConfig
from segtune import Ablation


def study() -> Ablation:
    """At nano scale."""
    return resolution(nano_scale(), HieraUnetConfig(), (64, 448))
