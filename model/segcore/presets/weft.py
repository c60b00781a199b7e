"""WEFT's readings (arXiv 2601.09108, AAAI-26). Paper and published code (commit 738ad9c) disagree
in many places; each is one field, and this is which.

`weft_paper` does as the paper says where it says anything, `weft_as_coded` as the code computes,
`weft_recommended` as we would. `weft_nano` is `weft_recommended` small. Of the paper's text no more
than its abstract could be read; what else it says is told second-hand, by notes on it.

What stays unstated in the paper: learning rate and its course (here: the code's), whether all
scales share their experts (here: as coded), how the features beside the transformer are renewed
from its tokens (here: by their sum, which has no parameters, as the paper's count leaves no room
for any), and the weight of the queries' classes in the loss (here: the code's).

Not expressed, of the code:

- SyncBatchNorm, and ESTO's scores over a batch: both tie the samples of a batch together. Norms of
  single images, with as many parameters, take the place of the first (`instance` is what
  SyncBatchNorm does to a batch of one), scores over an image that of the second.
- A share of 0.4 of the frozen transformer's branches is dropped in training.
- Images are scaled by 0.5 to 2 and cut to 512 pixels, and their colours are changed; here they are
  resized to 512, mirrored, and made lighter or darker.
- Each data set's own mean and deviation of colours is taken out, at test those of the test images;
  here ImageNet's.
- It chooses its best step on the images that it tests on; here on a tenth of the training images.
- 80,000 steps (the notes; the code's schedule file is missing) are as many as 343 epochs of the
  1,400 training images of EORSSD at batch 6; other sets have fewer images, and get fewer steps.

The code's layer decay is expressed by what it comes to: with a frozen transformer it slows the
head's queries and codes alone (`embedding_rate`).
"""

from dataclasses import replace
from typing import Literal

from segcore.config import TrainConfig
from segcore.data.augment import Augment
from segcore.data.dataset import DataConfig
from segcore.losses.query_matching import QueryMatching
from segcore.methods.method import Method
from segcore.systems.rgb_encoders.vit import VitWeights
from segcore.systems.weft.adapter import AdapterConfig
from segcore.systems.weft.experts import ExpertConfig
from segcore.systems.weft.head import HeadConfig
from segcore.systems.weft.network import WeftConfig
from segcore.systems.weft.spatial import EnhancerConfig
from segcore.training.evaluation import EvaluationConfig
from segcore.training.schedule import OptimConfig, Schedule
from segcore.training.tta import TtaConfig

Weights = Literal["checkpoint", "random"]


def weft_nano() -> TrainConfig:
    """A small transformer with packaged weights on rendered fields: minutes on one CPU core."""
    return TrainConfig(
        data=DataConfig.named("synthetic_aerial"),
        system=WeftConfig(),
        method=Method.named("frozen"),
        optim=OptimConfig(lr=2e-3),
        schedule=Schedule(epochs=8, batch_size=4),
    )


def weft_paper(
    data_root: str, *, vit_checkpoint: str | None = None, pretrained: Weights = "checkpoint"
) -> TrainConfig:
    """WEFT as its paper describes it.

    - Seven experts at four scales, of which the four likeliest run, weighed by their shares.
    - Transformer and features beside it are both renewed.
    - Directional Laplacian and adaptive pooling in SEE.
    - Loss of masks: five times cross-entropy, twice Dice.

    Args:
        data_root: folder of EORSSD; any other data set can be put in.
        vit_checkpoint: uni-perceiver-large-L24-H1024-224size-pretrained_converted.pth.
        pretrained: `random` does without it, to measure time and memory.
    """
    scale = _scale(data_root, vit_checkpoint, pretrained)
    system = replace(_system(scale), loss=QueryMatching(dice_weight=2.0, points=POINTS))
    return replace(scale, system=system)


