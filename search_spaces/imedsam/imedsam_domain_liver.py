"""Which parts of I-MedSAM help on another scanner's livers?

Command: segtune run imedsam_domain_liver --gpus-per-worker 1 --storage STORAGE
Cost: 6 arms x 3 seeds = 18 trials of 1000 epochs (slices of BCV, 512 x 512, batch 1) on one GPU
each; the hours are not measured yet.

The arms of `imedsam_components` on the liver of BCV, tested on its own test split and on AMOS's 200
training CTs, volumes whole and in millimetres. Boxes are jittered and come from the truth, slice by
slice, at test too: they also say on which slices the liver is.
"""

from search_spaces.imedsam._reported import LIVER
from search_spaces.imedsam._scale import liver
from search_spaces.imedsam.imedsam_components import components
from segtune import Ablation


def study() -> Ablation:
    """At paper scale."""
    question = "Which parts of I-MedSAM help on another scanner's livers?"
    return components(liver(), question, reported=LIVER)
