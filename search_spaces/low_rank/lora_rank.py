"""How does LoRA's rank matter, and where does SRFT-GaLore stand beside it?

Command: segtune run lora_rank --gpus-per-worker 1 --storage STORAGE
Cost: 6 arms x 3 seeds = 18 trials of 100 epochs (L3D, 1024 x 1024, 23,100 steps of
batch 4) on one GPU of 24 GB or more each; the hours are not measured yet.

Adapters beside qkv and proj of SAM2; alpha is twice the rank, so that the scaling stays 2.
The learning rates are one per method and not tuned: `peft_comparison` does that. Nor are the costs
equal: the state of SRFT-GaLore at rank 128 is about that of LoRA at rank 107.
"""

from search_spaces._paper_scale import SEEDS, baseline
from segtune import Ablation, apply, factor


def study() -> Ablation:
    """One rank after the other, and the paper's arm beside them."""
    return Ablation(
        question="How does LoRA's rank matter, and where does SRFT-GaLore stand beside it?",
        baseline=apply(baseline(), {"method": "lora", "method.rank": 8, "method.lr": 5e-4}),
        baseline_arm="rank-8",
        arms=factor("method.rank", (2, 4, 16, 64))
        | {"srft_galore-128": {"method": "srft_galore", "method.rank": 128, "method.lr": 5e-5}},
        seeds=SEEDS,
    )
