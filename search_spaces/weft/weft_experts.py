"""How many experts should WEFT choose, and of which sizes?

Command: segtune run weft_experts --gpus-per-worker 1 --storage STORAGE
Cost: 7 arms x 3 seeds = 21 trials of 343 epochs (EORSSD, 512 x 512, batch 6) on one GPU each; the
hours are not measured yet.

One, two, four or six of the seven experts for an image at a scale (the paper: four is best), four
of small or of large kernels alone, and experts of each scale's own.
"""

from search_spaces.weft._scale import SEEDS, paper_scale
from segcore.config import TrainConfig
from segtune import Ablation


def study() -> Ablation:
    """At paper scale."""
    return experts(paper_scale(), chosen=4, others=(1, 2, 6), few=4)


def experts(scale: TrainConfig, *, chosen: int, others: tuple[int, ...], few: int) -> Ablation:
    """Numbers and sizes of experts.

    Args:
        scale: with `chosen` of its experts.
        chosen: how many.
        others: other numbers.
        few: of the smallest, or of the largest, kernels alone; all of them are chosen.
    """
    kernels = scale.system.experts.kernels  # type: ignore[attr-defined]
    return Ablation(
        question="How many experts should WEFT choose, and of which sizes?",
        baseline=scale,
        baseline_arm=f"top_{chosen}",
        arms={
            **{f"top_{n}": {"system.experts.top": n} for n in others},
            "small": {"system.experts.kernels": kernels[:few]},
            "large": {"system.experts.kernels": kernels[-few:]},
            "own": {"system.experts.shared": False},
        },
        seeds=SEEDS,
    )
