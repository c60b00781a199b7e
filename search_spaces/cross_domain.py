"""Which way of fine-tuning holds on images of another hospital? (small, on rendered scenes)

Command: segtune run cross_domain && segtune report cross_domain
Cost: 4 arms x 2 seeds = 8 trials, each like one of those of `demo`.

Trained and selected on domain `a`; the best epoch is tested once on other patients of `a` (split
`test`) and on domain `b`, with another camera, light and tissue (split `external`), each at the
system's 128 pixels and at 256, by every protocol of every metric. Nano encoders and synthetic
scenes: it shows how such a study works, and says nothing about SAM2 on patients.
"""

from segcore.data.sets.synthetic_liver import SyntheticLiver
from segcore.presets import nano
from segtune import Ablation, apply


def study() -> Ablation:
    """Four ways of fine-tuning, two seeds each; LoRA is what the others are held against."""
    baseline = apply(
        nano(),
        {
            "method": "lora",
            "method.rank": 8,
            "schedule.epochs": 8,
            "evaluation.external": SyntheticLiver(domain="b", train=5, val=5),
            "evaluation.resolutions": (256,),
        },
    )
    return Ablation(
        question="Which way of fine-tuning holds on images of another hospital?",
        baseline=baseline,
        baseline_arm="lora",
        arms={
            "galore": {"method": "galore", "method.rank": 8},
            "srft_galore": {"method": "srft_galore", "method.rank": 8},
            "full": {"method": "full"},
        },
        seeds=(0, 1),
    )
