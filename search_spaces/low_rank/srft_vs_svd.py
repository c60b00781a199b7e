"""Does the randomized Fourier projector reach what the exact SVD reaches?

Command: segtune run srft_vs_svd --gpus-per-worker 1 --storage STORAGE
Cost: 2 arms x 3 seeds = 6 trials of 100 epochs (L3D, 1024 x 1024, 23,100 steps of
batch 4) on one GPU of 24 GB or more each; the hours are not measured yet.

The two arms differ in the projector and nothing else: rank 128, interval 50, scale 1.
"""

from search_spaces._paper_scale import SEEDS, baseline
from segtune import Ablation, apply


def study() -> Ablation:
    """Two projectors, everything else alike."""
    return Ablation(
        question="Does the randomized Fourier projector reach what the exact SVD reaches?",
        baseline=apply(baseline(), {"method": "galore", "method.rank": 128, "method.lr": 5e-5}),
        baseline_arm="svd",
        arms={"srft": {"method": "srft_galore", "method.rank": 128, "method.lr": 5e-5}},
        seeds=SEEDS,
    )
