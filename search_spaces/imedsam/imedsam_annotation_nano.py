"""How many annotated patients does I-MedSAM need? (small, on rendered polyps)

Command: segtune run imedsam_annotation_nano && segtune report imedsam_annotation_nano
Cost: 8 arms x 3 seeds = 24 trials, some minutes each on one CPU core.

As `imedsam_annotation`, with a nano SAM: it shows how the comparison works, and says nothing about
SAM on patients.
"""

from search_spaces.imedsam._scale import nano_scale
from search_spaces.imedsam.imedsam_annotation import annotation
from segtune import Ablation


def study() -> Ablation:
    """At nano scale."""
    return annotation(nano_scale())
