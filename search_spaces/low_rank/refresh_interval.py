"""How often must the basis of SRFT-GaLore be refreshed?

Command: segtune run refresh_interval --gpus-per-worker 1 --storage STORAGE
Cost: 6 arms x 3 seeds = 18 trials of 100 epochs (L3D, 1024 x 1024, 23,100 steps of
batch 4) on one GPU of 24 GB or more each; the hours are not measured yet.

The paper refreshes every 50 steps, GaLore every 200; the last arm never does after the first.
"""

from search_spaces._paper_scale import SEEDS, baseline
from segtune import Ablation, factor


def study() -> Ablation:
    """One interval after the other."""
    return Ablation(
        question="How often must the basis of SRFT-GaLore be refreshed?",
        baseline=baseline(),
        baseline_arm="gap-50",
        arms=factor("method.update_proj_gap", (1, 10, 200, 1000, 100_000), label="gap"),
        seeds=SEEDS,
    )
