"""What the studies of I-MedSAM share."""

from segcore.config import TrainConfig
from segcore.presets import imedsam_nano, imedsam_recommended

SEEDS = (0, 1, 2)


def paper_scale() -> TrainConfig:
    """SAM's ViT-B at 384 on Kvasir-Sessile, in the folder that the user downloaded it to."""
    return imedsam_recommended("data/Kvasir-Sessile", sam_checkpoint="weights/sam_vit_b_01ec64.pth")


def nano_scale() -> TrainConfig:
    """A small SAM on rendered polyps."""
    return imedsam_nano()
