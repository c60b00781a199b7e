"""Complete configurations to start from. A variant calls one and changes lines
(`dataclasses.replace`).

srft_galore  SRFT-GaLore's readings: `nano`, `polyps_nano` (small), `paper`, `paper_as_coded`,
             `recommended`.
imedsam      I-MedSAM's: `imedsam_nano`, `imedsam_paper`, `imedsam_as_coded`, `imedsam_recommended`.
weft         WEFT's: `weft_nano`, `weft_paper`, `weft_as_coded`, `weft_recommended`.
baselines    `unet_paper`, `depth_unet_paper`, `segformer_paper`, `sam2_unet_paper`,
             `d2gpland_paper`; small: `unet_nano`, `depth_unet_nano`, `sam2_unet_nano`,
             `d2gpland_nano`.
"""

from segcore.presets.baselines import (
    d2gpland_nano,
    d2gpland_paper,
    depth_unet_nano,
    depth_unet_paper,
    sam2_unet_nano,
    sam2_unet_paper,
    segformer_paper,
    unet_nano,
    unet_paper,
)
from segcore.presets.imedsam import (
    imedsam_as_coded,
    imedsam_nano,
    imedsam_paper,
    imedsam_recommended,
)
from segcore.presets.srft_galore import (
    as_coded,
    improved,
    nano,
    paper,
    paper_as_coded,
    paper_scale,
    paper_system,
    polyps_nano,
    published,
    recommended,
)
from segcore.presets.weft import weft_as_coded, weft_nano, weft_paper, weft_recommended

__all__ = [
    "as_coded",
    "d2gpland_nano",
    "d2gpland_paper",
    "depth_unet_nano",
    "depth_unet_paper",
    "imedsam_as_coded",
    "imedsam_nano",
    "imedsam_paper",
    "imedsam_recommended",
    "improved",
    "nano",
    "paper",
    "paper_as_coded",
    "paper_scale",
    "paper_system",
    "polyps_nano",
    "published",
    "recommended",
    "sam2_unet_nano",
    "sam2_unet_paper",
    "segformer_paper",
    "unet_nano",
    "unet_paper",
    "weft_as_coded",
    "weft_nano",
    "weft_paper",
    "weft_recommended",
]
