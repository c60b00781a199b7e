"""Which parts of I-MedSAM help on another hospital's polyps?

Command: segtune run imedsam_domain --gpus-per-worker 1 --storage STORAGE
Cost: 6 arms x 3 seeds = 18 trials of 1000 epochs (Kvasir-Sessile, 384 x 384, batch 1) on one GPU
each; the hours are not measured yet.

The arms of `imedsam_components`, trained on Kvasir-Sessile and tested on its own test split and on
all of CVC-ClinicDB. Boxes are jittered and come from the truth, at test too.
"""

from search_spaces.imedsam._reported import OTHER_POLYPS
from search_spaces.imedsam._scale import other_polyps
from search_spaces.imedsam.imedsam_components import components
from segtune import Ablation


def study() -> Ablation:
    """At paper scale."""
    question = "Which parts of I-MedSAM help on another hospital's polyps?"
    return components(other_polyps(), question, reported=OTHER_POLYPS)
