"""Is WEFT worth more than other ways of fine-tuning the same transformer?

Command: segtune run weft_vs_peft --gpus-per-worker 1 --storage STORAGE
Cost: 8 arms x 3 seeds = 24 trials of 343 epochs (EORSSD, 512 x 512, batch 6) on one GPU each; the
hours are not measured yet.

The same transformer and head for all, and as many epochs: WEFT's frozen transformer with its
experts and adapter, and a head on the transformer alone that is frozen, or moves by LoRA, DoRA,
adapters, GaLore, SRFT-GaLore, or whole. Accuracy, trained parameters, memory and seconds a step
stand side by side.
"""

from search_spaces.weft._reported import OTHERS
from search_spaces.weft._scale import SEEDS, UNGUIDED, paper_scale
from segcore.config import TrainConfig
from segtune import Ablation


def study() -> Ablation:
    """At paper scale."""
    return against_peft(paper_scale(), rate=1e-4)


def against_peft(scale: TrainConfig, *, rate: float) -> Ablation:
    """WEFT, and other ways of fine-tuning.

    Args:
        scale: WEFT.
        rate: at which the other methods move the transformer; `full` a tenth of it.
    """

    def arm(method: str, **fields: float) -> dict[str, object]:
        moved = {f"method.{name}": value for name, value in fields.items()}
        return {**UNGUIDED, "method": method, **moved}

    return Ablation(
        question="Is WEFT worth more than other ways of fine-tuning the same transformer?",
        baseline=scale,
        baseline_arm="weft",
        arms={
            "frozen": arm("frozen"),
            "lora": arm("lora", lr=rate),
            "dora": arm("dora", lr=rate),
            "adapter": arm("adapter", lr=rate),
            "galore": arm("galore", lr=rate),
            "srft_galore": arm("srft_galore", lr=rate),
            "full": arm("full", lr=rate / 10),
        },
        seeds=SEEDS,
        reported=OTHERS,
    )
