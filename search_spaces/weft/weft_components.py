"""What do wavelet experts, subspace tokens and the enhancer add to WEFT?

Command: segtune run weft_components --gpus-per-worker 1 --storage STORAGE
Cost: 8 arms x 3 seeds = 24 trials of 343 epochs (EORSSD, 512 x 512, batch 6) on one GPU each; the
hours are not measured yet.

All eight of the paper's component table: TWE (experts in a convolutional pyramid), ESTO (tokens of
subspaces, weighed by boundaries) and SEE (edges and kernels of three sizes), each with and without
the others. `base` keeps the pyramid, the deformable attention and the feed-forward layers.
"""

from search_spaces.weft._reported import COMPONENTS
from search_spaces.weft._scale import ESTO, SEE, SEEDS, WITHOUT_EXPERTS, experts_of, paper_scale
from segcore.config import TrainConfig
from segtune import Ablation, apply


def study() -> Ablation:
    """At paper scale."""
    return components(paper_scale())


def components(scale: TrainConfig) -> Ablation:
    """Every combination of the three parts.

    Args:
        scale: with all of them.
    """
    twe, esto, see = experts_of(scale), {ESTO: True}, {SEE: True}
    return Ablation(
        question="What do wavelet experts, subspace tokens and the enhancer add to WEFT?",
        baseline=apply(scale, {**WITHOUT_EXPERTS, ESTO: False, SEE: False}),
        baseline_arm="base",
        arms={
            "twe": twe,
            "esto": esto,
            "see": see,
            "twe_esto": {**twe, **esto},
            "twe_see": {**twe, **see},
            "esto_see": {**esto, **see},
            "all": {**twe, **esto, **see},
        },
        seeds=SEEDS,
        reported=COMPONENTS,
    )
