"""Does WEFT find liver landmarks as well as the dual encoder does?

Command: segtune run weft_liver --gpus-per-worker 1 --storage STORAGE
Cost: 3 arms x 3 seeds = 9 trials of 100 epochs (L3D, 1024 x 1024 or 512 x 512, batch 4) on one GPU
each; the hours are not measured yet.

The dual encoder with SRFT-GaLore as its paper has it, the same without depth, and WEFT with three
classes that exclude one another, which sees no depth. What each sees differs in size, and masks are
compared at each image's own.
"""

from search_spaces._paper_scale import baseline
from search_spaces.weft._scale import paper_scale
from segcore.systems.dual_encoder.fusion import FusionConfig
from segtune import Ablation, apply

SEEDS = (0, 1, 2)


def study() -> Ablation:
    """At paper scale."""
    liver = apply(baseline(), {"evaluation.size": "image"})
    return Ablation(
        question="Does WEFT find liver landmarks as well as the dual encoder does?",
        baseline=liver,
        baseline_arm="dual_encoder",
        arms={
            "without_depth": {"system.fusion": FusionConfig(mode="rgb_only")},
            "weft": {"system": paper_scale().system, "method": "frozen"},
        },
        seeds=SEEDS,
    )
