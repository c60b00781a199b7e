"""How often must the basis of SRFT-GaLore be refreshed?

Command: segtune run refresh_interval --gpus-per-worker 1 --storage STORAGE
Cost: 11 arms x 3 seeds = 33 trials of 100 epochs (L3D, 1024 x 1024, 23,100 steps of
batch 4) on one GPU of 24 GB or more each; the hours are not measured yet.

The paper refreshes every 50 steps, GaLore every 200; the arm of 100,000 never does after the first.
With moments that stay as they are, a short interval has two effects: a fresher basis, and moments
that more often belong to an older one. The arms that rotate them have the first effect alone.
"""

from search_spaces._paper_scale import SEEDS, baseline
from segtune import Ablation, factor

GAPS = (1, 10, 200, 1000)


def study() -> Ablation:
    """One interval after the other, moments kept and rotated."""
    gap = "method.update_proj_gap"
    rotated = factor(gap, (50, *GAPS), label="rotate-gap")
    return Ablation(
        question="How often must the basis of SRFT-GaLore be refreshed?",
        baseline=baseline(),
        baseline_arm="gap-50",
        arms={
            **factor(gap, (*GAPS, 100_000), label="gap"),
            **{name: {**arm, "method.moments": "rotate"} for name, arm in rotated.items()},
        },
        contrasts=tuple((f"rotate-gap-{steps}", f"gap-{steps}") for steps in GAPS),
        seeds=SEEDS,
    )
