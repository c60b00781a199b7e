"""Encoders of depth maps, or of images for the depth that they show, by name.

depth_anything_v2  `depth_anything_v2`: Depth Anything V2's encoder (Yang et al., arXiv 2406.09414),
                   by transformers.
depth_anything_3   `depth_anything_3`: the encoder of Depth Anything 3's networks of single images
                   (Lin et al., arXiv 2511.10647), by transformers.
depth_encoder      What every row offers: one map of features, kept for images that come again.
dinov2             The DINOv2 that both rows are, by transformers.
features           Features of an encoder that does not move, kept for images that come again.
"""

from segcore.tables import Table

DEPTH_ENCODERS = Table("DEPTH_ENCODERS", "segcore.systems.depth_encoders", "depth encoder")
DEPTH_ENCODERS.add(
    "depth_anything_v2",
    "segcore.systems.depth_encoders.depth_anything_v2:DepthAnythingV2Config",
    "Depth Anything V2's encoder, small, base or large",
)
DEPTH_ENCODERS.add(
    "depth_anything_3",
    "segcore.systems.depth_encoders.depth_anything_3:DepthAnything3Config",
    "Depth Anything 3's encoder of single images, large",
)
