"""How small may the rank of SRFT-GaLore be?

Command: segtune run galore_rank --gpus-per-worker 1 --storage STORAGE
Cost: 6 arms x 3 seeds = 18 trials of 100 epochs (L3D, 1024 x 1024, 23,100 steps of
batch 4) on one GPU of 24 GB or more each; the hours are not measured yet.

The paper's rank is 128, its code's default 64.
"""

from search_spaces._paper_scale import SEEDS, baseline
from segtune import Ablation, factor


def study() -> Ablation:
    """One rank after the other."""
    return Ablation(
        question="How small may the rank of SRFT-GaLore be?",
        baseline=baseline(),
        baseline_arm="rank-128",
        arms=factor("method.rank", (4, 16, 32, 64, 256)),
        seeds=SEEDS,
    )
