"""Does the depth branch help, and should it see a depth map or the image?

Command: segtune run depth_branch --gpus-per-worker 1 --storage STORAGE
Cost: 3 arms x 3 seeds = 9 trials of 100 epochs (L3D, 1024 x 1024, 23,100 steps of
batch 4) on one GPU of 24 GB or more each; the hours are not measured yet.

The published code gives Depth Anything the image; L3D has depth maps that could go in instead.
"""

from search_spaces._paper_scale import SEEDS, baseline
from segtune import Ablation


def study() -> Ablation:
    """Depth from the image, from a map, or none."""
    return Ablation(
        question="Does the depth branch help, and should it see a depth map or the image?",
        baseline=baseline(),
        baseline_arm="image",
        arms={
            "map": {"system.depth.source": "map"},
            "none": {
                "system.fusion.mode": "rgb_only",
                "system.fusion.stride": 8,
                "system.fusion.residual": True,
            },
        },
        seeds=SEEDS,
    )
