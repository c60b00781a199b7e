"""Is a low-rank way of fine-tuning worth more than a frozen encoder? (small, on rendered scenes)

Command: segtune run demo && segtune report demo
Cost: 8 trials, six to eight minutes on two CPU cores.

Nano encoders and synthetic scenes: it shows how the comparison works, and says nothing about
SAM2 on patients. Each arm runs with its default learning rate.
"""

from segcore.presets import nano
from segtune import Ablation, apply


def study() -> Ablation:
    """Four ways of treating the pretrained RGB encoder, two seeds each."""
    return Ablation(
        question="Is a low-rank way of fine-tuning worth more than a frozen encoder?",
        baseline=apply(nano(), {"method": "frozen"}),
        baseline_arm="frozen",
        arms={
            "lora": {"method": "lora", "method.rank": 8},
            "galore": {"method": "galore", "method.rank": 8},
            "srft_galore": {"method": "srft_galore", "method.rank": 8},
        },
        seeds=(0, 1),
    )
