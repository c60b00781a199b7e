"""Is SRFT-GaLore as good as GaLore, and either worth more than a frozen encoder? (small)

Command: segtune run demo && segtune report demo
Cost: 12 trials, about four minutes on two idle CPU cores.

Rendered polyps, small encoders that were pretrained on generic scenes, and a decoder so narrow that
it cannot make up for what they do not see. It shows how the comparison works, and says nothing
about SAM2 on patients. Every arm has the learning rate that `demo_rates` chose for it, on other
polyps.
"""

from collections.abc import Mapping
from typing import Any

from segcore.presets import nano
from segtune import Ablation, apply

RATES: Mapping[str, float] = {"galore": 0.01, "srft_galore": 0.01, "lora": 0.003, "frozen": 0.01}
"""Arm -> `optim.lr`, the best of three by val: see `demo_rates`."""


def study() -> Ablation:
    """Four ways of treating the pretrained RGB encoder, three seeds each."""
    return adaptation(RATES, scenes=1)


def adaptation(rates: Mapping[str, float], *, scenes: int) -> Ablation:
    """The arms.

    Args:
        rates: arm -> learning rate; what is left out has the preset's.
        scenes: seed of the rendered polyps.
    """
    scale = apply(
        nano(),
        {
            "data": "synthetic_polyps",
            "data.size": 192,
            "data.test": 100,
            "data.seed": scenes,
            "system.image_size": 96,
            "system.depth.source": "image",
            "system.decoder.width": 8,
            "schedule.epochs": 10,
            "schedule.batch_size": 4,
        },
    )
    low_rank: dict[str, Any] = {"method.rank": 8, "method.targets": "attention+mlp"}
    arms: dict[str, dict[str, Any]] = {
        "galore": {"method": "galore", **low_rank},
        "srft_galore": {"method": "srft_galore", **low_rank},
        "lora": {"method": "lora", **low_rank},
        "frozen": {"method": "frozen"},
    }
    for arm, rate in rates.items():
        arms[arm]["optim.lr"] = rate
    return Ablation(
        question="Is SRFT-GaLore as good as GaLore, and either worth more than a frozen encoder?",
        baseline=apply(scale, arms.pop("galore")),
        baseline_arm="galore",
        arms=arms,
        margin={"dice": 0.01},
        seeds=(0, 1, 2),
    )