def weft_as_coded(
    data_root: str, *, vit_checkpoint: str | None = None, pretrained: Weights = "checkpoint"
) -> TrainConfig:
    """WEFT as its published code computes it; where that differs from `weft_paper`:

    - All experts run, and those that were not chosen are thrown away; a second softmax makes the
      weights of the others nearly equal.
    - The features beside the transformer never look at its tokens.
    - The Laplacian is a trained convolution that begins with one direction; the pooling does
      nothing.
    - Dice weighs as much as cross-entropy.
    - Queries and codes of the head move at 0.072 of the rate.
    - At evaluation three sizes, mirrored images and windows are averaged.
    - The best epoch is chosen by the mean IoU of object and background, over a set's pixels. Its
      published maps are labels: the protocols `hard_mask` are theirs.
    - Each channel of an image is normalised by itself (the code: over the batches of all workers).

    Arguments as of `weft_paper`.
    """
    scale = _scale(data_root, vit_checkpoint, pretrained)
    system = _system(scale)
    return replace(
        scale,
        system=replace(
            system,
            experts=replace(system.experts, router="twice", compute="all"),
            adapter=replace(
                system.adapter,
                enhancer=EnhancerConfig(laplacian="as_coded", pool="identity"),
                update="none",
            ),
            norm="instance",
            embedding_rate=0.9**25,
        ),
        evaluation=EvaluationConfig(
            select_on=("iou", "pooled", "set_with_background"),
            tta=TtaConfig(scales=(0.5, 1.0, 1.5), flips=("horizontal",), overlap=0.168),
        ),
    )


def weft_recommended(
    data_root: str, *, vit_checkpoint: str | None = None, pretrained: Weights = "checkpoint"
) -> TrainConfig:
    """WEFT as we would have it, at the same scale and rates.

    - As in `weft_paper`, both kinds of features are renewed, the chosen experts alone run, edges
      are seen in every direction, and the strongest stand for their surroundings.
    - Dice weighs as much as cross-entropy, as in Mask2Former.
    - Gradients clipped at norm 1, images turned a little.
    - The forward pass computes in bfloat16.

    Arguments as of `weft_paper`.
    """
    scale = _scale(data_root, vit_checkpoint, pretrained)
    return replace(
        scale,
        optim=replace(scale.optim, clip_norm=1.0),
        augment=replace(scale.augment, rotate=0.5),
        precision="bfloat16",
    )


POINTS = 12_544
"""Of a mask, at which Mask2Former's loss looks."""


def _scale(data_root: str, vit_checkpoint: str | None, pretrained: Weights) -> TrainConfig:
    """What the three readings share: Uni-Perceiver-L at 512, frozen; 64 channels of experts, 96 of
    the head, 100 queries; batch 6, 5e-5 after 1,500 steps of warm-up, falling in a straight line to
    0, weight decay 0.05."""
    return TrainConfig(
        data=DataConfig.named("eorssd", root=data_root),
        system=WeftConfig(
            image_size=512,
            vit=VitWeights(size="uniperceiver_l", pretrained=pretrained, checkpoint=vit_checkpoint),
            experts=ExpertConfig(kernels=(1, 3, 5, 7, 9, 11, 13), top=4, width=64),
            adapter=AdapterConfig(heads=16, extra_layers=2),
            head=HeadConfig(
                width=96,
                queries=100,
                heads=8,
                pixel_layers=6,
                pixel_hidden=320,
                layers=9,
                hidden=768,
            ),
            loss=QueryMatching(points=POINTS),
        ),
        method=Method.named("frozen"),
        optim=OptimConfig(lr=5e-5, weight_decay=0.05, clip_norm=None),
        schedule=Schedule(
            epochs=343,
            batch_size=6,
            microbatch_size="largest",
            warmup_steps=1500,
            final_lr_ratio=0.0,
            course="linear",
        ),
        augment=Augment(),
    )


def _system(config: TrainConfig) -> WeftConfig:
    assert isinstance(config.system, WeftConfig)
    return config.system
