"""Whole networks by name.

blocks           Convolutional pieces of heads. GroupNorm, so that no statistic crosses samples.
box_shapes       What a box alone is worth: the filled box, and the ellipse in it.
boxes            What every system that is told by boxes does with them.
d2gpland         What D2GPLand is without its prompts: a ResNet for RGB, a frozen SAM for depth.
hiera_unet       A U-shaped decoder on SAM2's trunk alone, after SAM2-UNet (Xiong et al., arXiv
                 2408.08870): the baseline that shows what neck, depth and attention are worth.
norms            Norms of single images, in the place of BatchNorm.
pixels           What every encoder does to its pixels first.
sam2_unet        SAM2-UNet: the same trunk, frozen, with adapters before its blocks.
smp              U-Net and its relatives, by segmentation_models_pytorch: the usual baselines.
system           What every system offers: a prediction at any size, its loss, and what may be
                 adapted.
weights          Pretrained tensors: where they come from, that they fit, and what they hash to.
weight_files     The files that a network starts from: which, whose, under what licence, and whether
                 they are there.
depth_encoders/  Encoders of depth by name, a package.
dual_encoder/    SRFT-GaLore's system, a package.
imedsam/         I-MedSAM's system, a package.
rgb_encoders/    Encoders of images by name, a package.
weft/            WEFT's system, a package.
"""

from segcore.tables import Table

SYSTEMS = Table("SYSTEMS", "segcore.systems", "system")
SYSTEMS.add(
    "dual_encoder",
    "segcore.systems.dual_encoder.network:DualEncoderConfig",
    "an encoder of RGB and one of depth (SAM2, Depth Anything V2), fused by cross-attention",
    needs={
        "depth maps": "give a set that has them, set system.depth.source='image' to let the depth "
        "encoder see the image, or system.fusion.mode='rgb_only' to do without it"
    },
)
SYSTEMS.add(
    "hiera_unet",
    "segcore.systems.hiera_unet:HieraUnetConfig",
    "SAM2's trunk with a U-shaped decoder, no depth: a baseline",
)
SYSTEMS.add(
    "sam2_unet",
    "segcore.systems.sam2_unet:Sam2UnetConfig",
    "SAM2's trunk with adapters before its blocks and a U-shaped decoder (SAM2-UNet)",
)
SYSTEMS.add(
    "smp",
    "segcore.systems.smp:SmpConfig",
    "U-Net, U-Net++, MA-Net, FPN, DeepLabV3+, UPerNet or SegFormer, of RGB or RGB and depth",
    lacks=("layers to adapt", "queries and values", "transformer blocks"),
)
SYSTEMS.add(
    "d2gpland",
    "segcore.systems.d2gpland:D2gplandConfig",
    "a ResNet for RGB and SAM for depth, with a light decoder (D2GPLand without its prompts)",
    needs={"depth maps": "give a set that has them, or take the system smp, which needs none"},
)
SYSTEMS.add(
    "imedsam",
    "segcore.systems.imedsam.network:IMedSamConfig",
    "SAM with frequency adapters and an implicit field, told by boxes (I-MedSAM)",
)
SYSTEMS.add(
    "weft",
    "segcore.systems.weft.network:WeftConfig",
    "a vision transformer guided by wavelet experts, with Mask2Former's head (WEFT)",
)
for _name, _class, _about in (
    ("filled_box", "FilledBox", "the box itself in the place of a mask: what a prompt is worth"),
    ("box_ellipse", "BoxEllipse", "the ellipse in the box in the place of a mask"),
):
    SYSTEMS.add(
        _name,
        f"segcore.systems.box_shapes:{_class}Config",
        _about,
        lacks=("pretrained weights", "layers to adapt", "queries and values", "transformer blocks"),
    )
