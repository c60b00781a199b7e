"""Complete configurations to start from. A variant calls one and changes lines
(`dataclasses.replace`)."""

from typing import Literal

from segcore.config import TrainConfig
from segcore.data.dataset import DataConfig
from segcore.methods.method import Method
from segcore.schedule import OptimConfig, Schedule
from segcore.systems.decoder import DecoderConfig
from segcore.systems.depth_encoder import DepthConfig
from segcore.systems.dual_encoder import DualEncoderConfig
from segcore.systems.fusion import FusionConfig
from segcore.systems.sam2_encoder import Sam2Config


def nano() -> TrainConfig:
    """Small encoders with packaged weights on rendered scenes: about a minute on one CPU core."""
    return TrainConfig(
        data=DataConfig.named("synthetic_liver"),
        system=DualEncoderConfig(),
        method=Method.named("srft_galore"),
    )


def paper(
    data_root: str,
    *,
    sam2_checkpoint: str | None = None,
    depth_checkpoint: str | None = None,
    pretrained: Literal["checkpoint", "random"] = "checkpoint",
) -> TrainConfig:
    """SRFT-GaLore (arXiv 2511.03163) on L3D, as far as its paper and code tell.

    Where it differs: the learning rate follows its cosine (the code never steps the scheduler
    within an epoch), and what `paper_system` lists.

    Args:
        data_root: folder of L3D, with Train, Val and Test.
        sam2_checkpoint: Meta's sam2.1_hiera_large.pt.
        depth_checkpoint: folder of Depth-Anything-V2-Small-hf.
        pretrained: `random` does without both checkpoints, to measure time and memory.
    """
    return TrainConfig(
        data=DataConfig.named("l3d", root=data_root),
        system=paper_system(
            sam2_checkpoint=sam2_checkpoint,
            depth_checkpoint=depth_checkpoint,
            pretrained=pretrained,
        ),
        method=Method.named("srft_galore", rank=128, update_proj_gap=50, lr=5e-5),
        optim=OptimConfig(lr=5e-5, weight_decay=3e-5, clip_norm=None),
        schedule=Schedule(
            epochs=100, batch_size=4, microbatch_size=1, warmup_steps=0, final_lr_ratio=0.02
        ),
    )


def paper_system(
    *,
    sam2_checkpoint: str | None = None,
    depth_checkpoint: str | None = None,
    pretrained: Literal["checkpoint", "random"] = "checkpoint",
) -> DualEncoderConfig:
    """The network of `paper`: SAM2.1 Hiera-L and Depth-Anything-V2-Small at 1024 x 1024.

    Where it differs from the published code: the decoder doubles the size between its levels, its
    norms are GroupNorm, the projection of the depth features is trained, and the depth tokens
    leave out the class token instead of the last patch.
    """
    return DualEncoderConfig(
        image_size=1024,
        sam2=Sam2Config(
            size="hiera_large",
            pretrained=pretrained,
            checkpoint=sam2_checkpoint,
            standardise=False,
        ),
        depth=DepthConfig(
            size="small", source="image", pretrained=pretrained, checkpoint=depth_checkpoint
        ),
        fusion=FusionConfig(stride=16, query="depth", heads=2, residual=False),
        decoder=DecoderConfig(width=256),
    )
