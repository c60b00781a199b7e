"""Is the dual encoder worth more than the networks that everybody knows?

Command: segtune run baselines --gpus-per-worker 1 --storage STORAGE
Cost: 8 arms x 3 seeds = 24 trials of 100 epochs (L3D, 1024 x 1024 or 352 x 352, batch 4) on one GPU
of 24 GB or more each; the hours are not measured yet.

SRFT-GaLore as its paper has it, and U-Net, U-Net++, DeepLabV3+ and SegFormer, whose encoders begin
from ImageNet and move whole; U-Net with L3D's depth maps as a fourth channel; D2GPLand without its
prompts, whose SAM sees the depth maps; and SAM2-UNet, whose SAM2 is frozen and has adapters. All
see each image equally often, each at the rate of its own preset. What each sees differs in size,
and masks are compared at each image's own. The encoders' files lie in `weights/resnet34.imagenet`
and `weights/mit_b2.imagenet`, as smp-hub has them.
"""

from typing import Any

from search_spaces._paper_scale import SEEDS, baseline
from search_spaces.baselines._reported import L3D
from segcore.config import TrainConfig
from segcore.presets import (
    d2gpland_paper,
    depth_unet_paper,
    sam2_unet_paper,
    segformer_paper,
    unet_paper,
)
from segtune import Ablation, apply

RESNET, MIT = "weights/resnet34.imagenet", "weights/mit_b2.imagenet"


def study() -> Ablation:
    """At paper scale."""
    root = "data/L3D"
    unet = unet_paper(root, encoder_checkpoint=RESNET)
    sam2_unet = sam2_unet_paper(root, sam2_checkpoint="weights/sam2.1_hiera_large.pt")
    sam = "weights/sam_vit_b_01ec64.pth"
    return Ablation(
        question="Is the dual encoder worth more than the networks that everybody knows?",
        baseline=apply(baseline(), {"evaluation.size": "image"}),
        baseline_arm="dual_encoder",
        arms={
            "unet": as_arm(unet),
            "unetplusplus": as_arm(of_architecture(unet, "unetplusplus")),
            "deeplabv3plus": as_arm(of_architecture(unet, "deeplabv3plus")),
            "segformer": as_arm(segformer_paper(root, encoder_checkpoint=MIT)),
            "depth_unet": as_arm(depth_unet_paper(root, encoder_checkpoint=RESNET)),
            "d2gpland": as_arm(d2gpland_paper(root, encoder_checkpoint=RESNET, sam_checkpoint=sam)),
            "sam2_unet": as_arm(sam2_unet),
        },
        seeds=SEEDS,
        reported=L3D,
    )


def of_architecture(unet: TrainConfig, architecture: str) -> TrainConfig:
    """Another architecture on U-Net's encoder."""
    config: TrainConfig = apply(unet, {"system.architecture": architecture})
    return config


def as_arm(config: TrainConfig) -> dict[str, Any]:
    """System, method and rates of a preset, in a study whose data and budget are its baseline's."""
    return {"system": config.system, "method": config.method, "optim": config.optim}
