"""Complete configurations to start from. A variant calls one and changes lines
(`dataclasses.replace`).

srft_galore  SRFT-GaLore's readings: `nano` (small), `paper`, `paper_as_coded`, `recommended`.
imedsam      I-MedSAM's: `imedsam_nano`, `imedsam_paper`, `imedsam_as_coded`, `imedsam_recommended`.
weft         WEFT's: `weft_nano`, `weft_paper`, `weft_as_coded`, `weft_recommended`.
"""

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
    published,
    recommended,
)
from segcore.presets.weft import weft_as_coded, weft_nano, weft_paper, weft_recommended

__all__ = [
    "as_coded",
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
    "published",
    "recommended",
    "weft_as_coded",
    "weft_nano",
    "weft_paper",
    "weft_recommended",
]
