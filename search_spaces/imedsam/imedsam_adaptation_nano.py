"""What does I-MedSAM gain from SRFT-GaLore in the place of LoRA? (small, on rendered polyps)

Command: segtune run imedsam_adaptation_nano && segtune report imedsam_adaptation_nano
Cost: 6 arms x 3 seeds = 18 trials, some minutes each on one CPU core.

As `imedsam_adaptation`, with a nano SAM: it shows how the comparison works, and says nothing about
SAM on patients.
"""

from search_spaces.imedsam._scale import nano_scale
from search_spaces.imedsam.imedsam_adaptation import adaptation
from segtune import Ablation


def study() -> Ablation:
    """At nano scale."""
    return adaptation(nano_scale())
