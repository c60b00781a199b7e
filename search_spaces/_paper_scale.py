"""What the paper-scale studies start from: Hiera-L and Depth-Anything-V2-Small on L3D at 1024.

Data and weights lie where these folders are, or where `--set` says:
`--set data.root=/data/L3D --set system.rgb.checkpoint=/weights/sam2.1_hiera_large.pt
--set system.depth.checkpoint=/weights/Depth-Anything-V2-Small-hf`.
"""

from segcore.config import TrainConfig
from segcore.presets import paper

SEEDS = (0, 1, 2)


def baseline() -> TrainConfig:
    """SRFT-GaLore as the paper has it, where its code lets one know."""
    return paper(
        "data/L3D",
        sam2_checkpoint="weights/sam2.1_hiera_large.pt",
        depth_checkpoint="weights/Depth-Anything-V2-Small-hf",
    )
