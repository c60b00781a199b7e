"""Does it matter which reading of SRFT-GaLore one runs? (small, on rendered scenes)

Command: segtune run paper_readings_nano && segtune report paper_readings_nano
Cost: 32 trials, each like one of those of `demo`.

The switches of `paper_readings` on nano encoders and synthetic scenes: it shows what each of them
does to a training, and says nothing about SAM2 on patients.
"""

from search_spaces.readings.paper_readings import arms
from segcore.presets import nano, published
from segtune import Ablation


def study() -> Ablation:
    """The three readings, and each difference between paper and code alone, two seeds each."""
    paper = published(nano())
    return Ablation(
        question="Does it matter which reading of SRFT-GaLore one runs?",
        baseline=paper,
        baseline_arm="paper",
        arms=arms(paper),
        seeds=(0, 1),
    )
