"""What does I-MedSAM gain from SRFT-GaLore in the place of LoRA?

Command: segtune run imedsam_adaptation --gpus-per-worker 1 --storage STORAGE
Cost: 6 arms x 3 seeds = 18 trials of 1000 epochs (Kvasir-Sessile, 384 x 384, batch 1) on one GPU
each; the hours are not measured yet.

Everything but the way of adapting the image encoder stays: LoRA on queries and values as published,
LoRA of whole attention by DoRA, GaLore and SRFT-GaLore of the same rank, full attention and MLPs,
and a frozen encoder. Boxes are jittered and come from the truth, at test too.
"""

from search_spaces.imedsam._scale import SEEDS, paper_scale
from segcore.config import TrainConfig
from segtune import Ablation


def study() -> Ablation:
    """At paper scale."""
    return adaptation(paper_scale())


def adaptation(scale: TrainConfig) -> Ablation:
    """Ways of adapting SAM's encoder.

    Args:
        scale: adapted by LoRA.
    """
    rank = 4
    return Ablation(
        question="What does I-MedSAM gain from SRFT-GaLore in the place of LoRA?",
        baseline=scale,
        baseline_arm="lora_qv",
        arms={
            "frozen": {"method": "frozen"},
            "dora": {"method": "dora", "method.rank": rank},
            "galore": {"method": "galore", "method.rank": rank},
            "srft_galore": {"method": "srft_galore", "method.rank": rank},
            "full": {"method": "full"},
        },
        seeds=SEEDS,
    )
