"""Does what WEFT learns on one set of photographs from above hold on another?

Command: segtune run weft_transfer --gpus-per-worker 1 --storage STORAGE
Cost: 4 arms x 3 seeds = 12 trials of 343 epochs (EORSSD, 512 x 512, batch 6) on one GPU each; the
hours are not measured yet.

Trained on EORSSD, tested on its own test images and on those of ORSI-4199: WEFT, its base without
TWE, ESTO and SEE, and the same transformer and head moved by LoRA or frozen.
"""

from search_spaces.weft._reported import OTHERS
from search_spaces.weft._scale import ESTO, SEE, SEEDS, UNGUIDED, WITHOUT_EXPERTS, paper_scale
from segcore.config import TrainConfig
from segcore.data.dataset import DataConfig
from segtune import Ablation, apply


def study() -> Ablation:
    """At paper scale."""
    return transfer(paper_scale(), DataConfig.named("orsi_4199", root="data/ORSI-4199"), rate=1e-4)


def transfer(scale: TrainConfig, other: DataConfig, *, rate: float) -> Ablation:
    """WEFT and what it is held against, tested on another set too.

    Args:
        scale: WEFT.
        other: the set, whose test split is used.
        rate: at which LoRA moves.
    """
    return Ablation(
        question="Does what WEFT learns on one set of photographs from above hold on another?",
        baseline=apply(scale, {"evaluation.external": other}),
        baseline_arm="weft",
        arms={
            "base": {**WITHOUT_EXPERTS, ESTO: False, SEE: False},
            "lora": {**UNGUIDED, "method": "lora", "method.lr": rate},
            "frozen": UNGUIDED,
        },
        seeds=SEEDS,
        reported=OTHERS,
    )
