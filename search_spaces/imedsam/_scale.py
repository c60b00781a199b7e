"""What the studies of I-MedSAM share."""

from segcore.config import TrainConfig
from segcore.data.sets.amos import AMOS
from segcore.data.sets.bcv import BCV
from segcore.data.sets.cvc_clinicdb import CVCClinicDB
from segcore.data.sets.synthetic_organs import SyntheticOrgans
from segcore.data.sets.synthetic_polyps import SyntheticPolyps
from segcore.presets import imedsam_nano, imedsam_recommended
from segtune import apply

SEEDS = (0, 1, 2)


def paper_scale() -> TrainConfig:
    """SAM's ViT-B at 384 on Kvasir-Sessile, in the folder that the user downloaded it to."""
    return imedsam_recommended("data/Kvasir-Sessile", sam_checkpoint="weights/sam_vit_b_01ec64.pth")


def nano_scale() -> TrainConfig:
    """A small SAM on rendered polyps."""
    return imedsam_nano()


def other_polyps() -> TrainConfig:
    """At paper scale, tested on CVC-ClinicDB too: all 612 frames of it."""
    cvc = CVCClinicDB(root="data/CVC-ClinicDB", fractions=(0, 0, 1))
    config: TrainConfig = apply(paper_scale(), {"evaluation.external": cvc})
    return config


def other_polyps_nano() -> TrainConfig:
    """At nano scale, tested on another hospital's rendered polyps too."""
    config: TrainConfig = apply(
        nano_scale(), {"evaluation.external": SyntheticPolyps(domain="b", train=5, val=5)}
    )
    return config


def liver() -> TrainConfig:
    """SAM's ViT-B at 512 on slices of BCV, the liver alone, tested on AMOS's 200 CTs too."""
    config: TrainConfig = apply(
        paper_scale(),
        {
            "data": BCV(root="data/BCV", organs=("liver",)),
            "system.image_size": 512,
            "evaluation.external": AMOS(root="data/AMOS", organs=("liver",), test="training"),
            **_BY_CASE,
        },
    )
    return config


def liver_nano() -> TrainConfig:
    """A small SAM on rendered CTs, the liver alone, tested on another scanner's too."""
    config: TrainConfig = apply(
        nano_scale(),
        {
            "data": SyntheticOrgans(organs=("liver",)),
            "evaluation.external": SyntheticOrgans(organs=("liver",), domain="b", train=12, val=12),
            **_BY_CASE,
        },
    )
    return config


_BY_CASE = {
    "evaluation.metrics": ("dice.per_case", "assd.per_case_mm", "dice.per_image"),
    "evaluation.select_on": ("dice", "macro", "per_case"),
}
"""Volumes are scored whole, and the best epoch is chosen by that; slices are scored beside."""
