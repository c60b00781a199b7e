"""Is low-rank fine-tuning worth more than a frozen encoder, and SRFT-GaLore as good as GaLore?

Command: segtune run demo && segtune report demo
Cost: 15 trials, some seven minutes on two CPU cores.

Rendered polyps, an RGB encoder that was pretrained on generic scenes, and a narrow decoder: it
shows how the comparison works, and says nothing about SAM2 on patients. Every arm has the best of
three learning rates, by val, on other polyps: `tests/benchmarks/demo_rates.py`.
"""

from segcore.presets import polyps_nano
from segtune import Ablation, apply


def study() -> Ablation:
    """Five ways of treating the pretrained RGB encoder, three seeds each."""
    head = {"optim.lr": 0.03}
    low_rank = {**head, "method.rank": 8, "method.targets": "attention+mlp"}
    return Ablation(
        question="Is low-rank fine-tuning worth more than a frozen encoder, and SRFT-GaLore as "
        "good as GaLore?",
        baseline=apply(polyps_nano(scenes=1), {"method": "frozen", "optim.lr": 0.1}),
        baseline_arm="frozen",
        arms={
            "full": {"method": "full", "method.lr": 0.003, **head},
            "lora": {"method": "lora", "method.lr": 0.01, **low_rank},
            "galore": {"method": "galore", "method.lr": 0.003, **low_rank},
            "srft_galore": {"method": "srft_galore", "method.lr": 0.003, **low_rank},
        },
        contrasts=(("srft_galore", "galore"),),
        margin={"dice": 0.01},
        seeds=(0, 1, 2),
    )
