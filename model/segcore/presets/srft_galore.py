"""SRFT-GaLore's readings. `nano` is small; `paper`, `paper_as_coded` and `recommended` are three
readings of SRFT-GaLore (arXiv 2511.03163) at its own scale. Paper, figure and published code
disagree in more than one place; each is one field here, and each reading can be had at another
scale: `published(nano())`. `srft_galore.md` beside this file has them field by field, with where
each value is from.

The code is mobarakol/SRFTGaLore_LiverLandmark, which has two states that differ, efcd190
(2025-08-04) and 473900a (2025-11-11), of which neither runs: the later imports a decoder and an
optimizer that it does not have, and reads another data set than L3D; the earlier asks its
optimizer for a projection that it does not know. `paper_as_coded` is the earlier one, but for the
projection, which only the later names.
"""

from dataclasses import fields, replace
from typing import Literal

from segcore.config import TrainConfig
from segcore.data.augment import Augment
from segcore.data.dataset import DataConfig
from segcore.losses.dice_ce import DiceCe
from segcore.methods.galore import LowRankGradient, SrftGalore, SrftGalorePublished
from segcore.methods.method import Method
from segcore.systems.depth_encoders.depth_anything_v2 import DepthAnythingV2Config
from segcore.systems.dual_encoder.decoder import DecoderConfig
from segcore.systems.dual_encoder.fusion import FusionConfig
from segcore.systems.dual_encoder.network import DualEncoderConfig
from segcore.systems.rgb_encoders.sam2 import Sam2Config
from segcore.training.schedule import OptimConfig, Schedule

Weights = Literal["checkpoint", "random"]


def nano() -> TrainConfig:
    """Small encoders with packaged weights on rendered scenes: about a minute on one CPU core."""
    return TrainConfig(
        data=DataConfig.named("synthetic_liver"),
        system=DualEncoderConfig(),
        method=Method.named("srft_galore"),
    )


def polyps_nano(scenes: int = 0) -> TrainConfig:
    """`nano` for RGB alone, on rendered polyps that are quickly learned: seconds on one CPU core.

    Its decoder is too narrow to make up for what a frozen encoder does not see. A mean of the
    weights and a hundred test patients keep what a seed adds to a score small.

    Args:
        scenes: seed of the polyps.
    """
    return replace(
        nano(),
        data=DataConfig.named(
            "synthetic_polyps", size=128, train=480, val=60, test=500, seed=scenes
        ),
        system=DualEncoderConfig(
            image_size=64,
            fusion=FusionConfig(mode="rgb_only"),
            decoder=DecoderConfig(width=8),
        ),
        optim=OptimConfig(lr=0.03, ema=0.98),
        schedule=Schedule(epochs=6, batch_size=8),
    )


def paper(
    data_root: str,
    *,
    sam2_checkpoint: str | None = None,
    depth_checkpoint: str | None = None,
    pretrained: Weights = "checkpoint",
) -> TrainConfig:
    """SRFT-GaLore on L3D as its paper and figure have it: see `published`.

    Args:
        data_root: folder of L3D, with Train, Val and Test.
        sam2_checkpoint: Meta's sam2.1_hiera_large.pt.
        depth_checkpoint: folder of Depth-Anything-V2-Small-hf.
        pretrained: `random` does without both checkpoints, to measure time and memory.
    """
    scale = paper_scale(data_root, sam2_checkpoint, depth_checkpoint, pretrained)
    return replace(published(scale), data=_d2gpland(data_root))


def paper_system(
    *,
    sam2_checkpoint: str | None = None,
    depth_checkpoint: str | None = None,
    pretrained: Weights = "checkpoint",
) -> DualEncoderConfig:
    """The network of `paper` alone."""
    scale = paper_scale("", sam2_checkpoint, depth_checkpoint, pretrained)
    return _parts(published(scale))[0]


def paper_as_coded(
    data_root: str,
    *,
    sam2_checkpoint: str | None = None,
    depth_checkpoint: str | None = None,
    pretrained: Weights = "checkpoint",
) -> TrainConfig:
    """SRFT-GaLore on L3D as its published code has it: see `as_coded`. Arguments as of `paper`."""
    scale = paper_scale(data_root, sam2_checkpoint, depth_checkpoint, pretrained)
    return replace(as_coded(scale), data=_d2gpland(data_root))


