"""Encoders of images, by name.

convolutional  Convolutional encoders, by segmentation_models_pytorch and timm: no rows, since
               nothing in them is adapted.
dinov3         `dinov3`: DINOv3's vision transformers (Simeoni et al., arXiv 2508.10104), by
               transformers.
pyramid        Features at three strides from those of a plain transformer (ViTDet).
rgb_encoder    What every row offers: features at strides 4, 8 and 16, and what may be adapted.
sam            `sam`: SAM's image encoder.
sam2           `sam2`: SAM2's image encoder (Ravi et al., arXiv 2408.00714), Hiera trunk and FPN
               neck.
sam3           `sam3`: SAM3's vision encoder (Carion et al., arXiv 2511.16719), by transformers.
sam_model      SAM, whole (Kirillov et al., arXiv 2304.02643), by transformers.
timm_vit       `timm_vit`: any plain vision transformer of timm's.
vit            A plain vision transformer (Dosovitskiy et al., arXiv 2010.11929), as WEFT takes it
               apart, by timm.
"""

from segcore.tables import Table

RGB_ENCODERS = Table("RGB_ENCODERS", "segcore.systems.rgb_encoders", "RGB encoder")
RGB_ENCODERS.add(
    "sam2",
    "segcore.systems.rgb_encoders.sam2:Sam2Config",
    "SAM2.1's image encoder, Hiera and FPN",
)
RGB_ENCODERS.add(
    "sam",
    "segcore.systems.rgb_encoders.sam:SamEncoderConfig",
    "SAM's image encoder, ViT-B, L or H",
)
RGB_ENCODERS.add(
    "sam3",
    "segcore.systems.rgb_encoders.sam3:Sam3EncoderConfig",
    "SAM3's vision encoder, ViT and FPN",
)
RGB_ENCODERS.add(
    "dinov3",
    "segcore.systems.rgb_encoders.dinov3:Dinov3Config",
    "DINOv3, ViT-S to 7B",
)
RGB_ENCODERS.add(
    "timm_vit",
    "segcore.systems.rgb_encoders.timm_vit:TimmVitConfig",
    "any plain vision transformer of timm's",
)
