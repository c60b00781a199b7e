"""Is low-rank fine-tuning worth more than a frozen encoder, and SRFT-GaLore as good as GaLore?

Command: segtune run demo && segtune report demo
Cost: 15 trials, some five minutes on two CPU cores that do nothing else.

Rendered polyps, an RGB encoder that was pretrained on generic scenes, and a narrow decoder: it
shows how the comparison works, and says nothing about SAM2 on patients. Every arm has the best of
four learning rates, by val, on other polyps: `tests/benchmarks/demo_rates.py`. SRFT-GaLore's
sketch is the preset `recommended`'s, with spare columns and a power iteration.
"""

from segcore.presets import polyps_nano
from segtune import Ablation, apply


def study() -> Ablation:
    """Five ways of treating the pretrained RGB encoder, three seeds each."""
    low_rank = {"method.rank": 16, "method.targets": "attention+mlp"}
    projected = {**low_rank, "method.lr": 0.006, "method.moments": "rotate"}
    sketch = {"method.oversample": 10, "method.power_iterations": 1}
    return Ablation(
        question="Is low-rank fine-tuning worth more than a frozen encoder, and SRFT-GaLore as "
        "good as GaLore?",
        baseline=apply(polyps_nano(scenes=1), {"method": "frozen", "optim.lr": 0.03}),
        baseline_arm="frozen",
        arms={
            "full": {"method": "full", "method.lr": 0.001},
            "lora": {"method": "lora", "method.lr": 0.003, **low_rank},
            "galore": {"method": "galore", **projected},
            "srft_galore": {"method": "srft_galore", **projected, **sketch},
        },
        contrasts=(("srft_galore", "galore"),),
        margin={"dice": 0.01},
        seeds=(0, 1, 2),
    )