def recommended(
    data_root: str,
    *,
    sam2_checkpoint: str | None = None,
    depth_checkpoint: str | None = None,
    pretrained: Weights = "checkpoint",
) -> TrainConfig:
    """SRFT-GaLore on L3D as we would have it, in bfloat16, tested at the images' own size too: see
    `improved`. Arguments as of `paper`."""
    config = improved(paper_scale(data_root, sam2_checkpoint, depth_checkpoint, pretrained))
    evaluation = replace(config.evaluation, resolutions=("image",))
    return replace(config, precision="bfloat16", evaluation=evaluation)


def paper_scale(
    data_root: str,
    sam2_checkpoint: str | None,
    depth_checkpoint: str | None,
    pretrained: Weights,
) -> TrainConfig:
    """What the three readings share: encoders, size, rates and budget.

    SAM2.1 Hiera-L and Depth-Anything-V2-Small at 1024 x 1024; batch 4, rate 5e-5, weight decay
    3e-5, 100 epochs; rank 128, refreshed every 50 steps, scale 1. Depth Anything sees the image, as
    its own processor brings it to size: the published code hands the network a depth map, which it
    never looks at.
    """
    return TrainConfig(
        data=DataConfig.named("l3d", root=data_root),
        system=DualEncoderConfig(
            image_size=1024,
            rgb=Sam2Config(size="hiera_large", pretrained=pretrained, checkpoint=sam2_checkpoint),
            depth=DepthAnythingV2Config(
                size="small",
                source="image",
                resampling="bicubic",
                pretrained=pretrained,
                checkpoint=depth_checkpoint,
            ),
            decoder=DecoderConfig(width=256),
        ),
        method=Method.named("srft_galore", rank=128, update_proj_gap=50),
        optim=OptimConfig(lr=5e-5, weight_decay=3e-5),
        schedule=Schedule(
            epochs=100, batch_size=4, microbatch_size="largest", warmup_steps=0, final_lr_ratio=0.02
        ),
    )


def _d2gpland(data_root: str) -> DataConfig:
    """L3D as the code of D2GPLand and of SRFT-GaLore reads it."""
    return DataConfig.named("l3d", root=data_root, truth="d2gpland", shrink="linear")


def published(scale: TrainConfig) -> TrainConfig:
    """A training as the paper and its figure describe it, and our inference where they say nothing.

    - Depth asks, RGB answers, two heads at stride 16, neither residual nor norm nor position code.
    - The decoder doubles the size from level to level: our inference, for neither figure nor code
      says so. Its parts are ESANet's, in which each module does.
    - SAM2 gets standardised images, as it was trained: our inference.
    - Dice over all classes + binary cross-entropy, at a quarter of the image's size. (A loss is
      named in the code only.)
    - The left side of the gradient is projected (the figure: 1728 x 576 becomes 128 x 576).
    - The rate falls as a cosine, without warm-up or clipping.
    - Half of the samples are mirrored, left-right or upside-down, and half are turned by up to 15
      degrees. (In the first published code, which is the one that reads L3D.)

    Different from paper and code alike: norms are GroupNorm, since BatchNorm would tie the samples
    of a batch together; the linear map of RGB before the attention is the attention's own
    projection to keys and values; weight decay comes before the step, as in torch; the last batch
    of an epoch may be smaller.

    Args:
        scale: a dual encoder trained by `srft_galore`; keeps its data, encoders, rates and budget.
    """
    system, method = _parts(scale)
    rgb, depth = _encoders(system)
    return replace(
        scale,
        system=replace(
            system,
            rgb=replace(rgb, standardise=True),
            depth=replace(depth, shifted=False),
            fusion=FusionConfig(stride=16, query="depth", heads=2, residual=False),
            decoder=replace(system.decoder, layout="esanet"),
            loss=DiceCe(background=True, entropy="binary", resolution="native"),
        ),
        method=replace(method, side="left"),
        optim=replace(scale.optim, clip_norm=None),
        schedule=replace(scale.schedule, warmup_steps=0),
        augment=Augment(flip=0.5, flip_axis="either", rotate=0.5, brightness=0.0),
    )


