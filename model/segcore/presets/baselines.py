"""Baselines on L3D: U-Net and its relatives, SAM2-UNet, and D2GPLand without its prompts, to hold
other systems against.

`unet_paper`, `depth_unet_paper` and `segformer_paper` have the size and budget of SRFT-GaLore's
scale (1024 x 1024, batch 4, 100 epochs) and the rate and weight decay of D2GPLand's training (1e-4,
3e-5), which compared twelve such networks; that it trained them alike is our inference, and their
encoders are our choice, since neither is stated where we could read. `sam2_unet_paper` has
SAM2-UNet's own training, on L3D in the place of its polyps and animals; `d2gpland_paper` that of
D2GPLand's code. The `_nano` ones are small, on rendered scenes.
"""

from dataclasses import replace
from typing import Literal

from segcore.config import TrainConfig
from segcore.data.augment import Augment
from segcore.data.dataset import DataConfig
from segcore.losses.dice_ce import DiceCe
from segcore.losses.structure import Structure
from segcore.methods.method import Method
from segcore.systems.d2gpland import D2gplandConfig
from segcore.systems.rgb_encoders.convolutional import EncoderConfig
from segcore.systems.rgb_encoders.sam2 import Sam2Config
from segcore.systems.rgb_encoders.sam_model import SamWeights
from segcore.systems.sam2_unet import Sam2UnetConfig
from segcore.systems.smp import SmpConfig
from segcore.training.schedule import OptimConfig, Schedule

Weights = Literal["checkpoint", "random"]
RATE = 1e-4
"""Of the networks of segmentation_models_pytorch at paper scale."""


def unet_nano() -> TrainConfig:
    """A small U-Net from random weights on rendered scenes: about a minute on one CPU core."""
    return TrainConfig(
        data=DataConfig.named("synthetic_liver"), system=SmpConfig(), method=Method.named("full")
    )


def depth_unet_nano() -> TrainConfig:
    """The same with depth as a fourth channel."""
    return replace(unet_nano(), system=SmpConfig(inputs="rgbd"))


def sam2_unet_nano() -> TrainConfig:
    """A small SAM2 with packaged weights, frozen, with adapters: some minutes on one CPU core."""
    return replace(unet_nano(), system=Sam2UnetConfig(), method=Method.named("frozen"))


def d2gpland_nano() -> TrainConfig:
    """A small SAM with packaged weights, frozen, for depth: some minutes on one CPU core."""
    return replace(unet_nano(), system=D2gplandConfig(), method=Method.named("frozen"))


def unet_paper(
    data_root: str, *, encoder_checkpoint: str | None = None, pretrained: Weights = "checkpoint"
) -> TrainConfig:
    """U-Net on a ResNet-34, all of it trained.

    Args:
        data_root: folder of L3D, with Train, Val and Test.
        encoder_checkpoint: ResNet-34 of ImageNet, torchvision's file or the folder
            smp-hub/resnet34.imagenet of the Hugging Face hub.
        pretrained: `random` does without it.
    """
    encoder = EncoderConfig(name="resnet34", pretrained=pretrained, checkpoint=encoder_checkpoint)
    return TrainConfig(
        data=DataConfig.named("l3d", root=data_root),
        system=SmpConfig(image_size=1024, encoder=encoder, width=256),
        method=Method.named("full", lr=RATE),
        optim=OptimConfig(lr=RATE, weight_decay=3e-5),
        schedule=Schedule(
            epochs=100, batch_size=4, microbatch_size="largest", warmup_steps=0, final_lr_ratio=0.02
        ),
    )


def depth_unet_paper(
    data_root: str, *, encoder_checkpoint: str | None = None, pretrained: Weights = "checkpoint"
) -> TrainConfig:
    """The same with L3D's depth maps as a fourth channel. Arguments as of `unet_paper`."""
    unet = unet_paper(data_root, encoder_checkpoint=encoder_checkpoint, pretrained=pretrained)
    return replace(unet, system=replace(_smp(unet), inputs="rgbd"))


