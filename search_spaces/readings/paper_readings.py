"""Does it matter which reading of SRFT-GaLore one runs: the paper's, its code's or our own?

Command: segtune run paper_readings --gpus-per-worker 1 --storage STORAGE
Cost: 16 arms x 3 seeds = 48 trials of 100 epochs (L3D, 1024 x 1024, 23,100 steps of
batch 4) on one GPU of 24 GB or more each; the hours are not measured yet.

`coded` and `recommended` change all that they differ in at once; every other arm changes one thing
of the paper's into the code's. `segcore.presets` says what each is. `paper_readings_nano` is the
same study on rendered scenes.
"""

from collections.abc import Mapping
from typing import Any

from search_spaces._paper_scale import SEEDS, baseline
from segcore.config import TrainConfig
from segcore.presets import as_coded, improved
from segtune import Ablation
from segtune.study.overrides import flatten

SWITCHES: Mapping[str, tuple[str, ...]] = {
    "unstandardised": ("system.rgb.standardise",),
    "shifted": ("system.depth.shifted",),
    "untrained-projection": ("system.fusion.train_depth_projection",),
    "flat": ("system.decoder.layout",),
    "log-softmax": ("system.loss.entropy",),
    "published-basis": ("method",),
    "short-side": ("method.side",),
    "half-rank": ("method.rank",),
    "eps": ("optim.eps",),
    "constant-rate": ("schedule.final_lr_ratio",),
    "last-batch-dropped": ("schedule.last_batch",),
    "nearest": ("system.enlarging",),
    "selected-on-stacked": ("evaluation.select_on",),
}
"""Arms that take one thing from the code: the fields of it."""


def study() -> Ablation:
    """The three readings, and each difference between paper and code alone."""
    return Ablation(
        question="Does it matter which reading of SRFT-GaLore one runs: the paper's, its code's "
        "or our own?",
        baseline=baseline(),
        baseline_arm="paper",
        arms=arms(baseline()),
        seeds=SEEDS,
    )


def arms(paper: TrainConfig) -> dict[str, dict[str, Any]]:
    """What each arm changes in the paper's reading."""
    coded = difference(paper, as_coded(paper))
    alone = {arm: {field: coded[field] for field in fields} for arm, fields in SWITCHES.items()}
    return {"coded": coded, "recommended": difference(paper, improved(paper)), **alone}


def difference(one: TrainConfig, other: TrainConfig) -> dict[str, Any]:
    """The changes that make another configuration of one."""
    before = flatten(one)
    return {k: v for k, v in flatten(other).items() if k not in before or before[k] != v}
