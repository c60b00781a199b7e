"""What do frequency adapters and implicit field add to I-MedSAM?

Command: segtune run imedsam_components --gpus-per-worker 1 --storage STORAGE
Cost: 6 arms x 3 seeds = 18 trials of 1000 epochs (Kvasir-Sessile, 384 x 384, batch 1) on one GPU
each; the hours are not measured yet.

The four rows of the paper's component table, LoRA alone being SAM's own mask head on tuned
upscaling; beside them what the box alone is worth: filled, and as the ellipse in it. Boxes are
jittered and come from the truth, at test too.
"""

from search_spaces.imedsam._reported import COMPONENTS
from search_spaces.imedsam._scale import SEEDS, paper_scale
from segcore.config import TrainConfig
from segtune import Ablation, Reported, apply

QUESTION = "What do frequency adapters and implicit field add to I-MedSAM?"


def study() -> Ablation:
    """At paper scale."""
    return components(paper_scale())


def components(
    scale: TrainConfig, question: str = QUESTION, *, reported: tuple[Reported, ...] = COMPONENTS
) -> Ablation:
    """LoRA, and what is added to it.

    Args:
        scale: with all components.
        question: what the study asks.
        reported: the paper's numbers of the same comparison.
    """
    return Ablation(
        question=question,
        baseline=apply(scale, {"system.decoder": "masks", "system.frequency.map": "none"}),
        baseline_arm="lora",
        arms={
            "lora_fa": {"system.frequency.map": "amplitude"},
            "lora_inr": {"system.decoder": "field"},
            "all": {"system.frequency.map": "amplitude", "system.decoder": "field"},
            "filled_box": {"system": "filled_box", "method": "frozen"},
            "box_ellipse": {"system": "box_ellipse", "method": "frozen"},
        },
        seeds=SEEDS,
        reported=reported,
    )
