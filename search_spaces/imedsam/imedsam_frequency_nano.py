"""Which spectrum of the image helps I-MedSAM? (small, on rendered polyps)

Command: segtune run imedsam_frequency_nano && segtune report imedsam_frequency_nano
Cost: 4 arms x 3 seeds = 12 trials, some minutes each on one CPU core.

As `imedsam_frequency`, with a nano SAM: it shows how the comparison works, and says nothing about
SAM on patients.
"""

from search_spaces.imedsam._scale import nano_scale
from search_spaces.imedsam.imedsam_frequency import frequency
from segtune import Ablation


def study() -> Ablation:
    """At nano scale."""
    return frequency(nano_scale())
