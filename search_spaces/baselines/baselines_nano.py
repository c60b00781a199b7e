"""Is the dual encoder worth more than the networks that everybody knows? (small)

Command: segtune run baselines_nano && segtune report baselines_nano
Cost: 8 arms x 3 seeds = 24 trials, one to three minutes each on one CPU core.

As `baselines`, with small networks on rendered scenes: it shows how the comparison works, and says
nothing about L3D. The dual encoder, SAM2-UNet and D2GPLand's SAM begin from packaged weights, the
others at random; depth decides on these scenes, and the dual encoder, D2GPLand and `depth_unet`
alone see it.
"""

from search_spaces.baselines.baselines import as_arm, of_architecture
from segcore.presets import d2gpland_nano, depth_unet_nano, nano, sam2_unet_nano, unet_nano
from segtune import Ablation


def study() -> Ablation:
    """At nano scale."""
    unet = unet_nano()
    return Ablation(
        question="Is the dual encoder worth more than the networks that everybody knows?",
        baseline=nano(),
        baseline_arm="dual_encoder",
        arms={
            "unet": as_arm(unet),
            "unetplusplus": as_arm(of_architecture(unet, "unetplusplus")),
            "deeplabv3plus": as_arm(of_architecture(unet, "deeplabv3plus")),
            "segformer": as_arm(of_architecture(unet, "segformer")),
            "depth_unet": as_arm(depth_unet_nano()),
            "d2gpland": as_arm(d2gpland_nano()),
            "sam2_unet": as_arm(sam2_unet_nano()),
        },
        seeds=(0, 1, 2),
    )
