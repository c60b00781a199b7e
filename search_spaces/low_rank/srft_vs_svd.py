"""Does the randomized Fourier projector reach what the exact SVD reaches?

Command: segtune run srft_vs_svd --gpus-per-worker 1 --storage STORAGE
Cost: 4 arms x 3 seeds = 12 trials of 100 epochs (L3D, 1024 x 1024, 23,100 steps of
batch 4) on one GPU of 24 GB or more each; the hours are not measured yet.

Rank 128, interval 50, scale 1 throughout. The projectors are held against each other twice: with
moments that stay as they are at a refresh, as in both papers, and with moments that are carried
over to the new basis. What is stale in the first kind hides a part of what a basis is worth.
"""

from search_spaces._paper_scale import SEEDS, baseline
from segtune import Ablation, apply


def study() -> Ablation:
    """Two projectors, moments kept and rotated, everything else alike."""
    alike = {"method.rank": 128, "method.lr": 5e-5}
    rotated = {**alike, "method.moments": "rotate"}
    return Ablation(
        question="Does the randomized Fourier projector reach what the exact SVD reaches?",
        baseline=apply(baseline(), {"method": "galore", **alike}),
        baseline_arm="svd",
        arms={
            "srft": {"method": "srft_galore", **alike},
            "svd-rotate": {"method": "galore", **rotated},
            "srft-rotate": {"method": "srft_galore", **rotated},
        },
        contrasts=(("srft-rotate", "svd-rotate"), ("srft-rotate", "srft")),
        seeds=SEEDS,
    )
