"""Which parts of I-MedSAM help on another hospital's polyps? (small, on rendered polyps)

Command: segtune run imedsam_domain_nano && segtune report imedsam_domain_nano
Cost: 6 arms x 3 seeds = 18 trials, some minutes each on one CPU core.

As `imedsam_domain`, with a nano SAM: it shows how the comparison works, and says nothing about
SAM on patients.
"""

from search_spaces.imedsam._reported import OTHER_POLYPS
from search_spaces.imedsam._scale import other_polyps_nano
from search_spaces.imedsam.imedsam_components import components
from segtune import Ablation


def study() -> Ablation:
    """At nano scale."""
    question = "Which parts of I-MedSAM help on another hospital's polyps?"
    return components(other_polyps_nano(), question, reported=OTHER_POLYPS)
