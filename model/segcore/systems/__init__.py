"""Whole networks by name."""

from collections.abc import Mapping

from segcore.registry import Entry

SYSTEMS: Mapping[str, Entry] = {
    "dual_encoder": Entry(
        "segcore.systems.dual_encoder:DualEncoderConfig",
        "SAM2 for RGB and Depth Anything V2 for depth, fused by cross-attention",
    ),
    "hiera_unet": Entry(
        "segcore.systems.hiera_unet:HieraUnetConfig",
        "SAM2's trunk with a U-shaped decoder, no depth: a baseline",
    ),
}