def segformer_paper(
    data_root: str, *, encoder_checkpoint: str | None = None, pretrained: Weights = "checkpoint"
) -> TrainConfig:
    """SegFormer-B2, all of it trained; its decoder has the library's 256 channels, the paper's 768.

    Args:
        data_root: as of `unet_paper`.
        encoder_checkpoint: MiT-B2 of ImageNet, the folder smp-hub/mit_b2.imagenet.
        pretrained: as of `unet_paper`.
    """
    unet = unet_paper(data_root, pretrained="random")
    encoder = EncoderConfig(name="mit_b2", pretrained=pretrained, checkpoint=encoder_checkpoint)
    return replace(unet, system=replace(_smp(unet), architecture="segformer", encoder=encoder))


def sam2_unet_paper(
    data_root: str, *, sam2_checkpoint: str | None = None, pretrained: Weights = "checkpoint"
) -> TrainConfig:
    """SAM2-UNet as its paper and code train it, on L3D.

    - Hiera-L, frozen, at 352 x 352; adapters of 32, a decoder of 64 channels.
    - The structure loss of three maps, its cross-entropy as the code computes it.
    - Twenty epochs of batch 12 at 1e-3, falling as a cosine to 1e-7; weight decay 5e-4, no
      clipping.
    - Half of the samples are mirrored, left-right or upside-down. (The code: each way by itself.)

    Args:
        data_root: as of `unet_paper`.
        sam2_checkpoint: Meta's sam2_hiera_large.pt; the code says SAM2's, not SAM2.1's.
        pretrained: `random` does without it.
    """
    return TrainConfig(
        data=DataConfig.named("l3d", root=data_root),
        system=Sam2UnetConfig(
            image_size=352,
            sam2=Sam2Config(size="hiera_large", pretrained=pretrained, checkpoint=sam2_checkpoint),
            width=64,
            loss=Structure(entropy="plain"),
        ),
        method=Method.named("frozen"),
        optim=OptimConfig(lr=1e-3, weight_decay=5e-4, clip_norm=None),
        schedule=Schedule(epochs=20, batch_size=12, warmup_steps=0, final_lr_ratio=1e-4),
        augment=Augment(flip_axis="either", brightness=0.0),
    )


def d2gpland_paper(
    data_root: str,
    *,
    encoder_checkpoint: str | None = None,
    sam_checkpoint: str | None = None,
    pretrained: Weights = "checkpoint",
) -> TrainConfig:
    """D2GPLand without its prompts, as its code trains it.

    - ResNet-34 for the image and SAM's ViT-B, frozen, for depth, at 1024 x 1024; a decoder of 128
      channels.
    - Dice over all classes + binary cross-entropy. (The code gives that log-probabilities in the
      place of logits, which we leave; and it selects on test, which nothing here does.)
    - Sixty epochs of batch 4 at 1e-4, which stays: the cosine is stepped only after the last one.
      Weight decay 3e-5, no clipping. (The code: Adam, with the decay in its gradient.)
    - Nothing is augmented: the code's augmentation is never called.

    Args:
        data_root: as of `unet_paper`.
        encoder_checkpoint: as of `unet_paper`.
        sam_checkpoint: Meta's sam_vit_b_01ec64.pth.
        pretrained: `random` does without both.
    """
    encoder = EncoderConfig(name="resnet34", pretrained=pretrained, checkpoint=encoder_checkpoint)
    return TrainConfig(
        data=DataConfig.named("l3d", root=data_root),
        system=D2gplandConfig(
            image_size=1024,
            encoder=encoder,
            sam=SamWeights(size="vit_b", pretrained=pretrained, checkpoint=sam_checkpoint),
            width=128,
            loss=DiceCe(background=True, entropy="binary"),
        ),
        method=Method.named("frozen"),
        optim=OptimConfig(lr=RATE, weight_decay=3e-5, clip_norm=None),
        schedule=Schedule(
            epochs=60, batch_size=4, microbatch_size="largest", warmup_steps=0, final_lr_ratio=1.0
        ),
        augment=Augment(flip=0.0, brightness=0.0),
    )


def _smp(config: TrainConfig) -> SmpConfig:
    assert isinstance(config.system, SmpConfig)
    return config.system
