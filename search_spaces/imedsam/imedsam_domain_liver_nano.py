"""Which parts of I-MedSAM help on another scanner's livers? (small, on rendered CTs)

Command: segtune run imedsam_domain_liver_nano && segtune report imedsam_domain_liver_nano
Cost: 6 arms x 3 seeds = 18 trials, some minutes each on one CPU core.

As `imedsam_domain_liver`, with a nano SAM: it shows how the comparison works, and says nothing
about SAM on patients.
"""

from search_spaces.imedsam._reported import LIVER
from search_spaces.imedsam._scale import liver_nano
from search_spaces.imedsam.imedsam_components import components
from segtune import Ablation


def study() -> Ablation:
    """At nano scale."""
    question = "Which parts of I-MedSAM help on another scanner's livers?"
    return components(liver_nano(), question, reported=LIVER)