def as_coded(scale: TrainConfig) -> TrainConfig:
    """A training as the published code computes it; where it differs from `published`:

    - SAM2 gets images in [0, 1], not standardised.
    - Depth features keep the class token and lack the last patch: all moved by one place.
    - The projection of the depth features is never trained.
    - The decoder stays at stride 16.
    - The binary cross-entropy takes log-probabilities for logits.
    - The basis is that of `srft_galore_published`, which throws half of its sketch away.
    - The shorter side of the gradient is projected, at half the paper's rank (64).
    - Adam's epsilon is 1e-6.
    - The rate is constant.
    - The finest image features come first in the decoder, and its map is enlarged by nearest
      neighbours.
    - Each weight has a random matrix of its own.
    - The best epoch is chosen by Dice of all landmarks side by side.
    - The images left over when an epoch is divided into batches sit it out.

    Not expressed: the best epoch is chosen on val at 256 x 256 (here: at the system's size, by the
    same map); in the corners of a turned image no class is right, not even the background; the
    depth map is enlarged after its features are computed without a gradient, but BatchNorm's means
    follow them.

    Args:
        scale: as of `published`.
    """
    paper = published(scale)
    system, method = _parts(paper)
    rgb, depth = _encoders(system)
    return replace(
        paper,
        system=replace(
            system,
            enlarging="nearest",
            rgb=replace(rgb, standardise=False),
            depth=replace(depth, shifted=True),
            fusion=replace(system.fusion, train_depth_projection=False),
            decoder=replace(system.decoder, layout="flat"),
            loss=DiceCe(background=True, entropy="binary_of_log_softmax", resolution="native"),
        ),
        method=SrftGalorePublished(
            **{
                **{f.name: getattr(method, f.name) for f in fields(LowRankGradient)},
                "side": "short",
                "rank": max(1, method.rank // 2),
            }
        ),
        optim=replace(paper.optim, eps=1e-6),
        schedule=replace(paper.schedule, final_lr_ratio=1.0, last_batch="dropped"),
        evaluation=replace(paper.evaluation, select_on=("dice", "pooled", "stacked")),
    )


def improved(scale: TrainConfig) -> TrainConfig:
    """A training as we would have it, at the same budget and rates.

    - Attention at stride 16 with a residual, norms and position code: without them its output is
      all that the coarsest level gets, and says nothing of where it comes from.
    - Image and depth features meet before they are refined, at each level.
    - Dice over the landmarks and one cross-entropy over all classes, at the target's size: lines a
      few pixels wide are lost at a quarter of it.
    - The shorter side of the gradient is projected (less state), by a basis from a larger sketch
      and one power iteration, which brings it near the SVD's.
    - Twenty steps of warm-up, gradients clipped at norm 1; images are mirrored left-right, turned a
      little, and made lighter or darker, but never put upside-down.

    Args:
        scale: as of `published`.
    """
    paper = published(scale)
    system, method = _parts(paper)
    return replace(
        paper,
        system=replace(
            system,
            fusion=FusionConfig(stride=16),
            decoder=replace(system.decoder, layout="pyramid"),
            loss=DiceCe(),
        ),
        method=replace(method, side="short", oversample=10, power_iterations=1),
        optim=replace(paper.optim, clip_norm=1.0),
        schedule=replace(paper.schedule, warmup_steps=20),
        augment=Augment(rotate=0.5),
    )


def _parts(config: TrainConfig) -> tuple[DualEncoderConfig, SrftGalore]:
    system, method = config.system, config.method
    if not (isinstance(system, DualEncoderConfig) and isinstance(method, SrftGalore)):
        raise ValueError(
            f"a reading of SRFT-GaLore is of the system dual_encoder and the method srft_galore, "
            f"not of {system.name} and {method.name}"
        )
    return system, method


def _encoders(system: DualEncoderConfig) -> tuple[Sam2Config, DepthAnythingV2Config]:
    rgb, depth = system.rgb, system.depth
    if not (isinstance(rgb, Sam2Config) and isinstance(depth, DepthAnythingV2Config)):
        raise ValueError(
            "a reading of SRFT-GaLore is of the encoders sam2 and depth_anything_v2, not of "
            f"{rgb.name} and {depth.name}"
        )
    return rgb, depth
