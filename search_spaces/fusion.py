"""Where and how should depth meet RGB?

Command: segtune run fusion --gpus-per-worker 1 --storage STORAGE
Cost: 8 arms x 3 seeds = 24 trials of 100 epochs (L3D, 1024 x 1024, 23,100 steps of
batch 4) on one GPU of 24 GB or more each; the hours are not measured yet.

The paper: depth asks, RGB answers, two heads, at stride 16, without residual.
"""

from search_spaces._paper_scale import SEEDS, baseline
from segtune import Ablation

# Without attention, heads and residual have no effect and must keep their defaults.
PLAIN = {"system.fusion.residual": True}


def study() -> Ablation:
    """One setting of the fusion after the other."""
    return Ablation(
        question="Where and how should depth meet RGB?",
        baseline=baseline(),
        baseline_arm="paper",
        arms={
            "query-rgb": {"system.fusion.query": "rgb"},
            "heads-1": {"system.fusion.heads": 1},
            "heads-8": {"system.fusion.heads": 8},
            "residual": {"system.fusion.residual": True},
            "stride-8": {"system.fusion.stride": 8},
            "sum": {"system.fusion.mode": "sum", **PLAIN},
            "concatenation": {"system.fusion.mode": "concatenation", **PLAIN},
        },
        seeds=SEEDS,
    )
