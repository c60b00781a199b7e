"""How many annotated patients does I-MedSAM need?

Command: segtune run imedsam_annotation --gpus-per-worker 1 --storage STORAGE
Cost: 8 arms x 3 seeds = 24 trials of 1000 epochs (Kvasir-Sessile, 384 x 384, batch 1; of a share
of the images as many steps less) on one GPU each; the hours are not measured yet.

All of I-MedSAM, and LoRA with SAM's own mask head, on 10, 25, 50 and 100 % of the train split's
patients (of Kvasir-Sessile, which does not say whose an image is: of its images). The paper's
figure 6 asks the same and gives no numbers. Boxes are jittered and come from the truth, at test
too.
"""

from search_spaces.imedsam._scale import SEEDS, paper_scale
from segcore.config import TrainConfig
from segtune import Ablation


def study() -> Ablation:
    """At paper scale."""
    return annotation(paper_scale())


def annotation(scale: TrainConfig) -> Ablation:
    """Shares of the patients, with the field and without.

    Args:
        scale: with all components, on all patients.
    """
    shares = {"10": 0.1, "25": 0.25, "50": 0.5}
    lora = {"system.decoder": "masks", "system.frequency.map": "none"}
    return Ablation(
        question="How many annotated patients does I-MedSAM need?",
        baseline=scale,
        baseline_arm="all_100",
        arms={
            **{f"all_{name}": {"train_share": share} for name, share in shares.items()},
            "lora_100": lora,
            **{f"lora_{name}": {"train_share": s, **lora} for name, s in shares.items()},
        },
        seeds=SEEDS,
    )
