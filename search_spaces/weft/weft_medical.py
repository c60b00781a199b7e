"""Is WEFT worth anything on polyps?

Command: segtune run weft_medical --gpus-per-worker 1 --storage STORAGE
Cost: 4 arms x 3 seeds = 12 trials of 343 epochs (Kvasir-Sessile, 512 x 512, batch 6) on one GPU
each; the hours are not measured yet.

The paper says that WEFT serves medical images too. Trained on Kvasir-Sessile and tested on all of
CVC-ClinicDB too: WEFT, its base, and the same transformer and head moved by LoRA or frozen.
"""

from dataclasses import replace

from search_spaces.weft._reported import POLYPS
from search_spaces.weft._scale import paper_scale
from search_spaces.weft.weft_transfer import transfer
from segcore.data.sets.cvc_clinicdb import CVCClinicDB
from segcore.data.sets.kvasir_sessile import KvasirSessile
from segtune import Ablation, apply


def study() -> Ablation:
    """At paper scale."""
    polyps = apply(paper_scale(), {"data": KvasirSessile(root="data/Kvasir-Sessile")})
    other = CVCClinicDB(root="data/CVC-ClinicDB", fractions=(0, 0, 1))
    found = transfer(polyps, other, rate=1e-4)
    return replace(found, question="Is WEFT worth anything on polyps?", reported=POLYPS)
