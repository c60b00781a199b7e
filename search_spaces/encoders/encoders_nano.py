"""Is another encoder worth more than SAM2, or than Depth Anything V2? (small)

Command: segtune run encoders_nano && segtune report encoders_nano
Cost: 7 arms x 3 seeds = 21 trials, one to three minutes each on one CPU core.

As `encoders`, with small networks on rendered scenes, all of whose weights move (`full`): it shows
how the comparison works, and says nothing about L3D or about the published encoders. `sam2`, `sam`
and `timm_vit` begin from packaged weights. SAM3, DINOv3 and Depth Anything 3 have none: the arms
that end in `_random` begin at random, `sam2_random` among them, which is what they are to be held
against.
"""

from segcore.presets import nano
from segtune import Ablation, apply


def study() -> Ablation:
    """At nano scale."""
    return Ablation(
        question="Is another encoder worth more than SAM2, or than Depth Anything V2? (small)",
        baseline=apply(nano(), {"method": "full"}),
        baseline_arm="sam2",
        arms={
            "sam": {"system.rgb": "sam"},
            "timm_vit": {"system.rgb": "timm_vit"},
            "sam2_random": {"system.rgb.pretrained": "random"},
            "sam3_random": {"system.rgb": "sam3"},
            "dinov3_random": {"system.rgb": "dinov3"},
            "depth_anything_3_random": {"system.depth": "depth_anything_3"},
        },
        seeds=(0, 1, 2),
    )
