"""What does a low rank cost, on the same weights and at tuned rates?

Command: segtune run same_targets --gpus-per-worker 1 --storage STORAGE
Cost: 25 tuning trials, then 5 arms x 3 seeds = 15 trials, all of 100 epochs (L3D, 1024 x 1024,
23,100 steps of batch 4) on one GPU of 24 GB or more each; the hours are not measured yet.

Every arm moves the same matrices, those of SAM2's attention, and nothing else but the head: `full`
by plain AdamW, `identity` by GaLore's optimizer with the whole space in the place of a basis (both
compute the same, by code written apart), `galore` and `srft_galore` within `rank` directions, and
`lora` beside them. Each has five rates of its own to choose from on val, with a seed that is not
used again. `same_targets_nano` is the same on rendered scenes.
"""

from collections.abc import Sequence

from search_spaces._paper_scale import baseline
from segcore.config import TrainConfig
from segtune import Ablation, apply


def study() -> Ablation:
    """At paper scale."""
    return same_targets(baseline(), rank=128, rates=(1e-5, 2e-5, 5e-5, 2e-4, 5e-4))


def same_targets(
    scale: TrainConfig, *, rank: int, rates: Sequence[float], seeds: Sequence[int] = (0, 1, 2)
) -> Ablation:
    """Ways of moving the attention's weights.

    Args:
        scale: a training.
        rank: of the low-rank methods.
        rates: that each arm may choose from.
        seeds: of the arms.
    """
    return Ablation(
        question="What does a low rank cost, on the same weights and at tuned rates?",
        baseline=apply(scale, {"method": "full", "method.targets": "attention"}),
        baseline_arm="full",
        arms={
            "identity": {"method": "identity"},
            "galore": {"method": "galore", "method.rank": rank},
            "srft_galore": {"method": "srft_galore", "method.rank": rank},
            "lora": {"method": "lora", "method.rank": rank},
        },
        tune_each_arm={"method.lr": tuple(rates)},
        seeds=tuple(seeds),
    )
